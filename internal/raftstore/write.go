package raftstore

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/keeper"
	"holdfast/internal/table"
)

const (
	queueLength = 4096 // commands that may wait to be written before their callers do
	batchLength = 512  // commands in one entry, at most
	inFlight    = 2    // entries under way at once: one is written while the next one gathers
)

// log is the way of commands to the keeper: through raft's log.
type log struct{ s *Store }

// proposal is a command on its way.
type proposal struct {
	cmd    *table.Command
	answer chan answer // room for one
	left   atomic.Bool // nobody waits for the answer any more
}

type answer struct {
	result *keeper.Result
	err    error
}

// batch is an entry on its way: the commands in it, whose results the state
// machine puts beside them when it applies the entry.
type batch struct {
	number    uint64
	proposals []*proposal
	answered  atomic.Bool
}

// Propose has a command carried out. One that only starts lives anew which
// are no longer than before stays off the log: the leader, once it has made
// sure that it still leads, moves the deadlines in its lease clock. A later
// leader gives these holds their full exp again, which ends later still.
func (l log) Propose(ctx context.Context, cmd *table.Command) (*keeper.Result, error) {
	if !l.s.leading.Load() {
		return nil, errNoLeader()
	}
	if l.s.keeper.OnlyProlongs(cmd) {
		if err := l.Verify(ctx); err != nil {
			return nil, err
		}
		if r := l.s.keeper.Prolong(cmd); r != nil {
			return r, nil
		}
	}
	return l.s.propose(ctx, cmd)
}

// propose has a command written and carried out.
func (s *Store) propose(ctx context.Context, cmd *table.Command) (*keeper.Result, error) {
	p := &proposal{cmd: cmd, answer: make(chan answer, 1)}
	select {
	case s.queue <- p:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.ctx.Done():
		return nil, keeper.ErrStopping()
	}
	patience := time.NewTimer(s.options.Patience)
	defer patience.Stop()
	select {
	case a := <-p.answer:
		return a.result, a.err
	case <-ctx.Done():
		s.abandon(p)
		return nil, context.Cause(ctx)
	case <-patience.C:
		s.abandon(p)
		return nil, errUnknown("it was not written within %s", s.options.Patience)
	}
}

// abandon leaves a proposal to itself: when it is carried out all the same,
// what it did is put in order.
func (s *Store) abandon(p *proposal) {
	p.left.Store(true)
	select {
	case a := <-p.answer: // it came at the same moment
		s.putInOrder(p, a)
	default:
	}
}

func (s *Store) putInOrder(p *proposal, a answer) {
	if a.err == nil && p.cmd.Op == table.Lock {
		s.done.Go(func() { s.Abandon(p.cmd, a.result) })
	}
}

// reply answers a proposal. It is called once.
func (s *Store) reply(p *proposal, a answer) {
	p.answer <- a
	if p.left.Load() {
		select {
		case a := <-p.answer:
			s.putInOrder(p, a)
		default: // the one that left has taken it
		}
	}
}

// errUnknown says that a change may have happened.
func errUnknown(format string, args ...any) *holdfast.Error {
	err := holdfast.Unavailable(nil, format, args...)
	err.OutcomeUnknown = true
	return err
}

// write takes commands from the queue and makes entries of them: all that
// waits while earlier entries are written becomes the next one, so that one
// write to the disk serves many commands.
func (s *Store) write() {
	slots := make(chan struct{}, inFlight)
	var number uint64
	for {
		var first *proposal
		select {
		case first = <-s.queue:
		case <-s.ctx.Done():
			s.failQueue()
			return
		}
		slots <- struct{}{}
		number++
		b := &batch{number: number, proposals: s.gather(first)}
		s.batches.Store(b.number, b)
		future := s.raft.Apply(s.encode(b), 0)
		s.done.Go(func() {
			err := future.Error()
			<-slots
			s.batches.Delete(b.number)
			if err != nil && b.answered.CompareAndSwap(false, true) {
				for _, p := range b.proposals {
					s.reply(p, answer{err: refusal(err)})
				}
			}
		})
	}
}

// gather collects what waits behind the first command. It lets the others
// run while that brings more: who was just answered is about to ask again,
// and a fuller entry costs no more than a short one.
func (s *Store) gather(first *proposal) []*proposal {
	proposals := []*proposal{first}
	for idle := 0; len(proposals) < batchLength && idle < 2; {
		select {
		case p := <-s.queue:
			proposals = append(proposals, p)
			idle = 0
		default:
			idle++
			runtime.Gosched()
		}
	}
	return proposals
}

// refusal is the answer to commands whose entry failed.
func refusal(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, raft.ErrEnqueueTimeout):
		return errNoLeader()
	case errors.Is(err, raft.ErrRaftShutdown):
		e := errUnknown("the service is shutting down")
		e.Cause = err
		return e
	}
	// The entry may be in the log of some, and may yet be carried out.
	e := errUnknown("it could not be written for certain")
	e.Cause = err
	return e
}

func (s *Store) failQueue() {
	for {
		select {
		case p := <-s.queue:
			s.reply(p, answer{err: keeper.ErrStopping()})
		default:
			return
		}
	}
}

// failBatches answers what is under way when the state machine has stopped.
func (s *Store) failBatches(err error) {
	s.batches.Range(func(_, b any) bool {
		if b := b.(*batch); b.answered.CompareAndSwap(false, true) {
			for _, p := range b.proposals {
				s.reply(p, answer{err: err})
			}
		}
		return true
	})
	s.failQueue()
}
