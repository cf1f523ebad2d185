package api

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/internal/stats"
	"holdfast/internal/wire"
)

// What came of a request, where it is not the code of a refusal.
const (
	outcomeOK    = "ok"
	outcomeGone  = "gone"  // the client went away, or the answer was cut off
	outcomeOther = "other" // a code that only another version knows, which has handed it on
)

var outcomes = []string{
	outcomeOK, outcomeGone, outcomeOther,
	string(holdfast.CodeInvalid), string(holdfast.CodeUnauthenticated), string(holdfast.CodeForbidden),
	string(holdfast.CodeNotFound), string(holdfast.CodeMethodNotAllowed), string(holdfast.CodeLocked),
	string(holdfast.CodeDeadlock), string(holdfast.CodeTooLarge), string(holdfast.CodeUnsupportedMedia),
	string(holdfast.CodeLimit), string(holdfast.CodeCancelled),
	string(holdfast.CodeUnavailable),
}

// What a request asked for, where it is not the operationId in openapi.yaml.
const (
	operationWait = "lock_wait" // a lock that may stand in line: it takes as long as others like
	operationNone = "none"      // refused before a route was found
)

// operation is what a call is called in figures.
func operation(op wire.Op, body *wire.Request) string {
	if op == wire.OpLock && body.Wait > 0 {
		return operationWait
	}
	return op.String()
}

// Stats are the figures of a handler at one moment.
type Stats struct {
	Requests []RequestStats // in the order of operation and outcome; without those that never were

	EventStreams int // those who follow events now
	Streams      int // connections of /stream now
}

// RequestStats says how long requests took that asked for the same and came
// to the same.
type RequestStats struct {
	Operation string
	Outcome   string
	Took      stats.Distribution
}

// tally counts requests, and what is open.
type tally struct {
	requests     map[string]map[string]*stats.Histogram // by operation and outcome; not changed any more
	eventStreams atomic.Int64
}

func newTally() *tally {
	t := &tally{requests: map[string]map[string]*stats.Histogram{}}
	operations := []string{operationWait, operationNone}
	for _, route := range routes {
		operations = append(operations, route.operation)
	}
	for _, operation := range operations {
		byOutcome := map[string]*stats.Histogram{}
		for _, outcome := range outcomes {
			byOutcome[outcome] = stats.NewHistogram(stats.Quick)
		}
		t.requests[operation] = byOutcome
	}
	return t
}

// count counts a request. The operation must be one of those above.
func (t *tally) count(operation, outcome string, took time.Duration) {
	h, known := t.requests[operation][outcome]
	if !known {
		h = t.requests[operation][outcomeOther]
	}
	h.Add(int64(took))
}

// Stats gives the figures of the requests so far.
func (h *Handler) Stats() Stats {
	s := Stats{EventStreams: int(h.tally.eventStreams.Load()), Streams: h.streams.count()}
	for operation, byOutcome := range h.tally.requests {
		for outcome, took := range byOutcome {
			if took := took.Read(); took.Count() > 0 {
				s.Requests = append(s.Requests, RequestStats{operation, outcome, took})
			}
		}
	}
	slices.SortFunc(s.Requests, func(a, b RequestStats) int {
		return strings.Compare(a.Operation+" "+a.Outcome, b.Operation+" "+b.Outcome)
	})
	return s
}

// Count is how many requests there were.
func (s Stats) Count() (n uint64) {
	for _, r := range s.Requests {
		n += r.Took.Count()
	}
	return n
}

// record writes down what came of a request.
func (h *Handler) record(x *exchange) {
	switch {
	case !x.answered():
		x.outcome = outcomeGone
	case x.outcome == "":
		x.outcome = outcomeOK
	}
	took := time.Since(x.began)
	h.tally.count(x.operation, x.outcome, took)
	if h.options.AccessLog {
		h.logAccess(x, took)
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
func clipped(method string) string { return method[:min(len(method), len(http.MethodOptions))] }

// metrics is GET /metrics.
func (h *Handler) metrics(x *exchange) error {
	if h.options.Metrics == nil {
		return notFound(x.request.URL.Path)
	}
	x.status = http.StatusOK
	h.options.Metrics.ServeHTTP(x.writer, x.request)
	return nil
}
