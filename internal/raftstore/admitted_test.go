package raftstore

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/table"
)

func isAdmitted() (uint64, bool) { return 0, true }

// leader waits for one.
func (w *world) leader() *simNode {
	w.within("a leader", func() bool { return len(w.leaders()) > 0 })
	i := slices.IndexFunc(w.nodes, func(n *simNode) bool { l := n.living(); return l != nil && l.leading.Load() })
	return w.nodes[max(i, 0)]
}

// within waits for something that must come.
func (w *world) within(what string, ok func() bool) {
	w.t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Error("in vain: " + what)
}

// end stops all nodes, and fails the test if the world has had a problem.
func (w *world) end() {
	w.t.Helper()
	for _, n := range w.nodes {
		n.stop(n.living())
	}
	w.ending.Wait()
	for _, problem := range w.problems {
		w.t.Error(problem)
	}
}

// A node takes part once it is on its disk that it may, and not before.
func TestAnAdmissionThatCannotBeWrittenIsNone(t *testing.T) {
	dir := t.TempDir()
	s := &Store{options: Options{Dir: filepath.Join(dir, "gone")}, peers: &peers{identity: &identity{Cluster: "c", ID: "a"}}}
	if err := s.noteAdmission(7); err == nil {
		t.Error("it is written")
	}
	if s.admitted() || s.present() {
		t.Error("it takes part")
	}
	s.options.Dir = dir
	if err := s.noteAdmission(7); err != nil || !s.admitted() {
		t.Errorf("it may not take part: %v", err)
	}
	if err := s.noteAdmission(9); err != nil {
		t.Error(err)
	}
	if kept, err := readIdentity(dir); err != nil || !kept.Admitted || kept.Since != 7 {
		t.Errorf("on disk: %+v, %v", kept, err)
	}
}

// Who may not take part yet answers that to every message, and reads all of it:
// its sender would wait.
func TestWhoIsNotAdmittedSaysSo(t *testing.T) {
	for _, admitted := range []bool{false, true} {
		m := &mended{admission: func() (uint64, bool) { return 0, admitted }}
		answers, data := make(chan raft.RPCResponse, 1), strings.NewReader("a snapshot")
		if refused := m.refuses(raft.RPC{Reader: data, RespChan: answers}); refused == admitted {
			t.Errorf("admitted: %v, refused: %v", admitted, refused)
		}
		if (data.Len() == 0) == admitted || (len(answers) == 1) == admitted {
			t.Errorf("admitted: %v, %d bytes are unread, %d answers", admitted, data.Len(), len(answers))
		}
		if !admitted {
			if answer := <-answers; answer.Error != errNotAdmitted {
				t.Errorf("the answer is %+v", answer)
			}
		}
	}
	m := &mended{admission: func() (uint64, bool) { return 0, false }}
	if !m.refuses(raft.RPC{RespChan: make(chan raft.RPCResponse, 1)}) {
		t.Error("a message without data is taken")
	}
}

// What is on two of three disks is kept when one of the two is lost, and its
// node comes back with an empty one: it does not help the third to lead.
func TestANodeThatHasLostItsDiskDoesNotVote(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		rng := rand.New(rand.NewPCG(1, 1))
		leader := w.leader()
		lost, behind := w.nodes[(leader.index+1)%3], w.nodes[(leader.index+2)%3]
		heal := w.cut(func(from, to int) bool { return from == behind.index || to == behind.index })
		floor := leader.living().keeper.Version() + 1000
		if _, err := leader.living().propose(context.Background(), table.Command{Op: table.Raise, Floor: floor}); err != nil {
			t.Error(err)
		}
		leader.hold(1)
		leader.crash(0)
		lost.lose(rng, false)
		heal()
		lost.hold(-1)
		lost.start()
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if leaders := w.leaders(); len(leaders) > 0 {
				t.Fatalf("%v leads", leaders)
			}
		}
		if r := lost.living().answerTo(question{Op: askTerm}); r.Refusal == "" {
			t.Errorf("it claims to know that the latest term is %d", r.Term)
		}
		leader.hold(-1)
		leader.start()
		if got := w.leader().living().keeper.Version(); got < floor {
			t.Errorf("version %d was answered, and %d is the last one", floor, got)
		}
		w.within("the empty disk is refused", lost.refusedOnce)
		w.end()
	})
}

// A node that was removed before it had anything in its log does not come back
// by itself.
func TestWhoWasRemovedDoesNotJoinByItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		leader := w.leader()
		w.spare.hold(-1)
		w.spare.start()
		w.within("it is taken in", func() bool { return w.spare.living().admitted() })
		w.spare.hold(1)
		w.spare.crash(0)
		w.spare.disk = newSimDisk(rand.New(rand.NewPCG(1, 1))) // as if nothing had been written yet
		if err := leader.living().RemoveNode(context.Background(), w.spare.id); err != nil {
			t.Error(err)
		}
		w.spare.hold(-1)
		w.spare.start()
		w.within("it is refused", w.spare.refusedOnce)
		if _, in := leader.living().member(w.spare.id); in {
			t.Error("it is a member again")
		}
		w.end()
	})
}

// A removal that is not on a majority of disks yet may come to nothing: nobody
// is told that the node is not there.
func TestARemovalIsNotToldBeforeItIsCertain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		leader := w.leader()
		gone := w.nodes[(leader.index+1)%3]
		heal := w.cut(func(from, to int) bool { return from == leader.index || to == leader.index })
		l := Leading{leader.living().Service, leader.living().Store}
		first := make(chan error, 1)
		go func() {
			free := l.s.membership()
			defer free()
			first <- membershipError(l.s.change(func() raft.IndexFuture { return l.s.raft.RemoveServer(raft.ServerID(gone.id), 0, changeWithin) }))
		}()
		w.within("it is in the leader's log", func() bool { _, in := l.s.member(gone.id); return !in })
		for _, err := range []error{l.RemoveNode(context.Background(), gone.id), <-first} {
			if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
				t.Errorf("answer: %v", err)
			}
		}
		gone.change(true) // it may be removed in the end
		heal()
		w.end()
	})
}

// A change that cannot be written is none: the node that has tried it does not
// go on as if it were.
func TestAChangeThatCannotBeWrittenIsNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		leader := w.leader()
		other := w.nodes[(leader.index+1)%3]
		first := leader.living()
		room := leader.onDisk(func(d *simDisk) { d.full = true }, func(d *simDisk) { d.full = false })
		if err := (Leading{first.Service, first.Store}).RemoveNode(context.Background(), other.id); err == nil {
			t.Error("it is answered")
		}
		w.within("the node is started again", func() bool { l := leader.living(); return l != nil && l != first })
		room()
		if _, in := leader.living().member(other.id); !in {
			t.Error("it has taken effect")
		}
		w.end()
	})
}

// Whoever lives of the members elects a leader if it is a majority, though one
// of them was away when another one joined.
func TestOneWhoHasJoinedGetsTheVoteOfOneWhoWasAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		leader := w.leader()
		away, replaced := w.nodes[(leader.index+1)%3], w.nodes[(leader.index+2)%3]
		heal := w.cut(func(from, to int) bool { return from == away.index || to == away.index })
		w.join(w.spare)
		if err := leader.living().RemoveNode(context.Background(), replaced.id); err != nil {
			t.Error(err)
		}
		for _, n := range []*simNode{leader, replaced} {
			n.hold(1)
			n.crash(0)
		}
		heal()
		if got := w.leader(); got != w.spare {
			t.Errorf("%s leads", got.id)
		}
		w.end()
	})
}

// Whoever has been taken in has forgotten for whom it voted before, and does not
// vote until it knows what the cluster had come to then. There may be one who
// has not heard that it was removed meanwhile, and counts its vote.
func TestANodeThatIsTakenInDoesNotVoteAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 5, false)
		rng := rand.New(rand.NewPCG(1, 1))
		leader := w.leader()
		others := slices.DeleteFunc(slices.Clone(w.nodes[:5]), func(n *simNode) bool { return n == leader })
		follower, behind, lost := others[0], others[1], others[2:] // who joins asks the first
		heal := w.cut(func(from, to int) bool { return from == behind.index || to == behind.index })
		l := leader.living()
		floor := l.keeper.Version() + 1000
		if _, err := l.propose(context.Background(), table.Command{Op: table.Raise, Floor: floor}); err != nil {
			t.Error(err)
		}
		for _, n := range lost {
			if err := (Leading{l.Service, l.Store}).RemoveNode(context.Background(), n.id); err != nil {
				t.Error(err)
			}
			n.lose(rng, false)
		}
		for _, n := range lost {
			n.hold(-1)
			n.start()
			w.within("it is taken in", func() bool { return n.living().admitted() })
			w.cut(func(from, to int) bool { return from == leader.index && to == n.index }) // it is sent nothing yet
		}
		for _, n := range []*simNode{leader, follower} {
			n.hold(1)
			n.crash(0)
		}
		for _, n := range lost {
			if r := n.living().answerTo(question{Op: askTerm}); r.Refusal == "" {
				t.Errorf("%s claims to know that the latest term is %d", n.id, r.Term)
			}
		}
		heal()
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if leaders := w.leaders(); len(leaders) > 0 {
				t.Errorf("%v leads, and knows version %d of %d", leaders, behind.living().keeper.Version(), floor)
				break
			}
		}
		for _, n := range []*simNode{leader, follower} {
			n.hold(-1)
			n.start()
		}
		if got := w.leader().living().keeper.Version(); got < floor {
			t.Errorf("version %d was answered, and %d is the last one", floor, got)
		}
		w.end()
	})
}

// A node is not taken in at the place of another one, nor a second one by its name.
func TestWhoIsNotTakenIn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		leader := w.leader()
		other := w.nodes[(leader.index+1)%3]
		for _, c := range []struct {
			asks    question
			refusal string
		}{
			{question{ID: "new", Peer: other.address, Fresh: true}, "has the address"},
			{question{ID: other.id, Peer: "elsewhere:7000"}, "it answers at"},
			{question{ID: "new", Peer: "elsewhere:7000"}, "was removed"},
			{question{ID: other.id, Peer: other.address, Fresh: true}, "is empty"},
			{question{ID: "n e w", Peer: "elsewhere:7000", Fresh: true}, "cannot be the ID"},
		} {
			if r := leader.living().admit(c.asks); r.Again || !strings.Contains(r.Refusal, c.refusal) {
				t.Errorf("%+v: %+v", c.asks, r)
			}
		}
		w.end()
	})
}
