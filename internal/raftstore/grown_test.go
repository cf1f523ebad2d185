package raftstore

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
)

func openSmall(t *testing.T, dir string, most int64) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), SnapshotBytes: most})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// fill locks as many keys with a note of a kilobyte each.
func fill(t *testing.T, s *Store, name string, keys int) {
	t.Helper()
	for i := range keys {
		lock(t, s, holdfast.LockRequest{
			UID: "u", Keys: holdfast.Keys(fmt.Sprint(name, i)), Exp: time.Hour, Note: strings.Repeat("x", holdfast.MaxNote),
		})
	}
}

// size is how many bytes of entries the log holds, and how many entries.
func size(t *testing.T, s *Store) (bytes int64, entries int) {
	t.Helper()
	err := s.disk.each(0, func(entry *raft.Log) error {
		bytes, entries = bytes+int64(len(entry.Data)), entries+1
		return nil
	})
	if err != nil && !strings.Contains(err.Error(), "log not found") { // it is being cut
		t.Fatal(err)
	}
	return bytes, entries
}

func TestALogThatHasGrownIsCut(t *testing.T) {
	const most = 64 << 10
	dir := t.TempDir()
	s := openSmall(t, dir, most)
	for round := range 5 {
		fill(t, s, fmt.Sprint(round, "/"), 60) // about most
	}
	until(t, func() bool {
		bytes, entries := size(t, s)
		usual := s.raft.ReloadableConfig().TrailingLogs == s.options.SnapshotEvery/4 // from now on, as soon as it has been cut
		return bytes < most*3/2 && entries > 1 && s.disk.log.grown.Load() < most && usual
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openSmall(t, dir, most)
	if count, err := again.Count(t.Context()); err != nil || count.Holds != 300 {
		t.Error(count, err)
	}
}

// reluctant refuses the first snapshots.
type reluctant struct {
	raft.SnapshotStore
	refused atomic.Int32
}

func (r *reluctant) Create(version raft.SnapshotVersion, index, term uint64, members raft.Configuration, at uint64, transport raft.Transport) (raft.SnapshotSink, error) {
	if r.refused.Add(1) <= 2 {
		return nil, syscall.ENOSPC
	}
	return r.SnapshotStore.Create(version, index, term, members, at, transport)
}

// Nothing need be written for that: perhaps nothing can be.
func TestACutThatFailsIsTriedAgain(t *testing.T) {
	const most = 64 << 10
	var snapshots reluctant
	s, err := Open(t.Context(), Options{
		Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), SnapshotBytes: most,
		openStorage: func(options Options) (storage, error) {
			kept, err := openDir(options)
			snapshots.SnapshotStore, kept.snapshots = kept.snapshots, &snapshots
			return kept, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, "", 70)
	until(t, func() bool { return s.disk.log.grown.Load() < most })
	if tried := snapshots.refused.Load(); tried != 3 {
		t.Errorf("tried %d times", tried)
	}
}

// A log may count as grown though a snapshot has just come from another node. A
// part of it stays: if all had to go and could not, raft would not answer.
func TestACutLeavesAPartOfTheLog(t *testing.T) {
	s := openSmall(t, t.TempDir(), 0)
	fill(t, s, "", 5)
	for range 2 {
		if err := s.cut(); err != nil {
			t.Fatal(err)
		}
		if _, entries := size(t, s); entries == 0 {
			t.Error("nothing is left")
		}
	}
}

func TestALogThatGrewBeforeARestartIsCut(t *testing.T) {
	dir := t.TempDir()
	s := openSmall(t, dir, 0)
	fill(t, s, "", 60)
	if newest, err := s.disk.newest(); newest != nil || err != nil {
		t.Fatal(newest, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openSmall(t, dir, 32<<10)
	until(t, func() bool {
		newest, err := again.disk.newest()
		return newest != nil && err == nil
	})
}

func TestASnapshotIsDueFromSoManyBytesOn(t *testing.T) {
	w := newLogWriter(raft.NewInmemStore())
	w.most = 100
	write := func(index uint64, bytes int) (due bool) {
		t.Helper()
		if err := w.StoreLog(&raft.Log{Index: index, Data: make([]byte, bytes)}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-w.full:
			return true
		default:
			return false
		}
	}
	if write(1, 99) {
		t.Error("due after 99 bytes")
	}
	if !write(2, 1) {
		t.Error("not due after 100 bytes")
	}
	covered := w.covered()
	write(3, 99) // while the snapshot is written
	covered()
	if write(4, 0) {
		t.Error("due after 99 bytes more")
	}
	if !write(5, 1) {
		t.Error("not due after 100 bytes more")
	}
}
