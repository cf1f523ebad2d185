package raftstore

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"holdfast"
)

// A leader that reaches nobody may have been replaced: it neither tells what is
// held nor lets anybody hold on, for as long as it thinks that it leads.
func TestALeaderThatReachesNobodyAnswersNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		leader := w.leader()
		l := Leading{leader.living().Service, leader.living().Store}
		lock(t, l, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
		heal := w.cut(func(from, to int) bool { return from == leader.index || to == leader.index })
		answers := make(chan error, 3)
		go func() { _, err := l.Check(context.Background(), []string{"x"}); answers <- err }()
		go func() {
			_, err := l.Extend(context.Background(), holdfast.ExtendRequest{UID: "a", Exp: time.Minute})
			answers <- err
		}()
		go func() {
			_, err := l.Lock(context.Background(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Minute})
			answers <- err
		}()
		for range 3 {
			if err := <-answers; holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
				t.Errorf("answer: %v", err)
			}
		}
		heal()
		w.end()
	})
}

// What is granted after its owner was told that nobody knows is taken back.
func TestAGrantThatComesTooLateIsTakenBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 1, true)
		s := w.leader().living()
		fast := w.nodes[0].onDisk(func(d *simDisk) { d.slowest = 2*simPatience - 100*time.Millisecond }, func(d *simDisk) { d.slowest = usualWrite })
		granted, unknown := 0, 0
		for n := 0; unknown == 0 && n < 50; n++ {
			_, err := s.Lock(context.Background(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys(fmt.Sprint(n)), Exp: time.Hour})
			if err == nil {
				granted++
			} else {
				unknown++
			}
		}
		fast()
		if unknown == 0 {
			t.Error("every answer came in time")
		}
		time.Sleep(10 * time.Second)
		if held, _ := s.Count(context.Background()); held.Holds != granted {
			t.Errorf("%d were told, and %d are held", granted, held.Holds)
		}
		w.end()
	})
}

// So is one whose owner extends all that it holds, and does not hear of that either.
func TestAGrantThatIsExtendedTooLateIsTakenBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 1, true)
		s := w.leader().living()
		fast := w.nodes[0].onDisk(func(d *simDisk) { d.slowest = 2*simPatience - 100*time.Millisecond }, func(d *simDisk) { d.slowest = usualWrite })
		var unheard []string
		for n := range 20 {
			name := fmt.Sprint(n)
			var lockErr error
			var asked sync.WaitGroup
			asked.Go(func() {
				_, lockErr = s.Lock(context.Background(), holdfast.LockRequest{UID: name, Keys: holdfast.Keys(name), Exp: time.Hour})
			})
			time.Sleep(time.Millisecond)
			_, err := s.Extend(context.Background(), holdfast.ExtendRequest{UID: name, Exp: 2 * time.Hour})
			asked.Wait()
			if lockErr != nil && err != nil {
				unheard = append(unheard, name)
			}
		}
		fast()
		if len(unheard) == 0 {
			t.Error("every answer came in time")
		}
		time.Sleep(10 * time.Second)
		for _, name := range unheard {
			if state, err := s.Get(context.Background(), name); err != nil || len(state.Holders) > 0 {
				t.Errorf("nobody has heard of %+v, %v", state, err)
			}
		}
		w.end()
	})
}
