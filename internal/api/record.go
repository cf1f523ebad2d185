package api

import (
	"log/slog"
	"time"
)

// What came of a request, where it is not the code of a refusal.
const (
	outcomeOK   = "ok"
	outcomeGone = "gone" // the client went away, or the answer was cut off
)

// record writes down what came of a request.
func (h *Handler) record(x *exchange) {
	switch {
	case !x.written:
		x.outcome = outcomeGone
	case x.outcome == "":
		x.outcome = outcomeOK
	}
	if h.options.AccessLog {
		h.logAccess(x, time.Since(x.began))
	}
}

// logAccess writes the line of the access log. It names the route and not the
// path, since keys are nobody's business who reads logs.
func (h *Handler) logAccess(x *exchange, took time.Duration) {
	path := ""
	if x.route != nil {
		path = x.route.path
	}
	h.options.Logger.LogAttrs(x.request.Context(), slog.LevelInfo, "request",
		slog.String("method", clipped(x.request.Method)),
		slog.String("route", path),
		slog.Int("status", x.status),
		slog.String("outcome", x.outcome),
		slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.String("request_id", x.id),
		slog.String("remote", x.request.RemoteAddr))
}

// clipped is a method of which no more is shown than the longest that means
// anything.
func clipped(method string) string { return method[:min(len(method), len("OPTIONS"))] }
