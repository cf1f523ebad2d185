package api

import (
	"context"

	"holdfast"
	"holdfast/internal/keeper"
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
		ctx, release := untilLost(x.request.Context(), h.options.Lost)
		defer release()
		var rest rest
		if x.out, rest, err = h.do(ctx, nil, op, &body, x.out); rest != nil {
			x.late = true
			x.giveTime(0)
			x.out, err = rest(ctx, x.out)
		}
		return err
	}
}

// rest is what is left of a call that may have to stand in line. It appends the
// answer to out, and must be called.
type rest func(ctx context.Context, out []byte) ([]byte, error)

// do carries out a call, whichever way it came, and appends its answer to out;
// or gives the rest of it. The stream that it came on is nil for a request of
// its own.
func (h *Handler) do(ctx context.Context, from *stream, op wire.Op, body *wire.Request, out []byte) (_ []byte, rest rest, err error) {
	if !h.load.begin(op, body.Wait) {
		return out, nil, overLimit("requests: too many are under way; ask again")
	}
	defer func() {
		if rest == nil {
			h.load.end()
		}
	}()
	switch op {
	case wire.OpLock:
		return h.lock(ctx, from, body, out)
	case wire.OpUnlock:
		out, err = h.unlock(ctx, body, out)
	case wire.OpExtend:
		out, err = h.extend(ctx, from, body, out)
	case wire.OpCheck:
		out, err = h.check(ctx, body, out)
	}
	return out, nil, err
}

func (h *Handler) lock(ctx context.Context, from *stream, body *wire.Request, out []byte) ([]byte, rest, error) {
	req, err := body.Lock()
	if err != nil {
		return out, nil, err
	}
	if err := h.options.Limits.checkKeys(len(req.Keys), func(i int) string { return req.Keys[i].Key }); err != nil {
		return out, nil, err
	}
	if req.Exp == 0 {
		req.Exp = h.options.DefaultExp
	}
	grant, wait, err := keeper.Start(ctx, h.service, req)
	switch {
	case err != nil:
		return out, nil, err
	case wait == nil:
		h.ties.lives(from, body.Bind, req.UID, grant.Tokens, max(req.Exp, grant.Exp))
		return wire.AppendGrant(out, grant), nil, nil
	}
	bind := body.Bind
	return out, func(ctx context.Context, out []byte) ([]byte, error) {
		defer h.load.end()
		if req.Wait > 0 {
			until, release := h.untilStop(ctx)
			defer release()
			ctx = until
		}
		grant, err := wait(ctx)
		if err != nil {
			return out, err
		}
		h.ties.lives(from, bind, req.UID, grant.Tokens, max(req.Exp, grant.Exp))
		return wire.AppendGrant(out, grant), nil
	}, nil
}

func (h *Handler) unlock(ctx context.Context, body *wire.Request, out []byte) ([]byte, error) {
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
}

func (h *Handler) extend(ctx context.Context, from *stream, body *wire.Request, out []byte) ([]byte, error) {
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
	h.ties.lives(from, body.Bind, req.UID, extension.Tokens, max(req.Exp, extension.Exp))
	h.ties.ended(req.UID, extension.Lost)
	return wire.AppendExtension(out, extension), nil
}

func (h *Handler) check(ctx context.Context, body *wire.Request, out []byte) ([]byte, error) {
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
