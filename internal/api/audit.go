package api

import (
	"errors"
	"log/slog"

	"holdfast"
	"holdfast/internal/audit"
)

// audit writes down that somebody has done what others may ask about later:
// who, what, and in attrs to whom and why. What another node has passed on
// stands in that node's log.
func (h *Handler) audit(x *exchange, action string, attrs ...slog.Attr) {
	if !h.options.PassedOn {
		audit.Log(h.options.Logger, action, append([]slog.Attr{who(x)}, attrs...)...)
	}
}

// auditChange writes down a change of the cluster that was made, or that may
// have been.
func (h *Handler) auditChange(x *exchange, action, node, reason string, err error) {
	if !surelyNot(err) {
		h.audit(x, action, slog.String("node", node), slog.String("reason", reason), slog.Bool("certain", err == nil))
	}
}

// surelyNot says whether err is a refusal of which it is known that nothing
// has happened.
func surelyNot(err error) bool {
	refusal, refused := errors.AsType[*holdfast.Error](err)
	return refused && !refusal.OutcomeUnknown
}

// who is all that is known of the one who asks. A request that ends holds or
// takes the state away has no uid.
func who(x *exchange) slog.Attr {
	known := []slog.Attr{
		slog.String("remote", x.request.RemoteAddr),
		slog.String("request_id", x.nameIt()),
	}
	if x.caller != nil {
		known = append(known, slog.String("name", x.caller.Name()))
	}
	return slog.GroupAttrs("by", known...)
}

// auditForce writes down a forced release that was done, or that may have
// been.
func (h *Handler) auditForce(x *exchange, req holdfast.ForceRequest, released []holdfast.Released, err error) {
	if surelyNot(err) {
		return
	}
	const shown = 32 // of a key that very many share
	if released == nil {
		released = []holdfast.Released{} // an array in JSON, too
	}
	h.audit(x, "force",
		slog.String("key", req.Key),
		slog.String("reason", req.Reason),
		slog.Bool("certain", err == nil),
		slog.Int("holds", len(released)),
		slog.Any("released", released[:min(len(released), shown)]))
}
