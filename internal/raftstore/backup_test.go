package raftstore

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/table"
)

func TestABackupMakesTheSameTableWithLaterVersions(t *testing.T) {
	first := open(t, t.TempDir())
	kept := lock(t, first, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("kept"), Exp: time.Hour, Note: "why"})
	var backup bytes.Buffer
	if err := first.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	lost := lock(t, first, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("lost"), Exp: time.Hour})

	dir := filepath.Join(t.TempDir(), "new")
	options := Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)}
	if err := Restore(t.Context(), bytes.NewReader(backup.Bytes()), options); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir)
	state, err := second.Get(t.Context(), "kept")
	if err != nil || len(state.Holders) != 1 || state.Holders[0].Version != kept.Tokens[0].Version || state.Holders[0].Note != "why" {
		t.Fatal(state, err)
	}
	if held, err := second.Check(t.Context(), []string{"lost"}); err != nil || held {
		t.Fatal(held, err)
	}
	next := lock(t, second, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("new"), Exp: time.Hour})
	if next.Tokens[0].Version < lost.Tokens[0].Version+lostVersions/2 {
		t.Fatalf("version %d after %d was lost", next.Tokens[0].Version, lost.Tokens[0].Version)
	}
	if next.Tokens[0].Version >= holdfast.VersionEnd {
		t.Fatal("beyond what a JSON number carries")
	}

	if err := Restore(t.Context(), &backup, options); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Fatalf("restored over another history: %v", err)
	}
	damaged := bytes.NewReader(backup.Bytes())
	if err := Restore(t.Context(), damaged, Options{Dir: t.TempDir()}); err == nil {
		t.Fatal("restored half a backup")
	}
}

// noCommands is a log that takes no command once there is a snapshot.
type noCommands struct {
	raft.LogStore
	snapshots raft.SnapshotStore
}

func (n noCommands) IsMonotonic() bool { return true }

func (n noCommands) StoreLogs(entries []*raft.Log) error {
	for _, entry := range entries {
		if made, _ := n.snapshots.List(); len(made) > 0 && entry.Type == raft.LogCommand {
			return errors.New("the process has ended")
		}
	}
	return n.LogStore.StoreLogs(entries)
}

// A restore that is cut off leaves no directory behind whose versions go on where
// those of the backup ended.
func TestVersionsOfABackupAreRestoredWithTheirLead(t *testing.T) {
	first := open(t, t.TempDir())
	kept := lock(t, first, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("kept"), Exp: time.Hour})
	var backup bytes.Buffer
	if err := first.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	options := Options{Dir: filepath.Join(t.TempDir(), "new"), Logger: slog.New(slog.DiscardHandler)}
	options.openStorage = func(o Options) (storage, error) {
		made, err := openDir(o)
		made.logs = noCommands{made.logs, made.snapshots}
		return made, err
	}
	cutOff := Restore(t.Context(), &backup, options)
	second := open(t, options.Dir)
	next := lock(t, second, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("new"), Exp: time.Hour})
	if next.Tokens[0].Version < kept.Tokens[0].Version+lostVersions {
		t.Errorf("version %d after %d; the restore: %v", next.Tokens[0].Version, kept.Tokens[0].Version, cutOff)
	}
}

// Versions begin at the wall clock's microseconds, beyond all that an earlier store or
// the lost history of an old backup can have given.
func TestVersionsBeginAtTheClock(t *testing.T) {
	var old bytes.Buffer
	if _, err := table.New(7).Snapshot().WriteTo(&old); err != nil {
		t.Fatal(err)
	}
	clock := uint64(time.Now().UnixMicro())
	restored := filepath.Join(t.TempDir(), "new")
	if err := Restore(t.Context(), &old, Options{Dir: restored, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	for what, dir := range map[string]string{"new": t.TempDir(), "restored": restored} {
		first := lock(t, open(t, dir), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour}).Tokens[0].Version
		if first <= clock {
			t.Errorf("the first version of a %s store is %d", what, first)
		}
	}
}

// The directory of a store that has stopped holds what its last backup did: a
// snapshot, and of the log what came after it.
func TestADirectoryIsBackedUp(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var tokens []holdfast.Token
	for _, key := range []string{"x", "y"} {
		tokens = append(tokens, lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys(key), Exp: time.Hour}).Tokens...)
	}
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unlock(t.Context(), holdfast.UnlockRequest{UID: "a", Tokens: tokens[:1]}); err != nil {
		t.Fatal(err)
	}
	lock(t, s, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("z"), Exp: time.Hour})
	var last, found bytes.Buffer
	if err := s.Backup(t.Context(), &last); err != nil {
		t.Fatal(err)
	}
	if err := BackupDir(dir, &found); err == nil {
		t.Error("the directory is in use")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := BackupDir(dir, &found); err != nil || !bytes.Equal(found.Bytes(), last.Bytes()) {
		t.Errorf("%v, and %d bytes that should be %d", err, found.Len(), last.Len())
	}
}

// A directory that holds no state is refused, and left as it is: whoever has
// mistaken the name must not believe that the state is saved.
func TestNoStateIsNotBackedUp(t *testing.T) {
	empty, begun := t.TempDir(), t.TempDir()
	d, err := openDisk(Options{Dir: begun, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = d.close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{empty, filepath.Join(empty, "missing"), begun} {
		var found bytes.Buffer
		if err := BackupDir(dir, &found); err == nil || found.Len() > 0 {
			t.Errorf("%s: %v, and %d bytes", dir, err, found.Len())
		}
	}
	if made, err := os.ReadDir(empty); err != nil || len(made) > 0 {
		t.Error(made, err)
	}
}

// A restore that was cut off leaves a directory that nobody takes for an empty one.
func TestWhatIsNotRestoredIsNotServed(t *testing.T) {
	var backup bytes.Buffer
	s := open(t, t.TempDir())
	lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	if err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new")
	over := &fullOfSnapshots{}
	options := Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), openStorage: over.storage}
	if err := Restore(t.Context(), &backup, options); err == nil {
		t.Fatal("restored")
	}
	options.openStorage = nil
	if s, err := Open(t.Context(), options); err == nil || !strings.Contains(err.Error(), "was not finished") {
		if err == nil {
			s.Close()
		}
		t.Errorf("opened: %v", err)
	}
}

// fullOfSnapshots is a disk on which there is no room for another snapshot.
type fullOfSnapshots struct{ raft.SnapshotStore }

func (d *fullOfSnapshots) storage(options Options) (storage, error) {
	kept, err := openDir(options)
	d.SnapshotStore, kept.snapshots = kept.snapshots, d
	return kept, err
}

func (*fullOfSnapshots) Create(raft.SnapshotVersion, uint64, uint64, raft.Configuration, uint64, raft.Transport) (raft.SnapshotSink, error) {
	return nil, syscall.ENOSPC
}
