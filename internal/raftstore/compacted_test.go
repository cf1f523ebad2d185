package raftstore

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/table"
)

// Raft gets of entries that a node has dropped only those which it can use.
func TestEntriesThatAreInASnapshotAreLeftOut(t *testing.T) {
	type request struct {
		before      uint64 // the entry before the first one that is sent
		first, last uint64 // the entries; zero for none
		commit      uint64
	}
	for name, c := range map[string]struct {
		log         [2]uint64 // its first and last entry; zero for none
		snapshot    uint64    // its last entry; zero for none
		sent, given request
	}{
		"after the log":                      {[2]uint64{4, 8}, 6, request{8, 9, 9, 8}, request{8, 9, 9, 8}},
		"after the first entry of the log":   {[2]uint64{4, 8}, 6, request{4, 5, 9, 8}, request{4, 5, 9, 8}},
		"at the first entry of the log":      {[2]uint64{4, 8}, 6, request{3, 4, 9, 8}, request{0, 7, 9, 8}},
		"from the beginning":                 {[2]uint64{4, 8}, 6, request{0, 1, 9, 8}, request{0, 7, 9, 8}},
		"up to the snapshot's last":          {[2]uint64{4, 8}, 6, request{2, 3, 6, 8}, request{0, 0, 0, 6}},
		"up to one beyond it":                {[2]uint64{4, 8}, 6, request{2, 3, 7, 8}, request{0, 7, 7, 7}},
		"up to one before it":                {[2]uint64{4, 8}, 6, request{2, 3, 5, 8}, request{0, 0, 0, 6}},
		"with nothing committed yet":         {[2]uint64{4, 8}, 6, request{2, 3, 5, 2}, request{0, 0, 0, 2}},
		"nothing":                            {[2]uint64{4, 8}, 6, request{2, 0, 0, 8}, request{0, 0, 0, 6}},
		"after a snapshot, and no log":       {[2]uint64{}, 6, request{6, 7, 9, 8}, request{0, 7, 9, 8}},
		"before a snapshot, and no log":      {[2]uint64{}, 6, request{5, 6, 9, 8}, request{0, 7, 9, 8}},
		"beyond a snapshot, and no log":      {[2]uint64{}, 6, request{7, 8, 9, 8}, request{7, 8, 9, 8}},
		"after a snapshot, where a log goes": {[2]uint64{7, 8}, 6, request{6, 7, 9, 8}, request{0, 7, 9, 8}},
		"to an empty node":                   {[2]uint64{}, 0, request{0, 1, 9, 8}, request{0, 1, 9, 8}},
		"beyond an empty node":               {[2]uint64{}, 0, request{3, 4, 9, 8}, request{3, 4, 9, 8}},
		"again, before any snapshot":         {[2]uint64{1, 8}, 0, request{0, 1, 9, 8}, request{0, 1, 9, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := newSimDisk(rand.New(rand.NewPCG(1, 1)))
				if c.snapshot > 0 {
					sink, _ := memory.Create(1, c.snapshot, 2, raft.Configuration{}, 1, nil)
					sink.Close()
				}
				for index := c.log[0]; index > 0 && index <= c.log[1]; index++ {
					memory.StoreLog(&raft.Log{Index: index, Term: 2})
				}
				kept, _ := memory.storage(Options{})
				m := mend(newSimTransport(newSimNetwork(1, 1), 0, "n0@"), &disk{storage: kept, log: newLogWriter(memory)}, isAdmitted, nil)
				defer m.Close()
				sent := &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: c.sent.before, PrevLogTerm: 2, LeaderCommitIndex: c.sent.commit}
				for index := c.sent.first; index > 0 && index <= c.sent.last; index++ {
					sent.Entries = append(sent.Entries, &raft.Log{Index: index, Term: 2})
				}
				go func() { m.transport.(*simTransport).consumer <- raft.RPC{Command: sent} }()
				got := (<-m.Consumer()).Command.(*raft.AppendEntriesRequest)
				given := request{before: got.PrevLogEntry, commit: got.LeaderCommitIndex}
				if n := len(got.Entries); n > 0 {
					given.first, given.last = got.Entries[0].Index, got.Entries[n-1].Index
				}
				if given != c.given {
					t.Errorf("raft gets %+v, not %+v", given, c.given)
				}
				if compare := got.PrevLogTerm != 0; compare != (c.given == c.sent) || got.Term != 3 {
					t.Errorf("the term before is %d, the leader's %d", got.PrevLogTerm, got.Term)
				}
			})
		})
	}
}

// A node that has dropped more of its log than its leader knows it to have
// catches up.
func TestANodeWhoseAnswersWereLostCatchesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		within := func(what string, ok func() bool) {
			t.Helper()
			for range 3000 {
				if ok() {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Error("in vain: " + what)
		}
		leads := func(n *simNode) bool { return n != w.spare && n.living().leading.Load() }
		within("a leader", func() bool { return slices.ContainsFunc(w.nodes, leads) })
		leader := w.nodes[max(0, slices.IndexFunc(w.nodes, leads))]
		mute := w.nodes[(leader.index+1)%3]
		has := func(n *simNode) uint64 { return n.living().raft.AppliedIndex() }
		write := func() {
			if _, err := leader.living().propose(context.Background(), table.Command{Op: table.Raise, Floor: has(leader)}); err != nil {
				t.Error(err)
			}
		}
		write()
		within("all are level", func() bool { return has(mute) == has(leader) })
		known := has(mute)
		heal := w.cut(func(from, to int) bool { return from == mute.index && to == leader.index })
		for range 40 {
			write()
		}
		within("the node gets what it cannot confirm", func() bool { return has(mute) == has(leader) })
		if err := mute.living().raft.Snapshot().Error(); err != nil {
			t.Error(err)
		}
		if first, _ := mute.disk.FirstIndex(); first <= known+1 {
			t.Errorf("the log begins with entry %d, and the leader knows of %d", first, known)
		}
		heal()
		write()
		within("it catches up", func() bool { return has(mute) == has(leader) })
		for _, n := range w.nodes {
			n.stop(n.living())
		}
		w.ending.Wait()
		for _, problem := range w.problems {
			t.Error(problem)
		}
	})
}

// A crash may come when a snapshot of another node is there, and the log that
// ends before it has not been dropped yet.
func TestALogThatEndsBeforeTheSnapshotIsDropped(t *testing.T) {
	dir, tokens := made(t, 3)
	s := open(t, dir)
	last, term, members := s.raft.LastIndex(), s.raft.CurrentTerm(), raft.Configuration{Servers: s.servers()}
	ahead := s.keeper.Snapshot()
	s.Close()
	snapshots, err := raft.NewFileSnapshotStore(dir, 2, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, transport := raft.NewInmemTransport("")
	sink, err := snapshots.Create(1, last+25, term, members, 1, transport)
	if err == nil {
		_, err = ahead.WriteTo(sink)
	}
	if err := errors.Join(err, sink.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = open(t, dir)
		lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("another"), Exp: time.Hour})
		if held, err := s.Check(t.Context(), []string{tokens[0].Key}); err != nil || !held {
			t.Errorf("what was held: %v, %v", held, err)
		}
		s.Close()
	}
}
