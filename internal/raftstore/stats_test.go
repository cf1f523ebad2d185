package raftstore

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
)

func TestRaftStats(t *testing.T) {
	s := open(t, t.TempDir())
	before := settled(t, s)
	if !before.Leader || before.Term == 0 || before.Applied == 0 || before.Committed < before.Applied {
		t.Errorf("after the start: %+v", before)
	}
	const requests = 100
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys(strings.Repeat("x", i+1)), Exp: time.Hour})
		})
	}
	all.Wait()
	after := settled(t, s)
	entries := after.Entries - before.Entries
	if commands := after.Commands.Sum - before.Commands.Sum; commands != requests {
		t.Errorf("%d commands are counted, not %d", commands, requests)
	}
	if proposed := after.Commands.Count() - before.Commands.Count(); entries < 1 || entries != proposed {
		t.Errorf("%d entries were proposed, and %d written", proposed, entries)
	}
	if got := after.Applied - before.Applied; got != entries {
		t.Errorf("%d entries were applied, and %d written", got, entries)
	}
	// Raft writes several entries at once when it can.
	if writes := after.Write.Count() - before.Write.Count(); writes < 1 || writes > entries || after.Write.Sum <= before.Write.Sum {
		t.Errorf("%d writes of %d entries, in %d ns", writes, entries, after.Write.Sum-before.Write.Sum)
	}
	if got := s.Stats(); got.Grants.Load() != requests || got.Holds != requests {
		t.Errorf("%d grants, %d holds", got.Grants.Load(), got.Holds)
	}
}

// settled gives the figures once raft has noted that all is applied, which it
// does a moment after it was.
func settled(t *testing.T, s *Store) Stats {
	t.Helper()
	var stats Stats
	until(t, func() bool {
		stats = s.RaftStats()
		return stats.Applied == s.raft.LastIndex()
	})
	return stats
}

// A restart counts nothing that was counted before it.
func TestWhatIsReplayedIsNotCounted(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	for _, key := range []string{"x", "y", "z"} {
		lock(t, first, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys(key), Exp: time.Hour})
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if got := open(t, dir).Stats(); got.Grants.Load() != 0 || got.Holds != 3 {
		t.Errorf("%d grants, %d holds", got.Grants.Load(), got.Holds)
	}
}

// A write that fails is none, and a leader that cannot write steps down.
func TestLeaderChangesAreCounted(t *testing.T) {
	d := &badDisk{}
	s := openOn(t, d, 0)
	before := s.RaftStats()
	d.full.Store(true)
	s.Lock(t.Context(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	for end := time.Now().Add(30 * time.Second); s.RaftStats().LeaderChanges == before.LeaderChanges; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no change was counted")
		}
	}
	if got := s.RaftStats(); got.Entries != before.Entries || got.Write.Count() == before.Write.Count() {
		t.Errorf("%d entries in %d writes are counted", got.Entries-before.Entries, got.Write.Count()-before.Write.Count())
	}
}

// Counting must not hide from raft what the log is like.
func TestMeasuredLogIsWhatItMeasures(t *testing.T) {
	s := open(t, t.TempDir())
	if inner, ok := any(s.disk.logs).(raft.MonotonicLogStore); !ok || !inner.IsMonotonic() {
		t.Fatal("the log is not monotonic, and this test out of date")
	}
	if !s.disk.log.IsMonotonic() {
		t.Error("it does not look monotonic any more")
	}
	another := newLogWriter(raft.NewInmemStore())
	if another.IsMonotonic() {
		t.Error("another looks monotonic, and is not")
	}
	if err := another.StoreLog(&raft.Log{Index: 1}); err != nil || another.entries.Load() != 1 {
		t.Errorf("%d entries, %v", another.entries.Load(), err)
	}
}
