package keeper

import (
	"time"

	"holdfast"
	"holdfast/internal/table"
)

func (k *Keeper) held(keys []string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.table.Held(keys)
}

func (k *Keeper) size() holdfast.Count {
	k.mu.Lock()
	defer k.mu.Unlock()
	return holdfast.Count{Holds: k.table.Holds(), Waiters: k.table.Waiters()}
}

func (k *Keeper) list(req holdfast.ListRequest) holdfast.Page {
	k.mu.Lock()
	defer k.mu.Unlock()
	states, more := k.table.List(req.Prefix, req.UID, req.After, req.Waited, req.Limit)
	var page holdfast.Page
	for i := range states {
		page.Locks = append(page.Locks, k.timed(&states[i]))
	}
	if more {
		page.Next = states[len(states)-1].Key
	}
	return page
}

func (k *Keeper) get(key string) holdfast.Lock {
	k.mu.Lock()
	defer k.mu.Unlock()
	state := k.table.Key(key)
	return k.timed(&state)
}

// timed adds to the state of a key what only this process knows.
func (k *Keeper) timed(state *table.KeyState) holdfast.Lock {
	lock := holdfast.Lock{
		Key:     state.Key,
		Holders: make([]holdfast.Holder, len(state.Holds)),
		Waiters: make([]holdfast.Waiter, len(state.Waiters)),
	}
	for i, h := range state.Holds {
		left, held := k.leftOf(h.Key, h.UID)
		lock.Holders[i] = holdfast.Holder{
			UID: h.UID, Version: h.Version, Mode: h.Mode, Limit: h.Limit, Exp: left, Held: held, Note: h.Note,
		}
	}
	for i, w := range state.Waiters {
		lock.Waiters[i] = holdfast.Waiter{UID: w.UID, Mode: w.Mode, Limit: w.Limit, Note: w.Note}
		if c, ok := k.calls[w.Place]; ok {
			lock.Waiters[i].Waited = time.Since(c.since)
		}
	}
	return lock
}
