package raftstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/keeper"
	"holdfast/internal/table"
)

// A version counter that could not be written is not born: the first version
// would be 1, which an earlier store may have given.
func TestTheBirthIsTriedUntilItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{queue: make(chan *proposal, 1), written: make(chan struct{}), ctx: t.Context()}
		born := make(chan struct{})
		go func() {
			defer close(born)
			s.birth(t.Context())
		}()
		for tries := 1; tries <= 3; tries++ {
			p := <-s.queue
			if now := uint64(time.Now().UnixMicro()); p.cmd.Op != table.Raise || p.cmd.Floor != now {
				t.Errorf("it proposes %v to %d, not to %d", p.cmd.Op, p.cmd.Floor, now)
			}
			var a answer
			if tries < 3 {
				a.err = errNoLeader()
			}
			s.reply(p, a)
		}
		<-born
	})
}

// A node whose log is of another history says so, and serves nobody.
func TestAnotherHistoryEndsANode(t *testing.T) {
	s := &Store{failed: make(chan error, 1)}
	s.leading.Store(true)
	s.conflict(9, 5)
	s.fail(errors.New("another reason")) // the first one is told
	if err := <-s.failed; err.Error() != "entries 5 to 9 of the log were left out by the other nodes; start this one again" {
		t.Error(err)
	}
	if s.leading.Load() {
		t.Error("it leads on")
	}
	if _, err := (log{s}).Propose(t.Context(), table.Command{Op: table.Raise}); err == nil {
		t.Error("it takes commands")
	}
}

var errGone = errors.New("gone")

// gone is the ctx of what is over.
func gone(t *testing.T) context.Context {
	ctx, leave := context.WithCancelCause(t.Context())
	leave(errGone)
	return ctx
}

// Who reads waits neither for ever nor for longer than he wants to.
func TestAReadIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{reads: make(chan *read, 9), peers: &peers{}, options: Options{Patience: time.Minute}, ctx: t.Context()}
		if err := (log{s}).Verify(t.Context()); err == nil {
			t.Error("who does not lead answers")
		}
		s.leading.Store(true)
		began := time.Now()
		if err := (log{s}).Verify(t.Context()); holdfast.ErrorCode(err) != holdfast.CodeUnavailable || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		s.ctx = gone(t)
		if err := (log{s}).Verify(t.Context()); err == nil || err.Error() != keeper.ErrStopping().Error() {
			t.Errorf("from a store that is closed: %v", err)
		}
		s.ctx = t.Context()
		if err := (log{s}).Verify(gone(t)); err != errGone {
			t.Errorf("to one who is gone: %v", err)
		}
	})
}
