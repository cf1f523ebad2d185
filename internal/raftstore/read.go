package raftstore

import (
	"context"
	"time"

	"holdfast/internal/keeper"
)

// read is one who waits until the table is known to be the latest.
type read struct {
	answer chan error // room for one
}

// Verify returns when the table knows everything that was answered before
// the call, without writing to the log: the leader makes sure that it still
// leads, and since nothing is answered before it is applied, its table is the
// latest then. One round trip serves everybody who came before it; a store that
// is alone needs none.
func (l log) Verify(ctx context.Context) error {
	if !l.s.leading.Load() {
		return errNoLeader()
	}
	if l.s.peers == nil {
		return l.s.verified()
	}
	r := &read{answer: make(chan error, 1)}
	patience := time.NewTimer(l.s.options.Patience)
	defer patience.Stop()
	select {
	case l.s.reads <- r:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.s.ctx.Done():
		return keeper.ErrStopping()
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.s.ctx.Done():
		return keeper.ErrStopping()
	case <-patience.C:
		return errNoLeader()
	}
}

// verify answers who waits to read, until the store is closed.
func (s *Store) verify() {
	var waiting []*read
	for {
		waiting = waiting[:0]
		select {
		case r := <-s.reads:
			waiting = append(waiting, r)
		case <-s.ctx.Done():
			return
		}
		for more := true; more; {
			select {
			case r := <-s.reads:
				waiting = append(waiting, r)
			default:
				more = false
			}
		}
		answer := s.verified()
		for _, r := range waiting {
			r.answer <- answer
		}
	}
}

// verified says why the table may not be the latest; nil if it is.
func (s *Store) verified() error {
	err := s.confirm()
	if err == nil && s.leading.Load() {
		return nil
	}
	e := errNoLeader()
	e.Cause = err
	return e
}
