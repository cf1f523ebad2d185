package raftstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/wire"
)

// Membership is changed as people change it: they ask until it is done, and a
// node that is to join again begins with an empty disk.

// simMemberFaults change who is a member. One of them happens at a time: two
// nodes that lose their disks are more than a cluster of three can bear.
var simMemberFaults = []simFault{
	{"a node comes and goes", 700 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		n := w.spare
		w.join(n)
		return func() { w.remove(n, rng); n.lose(rng, true) }
	}},
	{"a node is replaced", 700 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		n := w.nodes[rng.IntN(w.size)]
		w.remove(n, rng)
		n.lose(rng, true)
		return func() { w.join(n) }
	}},
	// Nobody has removed it: it has to be refused, and must not vote before.
	{"a node loses its disk", 700 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		n := w.nodes[rng.IntN(w.size)]
		n.lose(rng, false)
		n.hold(-1)
		n.start()
		return func() {
			w.remove(n, rng)
			n.lose(rng, true)
			w.join(n)
		}
	}},
}

// changeMembers does one of these things, unless one is under way.
func (w *world) changeMembers(rng *rand.Rand) func() {
	kind := simMemberFaults[rng.IntN(len(simMemberFaults))]
	if w.size == 1 {
		kind = simMemberFaults[0] // the only node cannot go
	}
	if w.spare == nil || !w.members.CompareAndSwap(false, true) {
		return func() {}
	}
	w.note(kind.name)
	w.say("%s: begins", kind.name)
	w.forgive()
	undo := kind.begin(w, rng)
	w.say("%s: half", kind.name)
	time.Sleep(time.Duration(rng.Int64N(int64(kind.longest))))
	return func() {
		undo()
		w.say("%s: is over", kind.name)
		w.members.Store(false)
		w.reckon()
	}
}

// insist tries until it is done.
func (w *world) insist(what string, try func() bool) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if try() {
			return
		}
	}
	w.problem("%s: it cannot be done", what)
}

// remove has a node removed from the cluster. It may not hear of it.
func (w *world) remove(n *simNode, rng *rand.Rand) {
	n.change(true)
	w.insist("removal of "+n.id, func() bool {
		l := w.nodes[rng.IntN(len(w.nodes))].living()
		if l == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), simPatience)
		defer cancel()
		err := l.RemoveNode(ctx, n.id)
		select {
		case <-l.over:
			return false // what it says then reaches nobody, and may be lost
		default:
		}
		w.say("removal of %s: %v", n.id, err)
		return err == nil || holdfast.ErrorCode(err) == holdfast.CodeNotFound
	})
	w.say("%s is removed", n.id)
}

// lose ends the life of a node, and gives it an empty disk. It is down then,
// and held so.
func (n *simNode) lose(rng *rand.Rand, later bool) {
	if later {
		time.Sleep(time.Duration(rng.Int64N(int64(2 * lookEvery))))
	}
	n.change(true)
	n.hold(1)
	n.crash(time.Duration(rng.Int64N(int64(time.Second))))
	n.turn <- struct{}{}
	defer func() { <-n.turn }()
	if err := errors.Join(os.RemoveAll(n.dir), os.MkdirAll(n.dir, 0o700)); err != nil {
		n.world.problem("%v", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.disk = newSimDisk(rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64())))
	n.world.say("%s has an empty disk", n.id)
}

// join starts a node that lose has left, and waits until it has its vote.
func (w *world) join(n *simNode) {
	rng := rand.New(rand.NewPCG(w.seed, uint64(n.index)))
	n.change(true)
	n.hold(-1)
	n.start()
	w.insist("joining of "+n.id, func() bool {
		if n.refusedOnce() {
			// An earlier removal has come to nothing after all.
			w.note("refused")
			w.remove(n, rng)
			n.lose(rng, false)
			n.hold(-1)
		}
		n.start()
		l := n.living()
		if l == nil {
			return false
		}
		if me, ok := l.member(n.id); !ok || me.Suffrage != raft.Voter {
			return false
		}
		// That may have been long ago; and a vote that is not committed can be lost
		// with one of the others.
		for _, other := range w.nodes {
			if l := other.living(); l != nil && l.leading.Load() {
				free := l.membership()
				if free == nil {
					return false
				}
				defer free()
				me, ok := l.member(n.id)
				return ok && me.Suffrage == raft.Voter
			}
		}
		return false
	})
	n.change(false)
	n.start()
	w.say("%s has joined", n.id)
}

// change notes that the membership of the node is changing: it may end by
// itself, and asks where to join when it starts.
func (n *simNode) change(to bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changing, n.refused = to, false
}

func (n *simNode) isChanging() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changing
}

// refuse notes that the node ended by itself.
func (n *simNode) refuse() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = true
}

func (n *simNode) refusedOnce() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.refused
	n.refused = false
	return was
}

// whomToJoin is a client of the other nodes.
func (n *simNode) whomToJoin() *client.Client {
	c, err := client.Options{Patience: 5 * time.Second, Plain: true, Transport: simAsking{n}}.New("http://simulated")
	if err != nil {
		n.world.t.Fatal(err)
	}
	return c
}

// simAsking carries the question who is in the cluster to some other node.
type simAsking struct{ node *simNode }

func (a simAsking) RoundTrip(request *http.Request) (*http.Response, error) {
	w := a.node.world
	time.Sleep(10 * time.Millisecond)
	for _, other := range w.nodes {
		l := other.living()
		if other == a.node || l == nil || w.network.isCut(a.node.index, other.index) {
			continue
		}
		cluster, err := l.Cluster(request.Context())
		if err != nil {
			continue
		}
		return &http.Response{
			StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(wire.AppendCluster(nil, cluster))),
		}, nil
	}
	return nil, fmt.Errorf("no node to ask")
}

// isCut says whether two nodes cannot talk to each other.
func (n *simNetwork) isCut(a, b int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links[[2]int{a, b}].cuts+n.links[[2]int{b, a}].cuts > 0
}
