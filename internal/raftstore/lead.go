package raftstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/internal/table"
)

// lead follows whether this process leads, and does what a leader has to do.
func (s *Store) lead() {
	var stop func()
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	for {
		select {
		case leader := <-s.raft.LeaderCh():
			if stop != nil {
				stop()
				stop = nil
			}
			if leader {
				stop = s.takeOver()
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// takeOver makes this process the one that serves, and gives the function
// that ends that.
func (s *Store) takeOver() (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	var done sync.WaitGroup
	done.Go(func() {
		defer s.leading.Store(false) // whatever this had come to when it was stopped
		// Everything that an earlier leader has answered is in the log; once
		// this barrier is applied it is in the table. That is true of this term:
		// in a later one of this node, another may have led in between.
		term, began := s.raft.CurrentTerm(), time.Now()
		for {
			err := s.barrier(ctx)
			if err == nil {
				break
			}
			// In hashicorp/raft v1.7.3 a hand-over that was under way when this node
			// led before may never end, and keep it from doing anything as a leader.
			if errors.Is(err, raft.ErrLeadershipTransferInProgress) && time.Since(began) > 2*s.options.Patience {
				s.fail(errors.New("an earlier hand-over to another node does not end; this node cannot lead any more, start it again"))
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		if s.keeper.Version() == 0 {
			s.birth(ctx)
		}
		if ctx.Err() != nil {
			return // perhaps before the birth
		}
		s.keeper.StartClock()
		leaveEmptyPlaces := s.keeper.KeepPlaces()
		s.term.Store(term)
		s.leading.Store(true)
		s.options.Logger.Info("leading", "term", term)
		s.reroute()
		done.Go(func() { leaveEmptyPlaces(ctx, log{s}, s.options.KeepPlaces) })
		s.keeper.WatchOver(ctx, log{s})
	})
	return func() {
		if s.leading.Swap(false) {
			s.options.Logger.Info("not leading any more", "term", s.raft.CurrentTerm())
		}
		cancel()
		done.Wait()
		s.keeper.SendAway()
		s.reroute()
	}
}

// birth lets the version counter begin at the microseconds of the wall clock
// (rule 5): it is then beyond all that an earlier store has given.
func (s *Store) birth(ctx context.Context) {
	raise := table.Command{Op: table.Raise, Floor: uint64(time.Now().UnixMicro())}
	for ctx.Err() == nil {
		if _, err := s.propose(ctx, raise); err == nil {
			return
		}
	}
}
