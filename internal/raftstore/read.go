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
// latest then. One round trip serves everybody who came before it.
func (l log) Verify(ctx context.Context) error {
	if !l.s.leading.Load() {
		return errNoLeader()
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
		var answer error
		if err := s.confirm(); err != nil || !s.leading.Load() {
			e := errNoLeader()
			e.Cause = err
			answer = e
		}
		for _, r := range waiting {
			r.answer <- answer
		}
	}
}
