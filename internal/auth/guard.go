package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast"
	"holdfast/internal/keeper"
)

// Guard puts the rules in front of a service. The ctx of each call must carry
// a caller, see [With]; otherwise, and when the caller is not known any more,
// it answers CodeUnauthenticated, and CodeForbidden for what the caller may
// not do.
func Guard(service holdfast.Service) holdfast.Service { return &guard{service} }

type guard struct{ service holdfast.Service }

// Lock needs the verb lock on all keys.
func (g *guard) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	grant, wait, err := g.StartLock(ctx, req)
	if wait != nil {
		return wait(ctx)
	}
	return grant, err
}

// StartLock is as [keeper.Start] says.
func (g *guard) StartLock(ctx context.Context, req holdfast.LockRequest) (
	_ holdfast.Grant, wait func(context.Context) (holdfast.Grant, error), _ error,
) {
	e, err := current(ctx)
	if err != nil {
		return holdfast.Grant{}, nil, err
	}
	if _, err := req.Normal(); err != nil {
		return holdfast.Grant{}, nil, err
	}
	if err := e.owns(req.UID); err != nil {
		return holdfast.Grant{}, nil, err
	}
	for i := range req.Keys {
		if err := e.may(Lock, req.Keys[i].Key); err != nil {
			return holdfast.Grant{}, nil, err
		}
	}
	grant, rest, err := keeper.Start(ctx, g.service, req)
	if rest == nil {
		return grant, nil, e.veil(err)
	}
	return grant, func(ctx context.Context) (holdfast.Grant, error) {
		grant, err := rest(ctx)
		return grant, e.veil(err)
	}, nil
}

// Unlock needs the verb lock on all keys.
func (g *guard) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	e, err := current(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := req.Normal(); err != nil {
		return nil, err
	}
	if err := e.holds(req.UID, req.Tokens); err != nil {
		return nil, err
	}
	return g.service.Unlock(ctx, req)
}

// Extend needs the verb lock on all keys. Without tokens it extends what the
// uid holds of the keys that the caller may lock.
func (g *guard) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	e, err := current(ctx)
	if err != nil {
		return holdfast.Extension{}, err
	}
	if _, err := req.Normal(); err != nil {
		return holdfast.Extension{}, err
	}
	if err := e.holds(req.UID, req.Tokens); err != nil {
		return holdfast.Extension{}, err
	}
	if req.Tokens == nil && !e.grants.everywhere(Lock, "") {
		return g.extendAllowed(ctx, e, req)
	}
	return g.service.Extend(ctx, req)
}

// extendAllowed extends what the uid holds as far as e allows it. Others may
// hold keys in its name that the caller must not even hear of.
func (g *guard) extendAllowed(ctx context.Context, e *entry, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	var held []holdfast.Token
	list := holdfast.ListRequest{UID: req.UID, Limit: holdfast.MaxPage}
	for more := true; more; more = list.After != "" {
		page, err := g.list(ctx, e, Lock, list)
		if err != nil {
			return holdfast.Extension{}, err
		}
		for _, lock := range page.Locks {
			for _, holder := range lock.Holders {
				if holder.UID == req.UID {
					held = append(held, holdfast.Token{Key: lock.Key, Version: holder.Version})
				}
			}
		}
		list.After = page.Next
	}
	var all holdfast.Extension
	for first := true; len(held) > 0; first = false {
		req.Tokens = held[:min(len(held), holdfast.MaxKeys)]
		held = held[len(req.Tokens):]
		some, err := g.service.Extend(ctx, req)
		switch {
		case err != nil && first:
			return holdfast.Extension{}, err
		case err != nil:
			return holdfast.Extension{}, holdfast.Unknown(err) // the part before is done
		}
		if len(some.Tokens) > 0 && (len(all.Tokens) == 0 || some.Exp < all.Exp) {
			all.Exp = some.Exp
		}
		all.Tokens = append(all.Tokens, some.Tokens...) // what ended meanwhile is not held, and so not lost
	}
	return all, nil
}

// Check needs the verb check on all keys.
func (g *guard) Check(ctx context.Context, keys []string) (bool, error) {
	e, err := current(ctx)
	if err != nil {
		return false, err
	}
	if err := holdfast.ValidKeys(keys); err != nil {
		return false, err
	}
	for _, key := range keys {
		if err := e.may(Check, key); err != nil {
			return false, err
		}
	}
	return g.service.Check(ctx, keys)
}

// Get needs the verb list on the key.
func (g *guard) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	e, err := current(ctx)
	if err != nil {
		return holdfast.Lock{}, err
	}
	if err := holdfast.ValidKey(key); err != nil {
		return holdfast.Lock{}, err
	}
	if err := e.may(List, key); err != nil {
		return holdfast.Lock{}, err
	}
	return g.service.Get(ctx, key)
}

// Force needs the verb force on the key.
func (g *guard) Force(ctx context.Context, req holdfast.ForceRequest) ([]holdfast.Released, error) {
	e, err := current(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := req.Normal(); err != nil {
		return nil, err
	}
	if err := e.may(Force, req.Key); err != nil {
		return nil, err
	}
	return g.service.Force(ctx, req)
}

func forbidden(format string, args ...any) error {
	return &holdfast.Error{Code: holdfast.CodeForbidden, Message: fmt.Sprintf(format, args...)}
}

// may answers CodeForbidden unless the verb is allowed on the key.
func (e *entry) may(verb Verbs, key string) error {
	if e.grants.allow(verb, key) {
		return nil
	}
	return forbidden("key %q: %q has no grant to %v it", key, e.Name, verb)
}

// owns answers CodeForbidden unless the caller may ask in the name of uid.
func (e *entry) owns(uid string) error {
	if strings.HasPrefix(uid, e.UID) {
		return nil
	}
	return forbidden("uid %q: %q may only use uids that begin with %q", uid, e.Name, e.UID)
}

// holds answers CodeForbidden unless the caller may do something to these
// holds.
func (e *entry) holds(uid string, tokens []holdfast.Token) error {
	if err := e.owns(uid); err != nil {
		return err
	}
	for i := range tokens {
		if err := e.may(Lock, tokens[i].Key); err != nil {
			return err
		}
	}
	return nil
}

// hidden stands in a circle for what the caller may not see.
const hidden = "(hidden)"

// veil takes out of a refusal what the caller may not know. Those in the way
// stand on keys that it may lock; a circle goes over others too. An owner is
// shown next to a key that is shown, for which it waits or which it holds.
func (e *entry) veil(err error) error {
	refusal, ok := errors.AsType[*holdfast.Error](err)
	if !ok || refusal.Code != holdfast.CodeDeadlock {
		return err
	}
	n := len(refusal.Cycle)
	shown := func(i int) bool {
		key := refusal.Cycle[(i+n)%n].Key
		return e.grants.allow(Lock, key) || e.grants.allow(List, key)
	}
	cycle := make([]holdfast.Link, n)
	for i, link := range refusal.Cycle {
		cycle[i] = holdfast.Link{UID: hidden, Key: hidden}
		if shown(i) {
			cycle[i].Key = link.Key
		}
		if shown(i) || shown(i-1) {
			cycle[i].UID = link.UID
		}
	}
	return holdfast.Deadlock(cycle)
}
