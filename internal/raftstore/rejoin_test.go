package raftstore

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/internal/table"
)

// hasVote says whether the leader, whoever it is, knows a node as a voter where
// that is now.
func (w *world) hasVote(n *simNode) bool {
	me, ok := w.leader().living().member(n.id)
	return ok && me.Suffrage == raft.Voter && me.Address == join(n.id, n.address)
}

// A node that comes back under its old ID with an empty disk is sent the log
// from the beginning, in which it was a voter once. It does not take that for
// the present, and gets its vote.
func TestANodeReadsThatItWasAVoterOnce(t *testing.T) {
	for name, meanwhile := range map[string]func(*simNode){
		"and reads on": func(*simNode) {},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1, 3, false)
				leader := w.leader()
				again := w.nodes[(leader.index+1)%3]
				var first uint64  // before it is removed
				for first < 100 { // more than what is sent at once
					if _, err := leader.living().propose(context.Background(), table.Command{Op: table.Raise, Floor: 1}); err != nil {
						t.Fatal(err)
					}
					first = leader.living().raft.LastIndex()
				}
				w.remove(again, rand.New(rand.NewPCG(1, 1)))
				again.lose(rand.New(rand.NewPCG(1, 1)), false)
				room := again.onDisk(func(d *simDisk) { d.room = first }, func(d *simDisk) { d.room = 0 })
				again.hold(-1)
				again.start()
				w.within("it reads that it was a voter", func() bool {
					me, ok := again.living().member(again.id)
					return ok && me.Suffrage == raft.Voter
				})
				if w.hasVote(again) {
					t.Error("it has its vote by now")
				}
				meanwhile(again)
				time.Sleep(time.Second)
				room()
				w.within("it gets its vote", func() bool { return w.hasVote(again) })
				w.end()
			})
		})
	}
}
