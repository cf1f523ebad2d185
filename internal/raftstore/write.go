package raftstore

import (
	"context"
	"errors"
	"fmt"
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
	batchKeys   = 4096 // keys in its commands after which an entry is full: the log cannot read back more than 64 MiB
	many        = 16   // commands that take longer to carry out and answer than it takes others to be woken
	inFlight    = 2    // entries under way at once: one is written while the one before is answered, or while the next one gathers
)

// log is the way of commands to the keeper: through raft's log.
type log struct{ s *Store }

var _ keeper.Log = log{}

// proposal is a command on its way. Either it is answered, or patience with it
// comes to an end: state says which of the two came first.
type proposal struct {
	cmd    table.Command
	state  atomic.Int32
	answer chan answer // room for one
}

// keys counts those in the command. It is they that make one large.
func (p *proposal) keys() int { return len(p.cmd.Keys) + len(p.cmd.Tokens) + len(p.cmd.Ended) }

const (
	waiting int32 = iota
	answered
	left
)

type answer struct {
	result keeper.Result
	err    error
}

// batch is an entry on its way, with the commands in it.
type batch struct {
	number    uint64
	began     time.Time
	proposals []*proposal
	claimed   atomic.Bool   // by the one who answers its proposals
	taken     chan struct{} // closed then
	landed    func()        // called when they are answered
}

func newBatch(number uint64, proposals []*proposal, landed func()) *batch {
	return &batch{number: number, began: time.Now(), proposals: proposals, taken: make(chan struct{}), landed: landed}
}

// take says whether it is for the caller to answer the proposals.
func (b *batch) take() bool {
	first := b.claimed.CompareAndSwap(false, true)
	if first {
		close(b.taken)
	}
	return first
}

// Propose has a command carried out. One that only starts lives anew which
// are no longer than before stays off the log: the leader, once it has made
// sure that it still leads, moves the deadlines in its lease clock. A later
// leader gives these holds their full exp again, which ends later still.
func (l log) Propose(ctx context.Context, cmd table.Command) (keeper.Result, error) {
	if !l.s.leading.Load() {
		return keeper.Result{}, errNoLeader()
	}
	if l.s.keeper.OnlyProlongs(&cmd) {
		if err := l.Verify(ctx); err != nil {
			return keeper.Result{}, err
		}
		if r, done := l.s.keeper.Prolong(&cmd); done {
			return r, nil
		}
	}
	return l.s.propose(ctx, cmd)
}

// propose has a command written and carried out. Once it is on its way, its
// owner waits for what becomes of it even if its ctx ends: who leaves can then
// put in order at once what was done all the same, and asks again for another
// key only when that is over. It waits no longer than the store is patient.
func (s *Store) propose(ctx context.Context, cmd table.Command) (keeper.Result, error) {
	p, ok := s.proposals.Get().(*proposal)
	if !ok {
		p = &proposal{answer: make(chan answer, 1)}
	}
	p.cmd = cmd
	p.state.Store(waiting)
	select {
	case s.queue <- p: // at once if there is room, which a select of three takes longer to see
	default:
		select {
		case s.queue <- p:
		case <-ctx.Done():
			return keeper.Result{}, context.Cause(ctx)
		case <-s.ctx.Done():
			return keeper.Result{}, keeper.ErrStopping()
		}
	}
	s.notTooLate()
	return s.heard(p, <-p.answer)
}

// notTooLate sees that what was put into the queue is answered, even if nobody
// takes anything from there any more.
func (s *Store) notTooLate() {
	select {
	case <-s.written:
		s.failQueue()
	default:
	}
}

// heard gives the answer and, since nobody else looks at it any more, the
// proposal for another use.
func (s *Store) heard(p *proposal, a answer) (keeper.Result, error) {
	if p.state.Load() == answered {
		p.cmd = table.Command{}
		s.proposals.Put(p)
	}
	return a.result, a.err
}

// reply answers a proposal. If its owner has left, what was done all the same
// is put in order.
func (s *Store) reply(p *proposal, a answer) {
	switch {
	case p.state.CompareAndSwap(waiting, answered):
		p.answer <- a
	case a.err == nil:
		s.done.Go(func() { s.Abandon(&p.cmd, a.result) })
	}
}

// losePatience answers whoever has waited for too long that the outcome is
// not known: it may yet happen. Those behind are refused. When the disk of a
// leader has not finished a write for twice as long, the store fails: raft
// would not notice.
func (s *Store) losePatience() {
	every := s.options.Patience / 8
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var watched watched
	for {
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
		s.batches.Range(func(_, v any) bool {
			b := v.(*batch)
			if time.Since(b.began) > s.options.Patience && !b.claimed.Load() {
				s.leaveAlone(b)
				s.refuseQueue(holdfast.Unavailable(nil, "nothing was written for %s", s.options.Patience))
			}
			return true
		})
		stalled := watched.look(s.disk.log.began.Load(), time.Now(), every)
		if stalled > 2*s.options.Patience && s.raft.State() == raft.Leader {
			s.fail(fmt.Errorf("the disk has not finished a write for %s", stalled.Round(time.Millisecond)))
		}
	}
}

func (s *Store) leaveAlone(b *batch) {
	for _, p := range b.proposals {
		if p.state.CompareAndSwap(waiting, left) {
			p.answer <- answer{err: errUnknown(nil, "it was not written within %s", s.options.Patience)}
		}
	}
}

// fail tells the owner of the store that it cannot go on.
func (s *Store) fail(err error) {
	s.leading.Store(false)
	select {
	case s.failed <- err:
	default:
	}
}

// errUnknown says that a change may have happened.
func errUnknown(cause error, format string, args ...any) error {
	return holdfast.Unknown(holdfast.Unavailable(cause, format, args...))
}

// write takes commands from the queue and makes entries of them: all that
// waits while earlier entries are written becomes the next one, so that one
// write to the disk serves many commands. It ends with the store, when what is
// under way has landed: raft never answers an entry that it is given in the
// moment of its shutdown.
func (s *Store) write() {
	defer s.failQueue()
	defer close(s.written)
	slots := make(chan struct{}, inFlight)
	defer s.land(slots)
	earlier := newBatch(0, nil, nil)
	earlier.take()
	for {
		// Alone, raft would rather write the next entry than have the one carried
		// out that is on disk. If that takes a while, it shall be while the next
		// one is written.
		if s.peers == nil && len(earlier.proposals) >= many {
			select {
			case <-earlier.taken:
			case <-s.ctx.Done():
				return
			}
		}
		select {
		case slots <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		var first *proposal
		select {
		case first = <-s.queue:
		case <-s.ctx.Done():
			<-slots
			return
		}
		number := earlier.number + 1
		b := newBatch(number, s.gather(first), func() {
			s.batches.Delete(number)
			<-slots
		})
		s.counts.commands.Add(int64(len(b.proposals)))
		s.batches.Store(b.number, b)
		future := s.raft.Apply(s.encode(b), 0)
		go func() {
			if err := future.Error(); err != nil {
				s.failBatch(b, refusal(err))
			}
		}()
		earlier = b
	}
}

// land waits until no entry is under way, for as long as the store is patient.
func (s *Store) land(slots chan struct{}) {
	patience := time.NewTimer(s.options.Patience)
	defer patience.Stop()
	for range inFlight {
		select {
		case slots <- struct{}{}:
		case <-patience.C:
			return
		}
	}
}

// gather collects what waits behind the first command. It lets the others
// run while that brings more: who was just answered is about to ask again,
// and a fuller entry costs no more than a short one.
func (s *Store) gather(first *proposal) []*proposal {
	gathered := []*proposal{first}
	keys := first.keys()
	for idle := 0; len(gathered) < batchLength && keys < batchKeys && idle < 2; {
		select {
		case p := <-s.queue:
			gathered = append(gathered, p)
			keys += p.keys()
			idle = 0
		default:
			idle++
			runtime.Gosched()
		}
	}
	return gathered
}

// refusal is the answer to commands whose entry failed.
func refusal(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, raft.ErrEnqueueTimeout):
		return errNoLeader()
	case errors.Is(err, raft.ErrRaftShutdown):
		return errUnknown(err, "the service is shutting down")
	}
	// The entry may be in the log of some, and may yet be carried out.
	return errUnknown(err, "it could not be written for certain")
}

// failQueue answers what is not given to raft any more.
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

func (s *Store) failBatch(b *batch, err error) {
	if b.take() {
		for _, p := range b.proposals {
			s.reply(p, answer{err: err})
		}
		b.landed()
	}
}

// refuseQueue refuses what was asked and has not been given to raft. What puts
// in order, of which nobody hears, stays.
func (s *Store) refuseQueue(err error) {
	for range len(s.queue) {
		select {
		case p := <-s.queue:
			switch p.cmd.Op {
			case table.Lock, table.Unlock, table.Extend, table.Force:
				s.reply(p, answer{err: err})
			default:
				s.done.Go(func() { s.putBack(p) })
			}
		default:
			return
		}
	}
}

func (s *Store) putBack(p *proposal) {
	select {
	case s.queue <- p:
		s.notTooLate()
	case <-s.ctx.Done():
		s.reply(p, answer{err: keeper.ErrStopping()})
	}
}

// failBatches answers what is under way when the state machine has stopped. It
// may be in the log, and be carried out at the next start.
func (s *Store) failBatches() {
	s.batches.Range(func(_, b any) bool {
		s.failBatch(b.(*batch), refusal(raft.ErrRaftShutdown))
		return true
	})
	s.failQueue()
}
