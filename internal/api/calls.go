package api

import (
	"holdfast"
	"holdfast/internal/wire"
)

// lock is POST /lock.
func (h *Handler) lock(x *exchange) error {
	body, err := x.decode(wire.LockFields)
	if err != nil {
		return err
	}
	req, err := body.Lock()
	if err != nil {
		return err
	}
	if req.Exp == 0 {
		req.Exp = h.options.DefaultExp
	}
	ctx := x.request.Context()
	if req.Wait > 0 {
		until, release := h.untilStop(ctx)
		defer release()
		ctx = until
	}
	grant, err := h.service.Lock(ctx, req)
	if err != nil {
		return err
	}
	x.out = wire.AppendGrant(x.out, grant)
	return nil
}

// unlock is POST /unlock.
func (h *Handler) unlock(x *exchange) error {
	body, err := x.decode(wire.UnlockFields)
	if err != nil {
		return err
	}
	req, err := body.Unlock()
	if err != nil {
		return err
	}
	keys, err := h.service.Unlock(x.request.Context(), req)
	if err != nil {
		return err
	}
	x.out = wire.AppendUnlocked(x.out, keys)
	return nil
}

// check is POST /check.
func (h *Handler) check(x *exchange) error {
	body, err := x.decode(wire.CheckFields)
	if err != nil {
		return err
	}
	keys, err := body.Check()
	if err != nil {
		return err
	}
	locked, err := h.service.Check(x.request.Context(), keys)
	if err != nil {
		return err
	}
	x.out = wire.AppendChecked(x.out, locked)
	return nil
}

// extend is POST /extend.
func (h *Handler) extend(x *exchange) error {
	body, err := x.decode(wire.ExtendFields)
	if err != nil {
		return err
	}
	req, err := body.Extend()
	if err != nil {
		return err
	}
	if req.Exp == 0 {
		req.Exp = h.options.DefaultExp
	}
	extension, err := h.service.Extend(x.request.Context(), req)
	if err != nil {
		return err
	}
	x.out = wire.AppendExtension(x.out, extension)
	return nil
}

// list is GET /locks.
func (h *Handler) list(x *exchange) error {
	limit, err := x.number("limit", holdfast.MaxPage)
	if err != nil {
		return err
	}
	if uid, given := x.query["uid"]; given {
		if err := holdfast.ValidUID(uid); err != nil { // "" would mean everybody
			return err
		}
	}
	page, err := h.service.List(x.request.Context(), holdfast.ListRequest{
		Prefix: x.query["prefix"],
		UID:    x.query["uid"],
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

// force is DELETE /locks/{key}.
func (h *Handler) force(x *exchange) error {
	released, err := h.service.Force(x.request.Context(), holdfast.ForceRequest{Key: x.key, Reason: x.query["reason"]})
	if err != nil {
		return err
	}
	x.out = wire.AppendReleased(x.out, released)
	return nil
}
