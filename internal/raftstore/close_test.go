package raftstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// What was on its way to the disk when the store closed may be carried out at the
// next start, and whoever asked for it is told so.
func TestWhatIsOnItsWayWhenTheStoreClosesMayHappen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 1, true)
		n := w.leader()
		fast := n.onDisk(func(d *simDisk) { d.slowest = 20 * simPatience }, func(d *simDisk) { d.slowest = usualWrite })
		first := n.living()
		answer := make(chan error, 1)
		go func() {
			_, err := first.Lock(context.Background(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
			answer <- err
		}()
		time.Sleep(time.Millisecond)
		n.stop(first)
		err := <-answer
		refusal, ok := errors.AsType[*holdfast.Error](err)
		if !ok || refusal.Code != holdfast.CodeUnavailable || !refusal.OutcomeUnknown {
			t.Errorf("answer: %v", err)
		}
		fast()
		n.start()
		if held, err := w.leader().living().Check(context.Background(), []string{"x"}); err != nil || !held {
			t.Errorf("it was not on its way: %v", err)
		}
		w.end()
	})
}

// Nor does a store wait, when it closes, for a command of its own that raft never
// answers.
func TestAStoreClosesThatIsNotAnswered(t *testing.T) {
	s := open(t, t.TempDir())
	p := &proposal{cmd: table.Command{Op: table.Expire}, answer: make(chan answer, 1)}
	b := newBatch(1<<40, []*proposal{p}, func() {})
	s.batches.Store(b.number, b)
	s.done.Go(func() { s.heard(p, <-p.answer) })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		s.failBatches()
		t.Error("it waits")
	}
}
