package api

import (
	"context"
	"errors"
	"log/slog"

	"holdfast"
)

// LevelAudit is the level of audit lines. It is above all others, so that no
// setting leaves them out.
const LevelAudit = slog.LevelError + 4

// audit writes down that somebody has done what others may ask about later:
// who, what, and in attrs to whom and why.
func (h *Handler) audit(x *exchange, action string, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{slog.String("action", action), who(x)}, attrs...)
	h.options.Logger.LogAttrs(context.WithoutCancel(x.request.Context()), LevelAudit, "audit", attrs...)
}

// who is all that is known of the one who asks. A request that ends holds or
// takes the state away has no uid.
func who(x *exchange) slog.Attr {
	return slog.GroupAttrs("by",
		slog.String("remote", x.request.RemoteAddr),
		slog.String("request_id", x.nameIt()))
}

// auditForce writes down a forced release that was done, or that may have
// been.
func (h *Handler) auditForce(x *exchange, req holdfast.ForceRequest, released []holdfast.Released, err error) {
	refusal, refused := errors.AsType[*holdfast.Error](err)
	if refused && !refusal.OutcomeUnknown {
		return
	}
	const shown = 32 // of a key that very many share
	h.audit(x, "force",
		slog.String("key", req.Key),
		slog.String("reason", req.Reason),
		slog.Bool("certain", err == nil),
		slog.Int("holds", len(released)),
		slog.Any("released", released[:min(len(released), shown)]))
}
