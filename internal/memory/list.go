package memory

import (
	"context"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// Check says whether anybody holds one of the keys.
func (s *Store) Check(ctx context.Context, keys []string) (bool, error) {
	if err := holdfast.ValidKeys(keys); err != nil {
		return false, err
	}
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	return s.table.Held(keys), nil
}

// List gives a page of the keys that are held or waited for.
func (s *Store) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	req, err := req.Normal()
	if err != nil {
		return holdfast.Page{}, err
	}
	if err := s.enter(ctx); err != nil {
		return holdfast.Page{}, err
	}
	defer s.mu.Unlock()
	states, more := s.table.List(req.Prefix, req.UID, req.After, req.Limit)
	var page holdfast.Page
	for i := range states {
		page.Locks = append(page.Locks, s.timed(&states[i]))
	}
	if more {
		page.Next = states[len(states)-1].Key
	}
	return page, nil
}

// Get gives the state of one key.
func (s *Store) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	if err := holdfast.ValidKey(key); err != nil {
		return holdfast.Lock{}, err
	}
	if err := s.enter(ctx); err != nil {
		return holdfast.Lock{}, err
	}
	defer s.mu.Unlock()
	state := s.table.Key(key)
	return s.timed(&state), nil
}

// timed adds to the state of a key what only the clock knows.
func (s *Store) timed(state *table.KeyState) holdfast.Lock {
	lock := holdfast.Lock{
		Key:     state.Key,
		Holders: make([]holdfast.Holder, len(state.Holds)),
		Waiters: make([]holdfast.Waiter, len(state.Waiters)),
	}
	for i, h := range state.Holds {
		left, held := s.clock.Left(h.Key, h.UID)
		lock.Holders[i] = holdfast.Holder{
			UID: h.UID, Version: h.Version, Mode: h.Mode, Limit: h.Limit, Exp: left, Held: held, Note: h.Note,
		}
	}
	for i, w := range state.Waiters {
		lock.Waiters[i] = holdfast.Waiter{
			UID: w.UID, Mode: w.Mode, Limit: w.Limit, Waited: time.Since(s.calls[w.Place].since), Note: w.Note,
		}
	}
	return lock
}
