package raftstore

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"

	"holdfast"
)

// wantDamaged wants a directory to be refused, with what to do.
func wantDamaged(t *testing.T, dir, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := Open(ctx, Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("opened with %s: %v", what, err)
	}
}

// Whatever a byte belongs to, frames and what raft notes about an entry included:
// what stands behind it is not left out. Only of the last write nobody can say
// whether a crash or damage came.
func TestDamageAnywhereBeforeTheLastWriteStopsTheStart(t *testing.T) {
	dir, _ := made(t, 4)
	name := segmentOf(t, dir)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.Index(whole, []byte("k3")) - 64 // before the last write, or early in it
	for at := range last {
		damage := bytes.Clone(whole[:64<<10])
		damage[at] ^= 1
		all, err := committed(bytes.NewReader(damage))
		if err != nil || !goesOn(damage[all.end:]) {
			t.Fatalf("byte %d of %d: %v, and nothing behind %d", at, last, err, all.end)
		}
		if at%50 > 0 {
			continue // opening takes its time
		}
		writeAt(t, name, damage)
		wantDamaged(t, dir, fmt.Sprintf("byte %d of %d damaged", at, last))
	}
	writeAt(t, name, whole[:64<<10])
	open(t, dir)
}

// Whole blocks of a disk may be lost, and read as what has never been written.
func TestALargeHoleInTheLogStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	keys := make([]holdfast.Ask, 256)
	for i := range keys {
		keys[i].Key = fmt.Sprintf("%0512d", i)
	}
	for range 24 {
		lock(t, s, holdfast.LockRequest{UID: "a", Keys: keys, Exp: time.Hour})
		if _, err := s.Force(t.Context(), holdfast.ForceRequest{Key: keys[0].Key}); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	whole, err := os.ReadFile(segmentOf(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if written := len(bytes.TrimRight(whole, "\x00")); written < 3<<20 {
		t.Fatalf("only %d bytes are written", written)
	}
	clear(whole[4<<10 : 5<<19])
	writeAt(t, segmentOf(t, dir), whole)
	wantDamaged(t, dir, "a hole")
}

// writeAt overwrites the beginning of a file.
func writeAt(t *testing.T, name string, b []byte) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}

func TestALogWithoutItsListOfFilesIsNotBegunAnew(t *testing.T) {
	dir, _ := made(t, 1)
	list := filepath.Join(dir, "log", metadb.FileName)
	for _, size := range []int64{0, 2 * 4096} {
		short := copyDir(t, dir)
		if err := os.Truncate(filepath.Join(short, "log", metadb.FileName), size); err != nil {
			t.Fatal(err)
		}
		wantDamaged(t, short, fmt.Sprintf("%d bytes of the list of files", size))
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	wantDamaged(t, dir, "no list of files")
	segmentOf(t, dir) // is still there

	fresh := filepath.Join(t.TempDir(), "[new")
	// Of a disk of their own for snapshots, which knows of none yet.
	if err := os.MkdirAll(filepath.Join(fresh, "snapshots", "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, fresh)

	node := t.TempDir()
	if err := (&identity{Cluster: "C", ID: "a", Founder: true}).write(node); err != nil {
		t.Fatal(err)
	}
	wantDamaged(t, node, "only the identity of a node")

	snapshot := t.TempDir()
	if err := os.CopyFS(filepath.Join(snapshot, "snapshots", "1-2-3"), fstest.MapFS{"meta.json": {}}); err != nil {
		t.Fatal(err)
	}
	wantDamaged(t, snapshot, "only a snapshot")
}

func TestAHoleBetweenSnapshotAndLogStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), SnapshotEvery: 8})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := s.barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := os.RemoveAll(filepath.Join(dir, "snapshots")); err != nil {
		t.Fatal(err)
	}
	wantDamaged(t, dir, "no snapshot of what the log does not have any more")
	if err := BackupDir(dir, &bytes.Buffer{}); err == nil {
		t.Error("made a backup of a part")
	}
}

// smallLog opens the log of a store with files that are small when they are new.
func smallLog(t *testing.T, dir string) *wal.WAL {
	t.Helper()
	log, err := wal.Open(dir, wal.WithMetaStore(&meta{}), wal.WithSegmentFiler(segments{segment.NewFiler(dir, fs.New()), dir}),
		wal.WithSegmentSize(4096), wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

// full gives the directory of a log whose first file is full, and the last entry in
// it, as it is when a crash comes before that is noted.
func full(t *testing.T) (dir string, last uint64) {
	t.Helper()
	dir = t.TempDir()
	log := smallLog(t, dir)
	before, err := os.ReadFile(filepath.Join(dir, metadb.FileName))
	if err != nil {
		t.Fatal(err)
	}
	for segmentsIn(t, dir) < 2 {
		last++
		if err := log.StoreLog(&raft.Log{Index: last, Data: fmt.Append(nil, "entry ", last)}); err != nil {
			t.Fatal(err)
		}
	}
	last-- // this one has waited for the second file, and is in it
	log.Close()
	names, _ := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err := os.Remove(names[1]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, metadb.FileName), before, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, last
}

func segmentsIn(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// harmFirst changes the first file of a log, whose last whole write ends at end.
func harmFirst(t *testing.T, dir string, change func(b []byte, end int)) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "*.wal"))
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	all, err := committed(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	change(b, all.end)
	writeAt(t, names[0], b)
}

// wantOn wants a log to go on behind its last entry, also when it is opened anew.
func wantOn(t *testing.T, dir string, last uint64) {
	t.Helper()
	log := smallLog(t, dir)
	wantLog(t, log, 1, last)
	for range 100 { // over the end of another file
		last++
		if err := log.StoreLog(&raft.Log{Index: last, Data: fmt.Append(nil, "entry ", last)}); err != nil {
			t.Fatalf("entry %d: %v", last, err)
		}
	}
	log.Close()
	again := smallLog(t, dir)
	wantLog(t, again, 1, last)
	again.Close()
}

func TestALogGoesOnAfterACrashAsAFileWasFull(t *testing.T) {
	dir, last := full(t)
	wantOn(t, dir, last)
}

// The write with which the file was full is torn: its end is missing.
func TestALogGoesOnAfterACrashAsAFileWasBeingFilled(t *testing.T) {
	dir, last := full(t)
	harmFirst(t, dir, func(b []byte, end int) { clear(b[end-frameHeader : end]) })
	wantOn(t, dir, last-1)
}

// Looking through a file that is full takes no memory to speak of: there may be ten
// of them, of 64 MiB each.
func TestAFileThatIsFullIsNotReadIntoMemory(t *testing.T) {
	dir := t.TempDir()
	log, err := wal.Open(dir, wal.WithSegmentSize(8<<20), wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	for index := uint64(1); segmentsIn(t, dir) < 2; index++ {
		if err := log.StoreLog(&raft.Log{Index: index, Data: bytes.Repeat([]byte("x"), 256<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	log.Close()
	known := &meta{}
	state, err := known.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	files := segments{segment.NewFiler(dir, fs.New()), dir}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	opened, err := files.Open(state.Segments[0])
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("it took %d bytes", took)
	}
}

func TestADamagedFileThatIsFullStopsTheStart(t *testing.T) {
	dir, last := full(t)
	wantOn(t, dir, last)
	harmFirst(t, dir, func(b []byte, end int) { b[end-12] ^= 1 }) // in its last write
	_, err := wal.Open(dir, wal.WithMetaStore(&meta{}), wal.WithSegmentFiler(segments{segment.NewFiler(dir, fs.New()), dir}))
	if err == nil || !strings.Contains(err.Error(), "is damaged behind byte") {
		t.Errorf("opened: %v", err)
	}
}
