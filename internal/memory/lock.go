package memory

import (
	"context"
	"slices"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// Lock grants all keys or none. See [holdfast.Service].
func (s *Store) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	req, err := req.Normal()
	if err != nil {
		return holdfast.Grant{}, err
	}
	if err := s.enter(ctx); err != nil {
		return holdfast.Grant{}, err
	}
	out := s.apply(&table.Command{
		Op: table.Lock, UID: req.UID, Keys: req.Keys, Exp: req.Exp, Note: req.Note, Wait: req.Wait > 0,
	})
	if out.Status == table.InLine {
		c := s.callAt(out.Place)
		s.mu.Unlock()
		return s.await(ctx, c, req)
	}
	defer s.mu.Unlock()
	switch out.Status {
	case table.Granted:
		s.askedFor(out.Tokens)
		return holdfast.Grant{Tokens: slices.Clone(out.Tokens), Exp: s.left(req.UID, out.Tokens)}, nil
	case table.Deadlock:
		return holdfast.Grant{}, holdfast.Deadlock(out.Cycle)
	}
	return holdfast.Grant{}, s.locked(out.Blockers)
}

// callAt gives the call at a place in line, with one more request waiting.
func (s *Store) callAt(place uint64) *call {
	c, ok := s.calls[place]
	if !ok {
		c = &call{place: place, since: time.Now(), granted: make(chan struct{})}
		s.calls[place] = c
	}
	c.waiting++
	return c
}

// await waits for the grant of c, and leaves it in good order: the line
// without a request that nobody waits for any more, and no hold behind that
// its owner does not hear of.
func (s *Store) await(ctx context.Context, c *call, req holdfast.LockRequest) (holdfast.Grant, error) {
	timer := time.NewTimer(req.Wait)
	defer timer.Stop()
	select {
	case <-c.granted:
	case <-timer.C:
	case <-ctx.Done():
	case <-s.closing:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.waiting--
	select {
	case <-c.granted:
		return s.receive(ctx, c)
	default:
	}
	blockers := s.leave(c)
	switch {
	case ctx.Err() != nil:
		return holdfast.Grant{}, context.Cause(ctx)
	case s.closed:
		return holdfast.Grant{}, errClosed()
	}
	return holdfast.Grant{}, s.locked(blockers)
}

// receive takes the grant of c to one of the requests that waited for it. If
// none of them is there any more to take it, it is taken back (rule 9).
func (s *Store) receive(ctx context.Context, c *call) (holdfast.Grant, error) {
	grant := &c.grant
	gone := ctx.Err() != nil
	c.received = c.received || !gone
	if c.received || c.waiting == 0 {
		delete(s.undelivered, grant.Version)
	}
	if !gone {
		return holdfast.Grant{Tokens: slices.Clone(grant.Tokens), Exp: s.left(grant.UID, grant.Tokens)}, nil
	}
	if !c.received && c.waiting == 0 {
		s.apply(&table.Command{Op: table.TakeBack, UID: grant.UID, Tokens: grant.Fresh(), Prior: grant.Prior})
	}
	return holdfast.Grant{}, context.Cause(ctx)
}

// leave takes the place of c out of the line, unless others still wait at
// it, and says who was in the way.
func (s *Store) leave(c *call) []holdfast.Blocker {
	if c.waiting > 0 {
		return s.table.Blockers(c.place)
	}
	delete(s.calls, c.place)
	return s.apply(&table.Command{Op: table.Cancel, Place: c.place}).Blockers
}

// locked is the refusal for these blockers, with what is left of their
// holds.
func (s *Store) locked(blockers []holdfast.Blocker) error {
	blockers = slices.Clone(blockers)
	for i := range blockers {
		if b := &blockers[i]; !b.Waiting {
			b.Exp, _ = s.clock.Left(b.Key, b.UID)
		}
	}
	return holdfast.Locked(blockers)
}

// Unlock releases what req names exactly. See [holdfast.Service].
func (s *Store) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	out := s.apply(&table.Command{Op: table.Unlock, UID: req.UID, Tokens: req.Tokens})
	keys := make([]string, len(out.Tokens))
	for i, token := range out.Tokens {
		keys[i] = token.Key
	}
	return keys, nil
}

// Extend starts the life of holds anew. See [holdfast.Service].
func (s *Store) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	req, err := req.Normal()
	if err != nil {
		return holdfast.Extension{}, err
	}
	if err := s.enter(ctx); err != nil {
		return holdfast.Extension{}, err
	}
	defer s.mu.Unlock()
	out := s.apply(&table.Command{Op: table.Extend, UID: req.UID, Tokens: req.Tokens, Exp: req.Exp})
	s.askedFor(out.Tokens)
	return holdfast.Extension{
		Tokens: slices.Clone(out.Tokens),
		Lost:   slices.Clone(out.Lost),
		Exp:    s.left(req.UID, out.Tokens),
	}, nil
}

// Force releases a key whoever holds it. See [holdfast.Service].
func (s *Store) Force(ctx context.Context, req holdfast.ForceRequest) ([]holdfast.Released, error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	out := s.apply(&table.Command{Op: table.Force, Key: req.Key, Reason: req.Reason})
	return slices.Clone(out.Freed), nil
}
