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
	if h.service == nil {
		return errStarting
	}
	if h.options.Ready != nil {
		if err := h.options.Ready(x.request.Context()); err != nil {
			return h.notReady(x, err)
		}
	}
	x.out = append(x.out, `{"status":"ready"}`...)
	return nil
}

// notReady is the refusal of a server that cannot serve. Why not may name machines
// that a stranger does not know, such as the one of Redis.
func (h *Handler) notReady(x *exchange, err error) error {
	if h.options.Keyring != nil {
		if _, unknown := h.recognize(x); unknown != nil {
			return holdfast.Unavailable(err, "not ready: the log of the server says why")
		}
	}
	if refusal, ok := errors.AsType[*holdfast.Error](err); ok && refusal.Code == holdfast.CodeUnavailable {
		return refusal
	}
	return holdfast.Unavailable(err, "not ready: %v", err)
}
