package raftstore

import (
	"context"
	"testing"
	"time"
)

// A leader hands over to one that lives, whoever of the others does not.
func TestALeaderHandsOverToOneThatLives(t *testing.T) {
	for away := range 2 {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1, 3, false)
			leader := w.leader()
			time.Sleep(time.Second) // until all have everything, and so are alike to raft
			gone := w.nodes[(leader.index+1+away)%3]
			gone.hold(1)
			gone.crash(0)
			l := leader.living()
			if err := (Leading{l.Service, l.Store}).StepDown(context.Background()); err != nil {
				t.Error(err)
			}
			w.within("another one leads", func() bool { return w.leader() != leader })
			w.end()
		})
	}
}

// One that does not even refuse takes no more than a part of the time, however
// long the election timeout is.
func TestALeaderHandsOverThoughOneIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		leader := w.leader()
		time.Sleep(time.Second) // until all have everything
		gone := w.nodes[(leader.index+1)%3]
		w.cut(func(from, to int) bool { return from == gone.index || to == gone.index })
		l := leader.living()
		l.options.Node.ElectionTimeout = 2 * l.options.Patience
		if err := (Leading{l.Service, l.Store}).StepDown(context.Background()); err != nil {
			t.Error(err)
		}
		w.within("another one leads", func() bool { return w.leader() != leader })
		w.end()
	})
}

// A leader that is stopped in good order lets another one lead before it goes.
func TestAStopHandsOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		old := w.leader()
		old.living().Stop()
		time.Sleep(simElection / 3)
		if leaders := w.leaders(); len(leaders) != 1 || leaders[0] == old.id {
			t.Errorf("%s has stopped, and %q lead", old.id, leaders)
		}
		w.end()
	})
}
