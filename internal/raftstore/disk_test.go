package raftstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/logtest"
	"holdfast/internal/table"
)

// made gives a data directory with n holds in it, each of an entry of its own,
// and the tokens.
func made(t *testing.T, n int) (dir string, tokens []holdfast.Token) {
	dir = t.TempDir()
	s := open(t, dir)
	for i := range n {
		grant := lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys(fmt.Sprint("k", i)), Exp: time.Hour})
		tokens = append(tokens, grant.Tokens...)
	}
	s.Close()
	return dir, tokens
}

func segmentOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return files[0]
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// ends gives where the data in a segment ends.
func ends(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(segmentOf(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return len(bytes.TrimRight(b, "\x00"))
}

// A crash in the middle of a write leaves any part of the last record: it lacks
// its end, or, since a disk may write in any order, its beginning. What was
// answered before it is there, and the store goes on.
func TestATornTailIsCut(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var tokens []holdfast.Token
	for i := range 4 {
		tokens = append(tokens, lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys(fmt.Sprint("k", i)), Exp: time.Hour}).Tokens...)
	}
	begin := ends(t, dir)
	lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("k4"), Exp: time.Hour})
	s.Close()
	end := ends(t, dir)
	whole, err := os.ReadFile(segmentOf(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if end-begin < 50 {
		t.Fatalf("the last record is said to go from %d to %d", begin, end)
	}
	// Copies without the log, which is large and mostly empty.
	empty := copyDir(t, dir)
	if err := os.Remove(segmentOf(t, empty)); err != nil {
		t.Fatal(err)
	}
	torn := tornLog{dir: empty, name: filepath.Base(segmentOf(t, dir)), size: int64(len(whole)), tokens: tokens}
	for cut := begin + 1; cut < end; cut++ {
		torn.open(t, fmt.Sprintf("the last %d bytes of %d", end-cut, end-begin), whole[:cut])
	}
	for cut := begin + 8; cut < end; cut += 8 {
		torn.open(t, fmt.Sprintf("the first %d bytes of %d", cut-begin, end-begin),
			slices.Concat(whole[:begin], make([]byte, cut-begin), whole[cut:end]))
	}
}

// tornLog is a data directory whose log a crash has torn.
type tornLog struct {
	dir, name string
	size      int64
	tokens    []holdfast.Token // of the holds that were answered before
}

// open opens a store over such a log, and wants the holds in it.
func (l tornLog) open(t *testing.T, what string, data []byte) {
	t.Run(what, func(t *testing.T) {
		t.Parallel()
		l.check(t, what, data)
	})
}

func (l tornLog) check(t *testing.T, what string, data []byte) {
	to := copyDir(t, l.dir)
	defer os.RemoveAll(to)
	name := filepath.Join(to, "log", l.name)
	if err := errors.Join(os.WriteFile(name, data, 0o600), os.Truncate(name, l.size)); err != nil {
		t.Fatal(err)
	}
	var said logtest.Log
	s, err := Open(t.Context(), Options{Dir: to, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatalf("without %s: %v", what, err)
	}
	defer s.Close()
	if !strings.Contains(said.String(), "the log ends in a write that a crash has cut off") {
		t.Errorf("without %s: said %q", what, said.String())
	}
	for i, token := range l.tokens {
		state, err := s.Get(t.Context(), token.Key)
		if err != nil || len(state.Holders) != 1 || state.Holders[0].Version != token.Version {
			t.Errorf("without %s: hold %d: %+v %v", what, i, state, err)
		}
	}
	grant := lock(t, s, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("new"), Exp: time.Hour})
	if last := l.tokens[len(l.tokens)-1]; grant.Tokens[0].Version <= last.Version {
		t.Errorf("without %s: version %d after %d", what, grant.Tokens[0].Version, last.Version)
	}
}

func TestAWholeLogIsNotCalledTorn(t *testing.T) {
	dir, _ := made(t, 5)
	var said logtest.Log
	s, err := Open(t.Context(), Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if strings.Contains(said.String(), "cut off") {
		t.Fatalf("said %q", said.String())
	}
}

func TestADamagedMiddleStopsTheStart(t *testing.T) {
	dir, _ := made(t, 5)
	name := segmentOf(t, dir)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("k1"))] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "restore a backup") {
		t.Fatalf("opened over a damaged log: %v", err)
	}
}

func TestADamagedSnapshotStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("needle"), Exp: time.Hour})
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "snapshots", "*", "state.bin"))
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("needle"))] ^= 1
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "restore a backup") {
		t.Fatalf("opened over a damaged snapshot: %v", err)
	}
}

// What a process that was killed in the middle of a snapshot has left takes up no
// room for ever.
func TestAnUnfinishedSnapshotIsRemoved(t *testing.T) {
	dir, _ := made(t, 1)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, raftLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	sink, err := snapshots.Create(raft.SnapshotVersionMax, 2, 2, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write([]byte("the beginning")); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if left, err := os.ReadDir(filepath.Join(dir, "snapshots")); err != nil || len(left) > 0 {
		t.Errorf("there is %v, %v", left, err)
	}
}

// badDisk refuses or delays writes as long as it is told to.
type badDisk struct {
	raft.LogStore
	full  atomic.Bool
	stall chan struct{} // writes wait for it to be closed; nil for none
	stuck atomic.Bool
}

// IsMonotonic tells raft that the log knows no holes, as that of a directory does.
func (d *badDisk) IsMonotonic() bool { return true }

func (d *badDisk) StoreLog(log *raft.Log) error { return d.StoreLogs([]*raft.Log{log}) }

func (d *badDisk) StoreLogs(logs []*raft.Log) error {
	if d.full.Load() {
		return &os.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC}
	}
	if d.stuck.Load() {
		<-d.stall
	}
	return d.LogStore.StoreLogs(logs)
}

// storage is that of a directory, with this disk in the way of its log.
func (d *badDisk) storage(options Options) (storage, error) {
	kept, err := openDir(options)
	d.LogStore, kept.logs = kept.logs, d
	return kept, err
}

func openOn(t *testing.T, d *badDisk, patience time.Duration) *Store {
	s, err := Open(t.Context(), Options{
		Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Patience: patience,
		KeepPlaces: time.Hour, openStorage: d.storage,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	d := &badDisk{}
	s := openOn(t, d, 0)
	kept := lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	d.full.Store(true)
	for range 20 {
		_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("y"), Exp: time.Hour})
		if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
			t.Fatalf("answer: %v", err)
		}
	}
	d.full.Store(false)
	for end := time.Now().Add(30 * time.Second); ; {
		_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("z"), Exp: time.Hour})
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("did not recover: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
	state, err := s.Get(t.Context(), "x")
	if err != nil || len(state.Holders) != 1 || state.Holders[0].Version != kept.Tokens[0].Version {
		t.Fatal(state, err)
	}
}

func TestAStalledDiskEndsTheStore(t *testing.T) {
	d := &badDisk{stall: make(chan struct{})}
	s := openOn(t, d, 100*time.Millisecond)
	defer close(d.stall) // before the store is closed
	d.stuck.Store(true)
	answers := make(chan error)
	ask := func(key string) {
		_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys(key), Exp: time.Hour})
		answers <- err
	}
	entries := func() (n int) {
		s.batches.Range(func(_, _ any) bool { n++; return true })
		return n
	}
	for i, key := range []string{"x", "y"} {
		go ask(key)
		until(t, func() bool { return entries() == i+1 })
	}
	go ask("z") // which has not been given to raft
	unknown := 0
	for range 3 {
		refusal, ok := errors.AsType[*holdfast.Error](<-answers)
		if !ok || refusal.Code != holdfast.CodeUnavailable {
			t.Fatalf("answer: %v", refusal)
		}
		if refusal.OutcomeUnknown {
			unknown++
		}
	}
	if unknown != 2 {
		t.Errorf("%d outcomes are unknown, not 2", unknown)
	}
	if err := <-s.Failed(); err == nil {
		t.Fatal("no reason")
	}
	if s.Ready(t.Context()) == nil {
		t.Fatal("ready all the same")
	}
}

// A disk does not stall while nobody looks: the process may have been stopped.
func TestOnlyAStallThatWasSeenCounts(t *testing.T) {
	const every = time.Second
	var w watched
	now := time.Now()
	for i, step := range []struct {
		began int64
		after time.Duration
		seen  time.Duration
	}{
		{1, every, 0},
		{1, every, every},
		{1, time.Hour, 3 * every}, // stopped in between
		{1, every, 4 * every},
		{2, every, 0},
		{2, every, every},
		{0, every, 0},
		{2, every, 0},
	} {
		now = now.Add(step.after)
		if seen := w.look(step.began, now, every); seen != step.seen {
			t.Errorf("%d: a stall of %v was seen, not %v", i, seen, step.seen)
		}
	}
}

// Who leaves the line while the disk stalls is gone when it goes on.
func TestNobodyIsLeftInLineByAStalledDisk(t *testing.T) {
	d := &badDisk{stall: make(chan struct{})}
	s := openOn(t, d, 500*time.Millisecond)
	lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := s.Lock(ctx, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour})
		left <- err
	}()
	until(t, func() bool { return s.Stats().Waiters == 1 })
	d.stuck.Store(true)
	unknown := make(chan error)
	for i := range inFlight { // what follows has to wait in the queue
		go func() {
			_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "c", Keys: holdfast.Keys(fmt.Sprint(i)), Exp: time.Hour})
			unknown <- err
		}()
		until(t, func() bool {
			under := 0
			s.batches.Range(func(any, any) bool { under++; return true })
			return under == i+1
		})
	}
	leave()
	until(t, func() bool { return len(s.queue) == 1 })
	for range inFlight {
		<-unknown
	}
	d.stuck.Store(false)
	close(d.stall)
	if err := <-left; err == nil {
		t.Error("b was granted what a holds")
	}
	until(t, func() bool { return s.Stats().Waiters == 0 })
}

// A follower whose disk stalls keeps nobody from anything, and goes on when it is well
// again.
func TestAStalledDiskDoesNotEndAFollower(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		leader := w.leader()
		follower := w.nodes[(leader.index+1)%3]
		well := follower.onDisk(func(d *simDisk) { d.slowest = 25 * time.Second }, func(d *simDisk) { d.slowest = usualWrite })
		raise := table.Command{Op: table.Raise, Floor: leader.living().keeper.Version() + 1000}
		if _, err := leader.living().propose(t.Context(), raise); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * simPatience)
		w.mu.Lock()
		failed := w.did["failed"]
		w.mu.Unlock()
		if failed > 0 {
			t.Error("it has failed")
		}
		well()
		w.within("it has caught up", func() bool { return follower.living().keeper.Version() == raise.Floor })
		w.end()
	})
}

// What is locked, by whom and why is nobody's business who has an account on
// the machine, also when the data directory was there and is open to all.
func TestOnlyTheOwnerReadsTheState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	lock(t, s, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("a"), Exp: time.Hour})
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", entry.Name(), info.Mode())
		}
	}
	if len(entries) < 3 {
		t.Errorf("only %v", entries)
	}
}
