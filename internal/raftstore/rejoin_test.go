package raftstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/internal/table"
)

// A node that comes back under its old ID with an empty disk is sent the log
// from the beginning, in which it was a voter once, perhaps the only one. It
// does not take that for the present: it does not lead by it, and gets its vote
// when it has read on.
func TestANodeReadsThatItWasAVoterOnce(t *testing.T) {
	for name, meanwhile := range map[string]func(*world, *simNode){
		"and gets no further": func(*world, *simNode) {},
		"and is cut off": func(w *world, n *simNode) {
			heal := w.cut(func(from, to int) bool { return from == n.index || to == n.index })
			stands := func() bool { return n.living().raft.State() != raft.Follower }
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				if stands() {
					w.t.Error("it stands for election")
					break
				}
			}
			heal()
		},
		"and is killed": func(_ *world, n *simNode) {
			n.crash(0)
			n.start()
		},
		"and is moved": func(_ *world, n *simNode) {
			n.crash(0)
			n.address = fmt.Sprintf("n%d:7001", n.index)
			n.start()
			if n.votes() {
				n.world.t.Error("it has changed what its log tells of the members")
			}
		},
	} {
		for _, size := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, of %d", name, size), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, 1, size, false)
					again, readOn := w.readPast()
					meanwhile(w, again)
					time.Sleep(time.Second)
					if w.votes(again) {
						t.Error("it has its vote by now")
					}
					readOn()
					w.within("it gets its vote", func() bool { return w.votes(again) })
					w.end()
				})
			})
		}
	}
}

// readPast has a node removed, and begin again with an empty disk. It reads that
// it is a voter, and no further until readOn is called.
func (w *world) readPast() (again *simNode, readOn func()) {
	rng := rand.New(rand.NewPCG(1, 1))
	again = w.leader()
	last := uint64(0)
	for last < 100 { // more than what is sent at once
		if _, err := again.living().propose(context.Background(), table.Command{Op: table.Raise, Floor: 1}); err != nil {
			w.t.Error(err)
		}
		last = again.living().raft.LastIndex()
	}
	w.join(w.spare)
	w.remove(again, rng)
	again.lose(rng, false)
	readOn = again.onDisk(func(d *simDisk) { d.room = last }, func(d *simDisk) { d.room = 0 })
	again.hold(-1)
	again.start()
	w.within("it reads that it was a voter", again.votes)
	return again, readOn
}

// votes says whether the node is a voter, for all it knows.
func (n *simNode) votes() bool {
	l := n.living()
	return l != nil && l.votes()
}

// votes says whether a node is a voter, as the leader knows.
func (w *world) votes(n *simNode) bool {
	return slices.Contains(w.leader().living().servers(), raft.Server{ID: raft.ServerID(n.id), Address: join(n.id, n.address)})
}

// A node that is removed before it has read so far as to know itself hears of
// it, though the leader that took it in does not lead any more.
func TestANodeThatReadsThePastIsRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		again, _ := w.readPast()
		leader := w.leader()
		heal := w.cut(func(from, to int) bool { return from == again.index || to == again.index })
		leader.hold(1)
		leader.crash(0)
		w.within("another one leads", func() bool { return len(w.leaders()) > 0 })
		if err := w.leader().living().RemoveNode(context.Background(), again.id); err != nil {
			t.Error(err)
		}
		leader.hold(-1)
		leader.start()
		time.Sleep(2 * simMessageTimeout) // so that the new leader sends nothing there any more
		heal()
		w.within("it is told", again.refusedOnce)
		w.end()
	})
}

// A node may find in its log that it has got its vote, and the change comes to
// nothing all the same. Then it asks again.
func TestAVoteThatComesToNothingIsAskedForAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		leader := w.leader()
		a, b := w.nodes[(leader.index+1)%3], w.nodes[(leader.index+2)%3]
		w.spare.hold(-1)
		w.spare.start()
		w.within("it is taken in", func() bool { return w.spare.living().admitted() })
		var room []func()
		for _, n := range []*simNode{a, b} {
			room = append(room, n.onDisk(func(d *simDisk) { d.full = true }, func(d *simDisk) { d.full = false }))
		}
		w.within("it reads that it has its vote", w.spare.votes)
		heal := w.cut(func(from, to int) bool { return from == w.spare.index || to == w.spare.index })
		leader.hold(1)
		leader.crash(0)
		for _, give := range room {
			give()
		}
		w.within("one leads who knows nothing of it", func() bool { return w.leader() != leader && !w.votes(w.spare) })
		heal()
		w.within("it gets its vote", func() bool { return w.votes(w.spare) })
		leader.hold(-1)
		leader.start()
		w.end()
	})
}
