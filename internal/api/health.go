package api

import (
	"context"
	"errors"

	"holdfast"
)

// ping is GET /ping.
func (h *Handler) ping(x *exchange) error {
	x.contentType = typeText
	x.out = append(x.out, "pong"...)
	return nil
}

// healthz is GET /healthz: the process lives. Who supervises it need not end
// it.
func (h *Handler) healthz(x *exchange) error {
	x.out = append(x.out, `{"status":"ok"}`...)
	return nil
}

// readyz is GET /readyz: requests may be sent here.
func (h *Handler) readyz(x *exchange) error {
	if h.stopping.Err() != nil {
		return context.Cause(h.stopping)
	}
	if h.options.Ready != nil {
		if err := h.options.Ready(x.request.Context()); err != nil {
			return notReady(err)
		}
	}
	x.out = append(x.out, `{"status":"ready"}`...)
	return nil
}

func notReady(err error) error {
	if refusal, ok := errors.AsType[*holdfast.Error](err); ok && refusal.Code == holdfast.CodeUnavailable {
		return refusal
	}
	return holdfast.Unavailable(err, "not ready: %v", err)
}
