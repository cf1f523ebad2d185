package api

import (
	"context"

	"holdfast"
	"holdfast/internal/wire"
)

// calling answers a route whose body is a call.
func calling(op wire.Op, allowed wire.Fields) func(*Handler, *exchange) error {
	return func(h *Handler, x *exchange) error {
		body, err := x.decode(allowed, h.options.Limits.Body)
		if err != nil {
			return err
		}
		x.operation = operation(op, &body)
		x.out, err = h.do(x.request.Context(), nil, op, &body, x.out)
		return err
	}
}

// do carries out a call, whichever way it came, and appends its answer to out.
// The stream that it came on is nil for a request of its own.
func (h *Handler) do(ctx context.Context, from *stream, op wire.Op, body *wire.Request, out []byte) ([]byte, error) {
	if !h.load.begin(op, body.Wait) {
		return out, overLimit("requests: too many are under way; ask again")
	}
	defer h.load.end()
	switch op {
	case wire.OpLock:
		req, err := body.Lock()
		if err != nil {
			return out, err
		}
		if err := h.options.Limits.checkKeys(len(req.Keys), func(i int) string { return req.Keys[i].Key }); err != nil {
			return out, err
		}
		if req.Exp == 0 {
			req.Exp = h.options.DefaultExp
		}
		if req.Wait > 0 {
			until, release := h.untilStop(ctx)
			defer release()
			ctx = until
		}
		grant, err := h.service.Lock(ctx, req)
		if err != nil {
			return out, err
		}
		h.ties.lives(from, body.Bind, req.UID, grant.Tokens, req.Exp)
		return wire.AppendGrant(out, grant), nil
	case wire.OpUnlock:
		req, err := body.Unlock()
		if err != nil {
			return out, err
		}
		keys, err := h.service.Unlock(ctx, req)
		if err != nil {
			return out, err
		}
		h.ties.ended(req.UID, req.Tokens)
		return wire.AppendUnlocked(out, keys), nil
	case wire.OpExtend:
		req, err := body.Extend()
		if err != nil {
			return out, err
		}
		if req.Exp == 0 {
			req.Exp = h.options.DefaultExp
		}
		extension, err := h.service.Extend(ctx, req)
		if err != nil {
			return out, err
		}
		h.ties.lives(from, body.Bind, req.UID, extension.Tokens, req.Exp)
		h.ties.ended(req.UID, extension.Lost)
		return wire.AppendExtension(out, extension), nil
	default: // wire.OpCheck
		keys, err := body.Check()
		if err != nil {
			return out, err
		}
		if err := h.options.Limits.checkKeys(len(keys), func(i int) string { return keys[i] }); err != nil {
			return out, err
		}
		locked, err := h.service.Check(ctx, keys)
		if err != nil {
			return out, err
		}
		return wire.AppendChecked(out, locked), nil
	}
}

// list is GET /locks.
func (h *Handler) list(x *exchange) error {
	limit, err := x.number("limit", holdfast.MaxPage)
	if err != nil {
		return err
	}
	waited, err := x.truth("waited")
	if err != nil {
		return err
	}
	uid, err := x.uid()
	if err != nil {
		return err
	}
	page, err := h.service.List(x.request.Context(), holdfast.ListRequest{
		Prefix: x.query["prefix"],
		UID:    uid,
		Waited: waited,
		Limit:  limit,
		After:  x.query["after"],
	})
	if err != nil {
		return err
	}
	x.out = wire.AppendPage(x.out, page)
	return nil
}

// get is GET /locks/{key}.
func (h *Handler) get(x *exchange) error {
	state, err := h.service.Get(x.request.Context(), x.key)
	if err != nil {
		return err
	}
	x.out = wire.AppendState(x.out, state)
	return nil
}

// count is GET /count.
func (h *Handler) count(x *exchange) error {
	if h.options.Count == nil {
		return &holdfast.Error{Code: holdfast.CodeNotFound, Message: "path: this store does not count"}
	}
	count, err := h.options.Count(x.request.Context())
	if err != nil {
		return err
	}
	x.out = wire.AppendCount(x.out, count)
	return nil
}

// forceNamed is DELETE /locks: force for a key that its client cannot send in
// a path. Browsers take "." and ".." for directories there, escaped or not.
func (h *Handler) forceNamed(x *exchange) error {
	x.key = x.query["key"]
	return h.force(x)
}

// force is DELETE /locks/{key}.
func (h *Handler) force(x *exchange) error {
	req := holdfast.ForceRequest{Key: x.key, Reason: x.query["reason"]}
	released, err := h.service.Force(x.request.Context(), req)
	h.auditForce(x, req, released, err)
	if err != nil {
		return err
	}
	x.out = wire.AppendReleased(x.out, released)
	return nil
}
