package raftstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"

	"holdfast"
)

// Where a directory cannot be brought to disk, a new file of the log is, without it.
// Here it is one that is not there any more.
func TestFilesAreWrittenWhereDirectoriesAreNotSynced(t *testing.T) {
	for _, files := range []struct {
		types.VFS
		needDir bool
	}{{fs.New(), true}, {unnoted{fs.New()}, false}} {
		dir := filepath.Join(t.TempDir(), "log")
		moved := dir + "-moved"
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		file, err := zeroed{files}.Create(dir, "a", 4096)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := os.Rename(dir, moved); err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte("one"), 0); err != nil {
			t.Error(err)
		}
		if err := file.Sync(); (err != nil) != files.needDir {
			t.Errorf("%T: %v", files.VFS, err)
		}
		if b, err := os.ReadFile(filepath.Join(moved, "a")); err != nil || len(b) != 4096 || string(b[:3]) != "one" {
			t.Errorf("%T: %d bytes, %v", files.VFS, len(b), err)
		}
		if err := files.Delete(moved, "a"); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(moved, "a")); !os.IsNotExist(err) {
			t.Errorf("%T: %v", files.VFS, err)
		}
	}
}

// syncs notes what is brought to disk while a test runs, and fails where it is told.
type syncs struct {
	of    []string
	fails func(name string) bool
}

func watchSyncs(t *testing.T) *syncs {
	s := &syncs{fails: func(string) bool { return false }}
	before := syncFile
	t.Cleanup(func() { syncFile = before })
	syncFile = func(file *os.File) error {
		s.of = append(s.of, file.Name())
		if s.fails(file.Name()) {
			return errNotSynced
		}
		return before(file)
	}
	return s
}

var errNotSynced = errors.New("not on disk")

// A power cut leaves the old file or the new one, and the new one once it was said to
// be there.
func TestAFileIsOnDiskBeforeItIsInItsPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	s := watchSyncs(t)
	if err := writeFile(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if len(s.of) != 2 || filepath.Dir(s.of[0]) != dir || s.of[1] != dir && syncsDirs {
		t.Errorf("brought to disk: %q", s.of)
	}
	s.fails = func(name string) bool { return name != dir }
	if err := writeFile(path, []byte("two")); !errors.Is(err, errNotSynced) {
		t.Errorf("a file that is not on disk: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "one" {
		t.Errorf("it was replaced by %q, %v", b, err)
	}
	s.fails = func(name string) bool { return name == dir }
	if err := writeFile(path, []byte("two")); !errors.Is(err, errNotSynced) && syncsDirs {
		t.Errorf("a name that is not on disk: %v", err)
	}
}

// What a power cut brought back would stop a later start, or have a write taken for
// whole.
func TestWhatIsTakenAwayIsGoneFromTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := watchSyncs(t)
	if err := blank(path, 0, 4); err != nil || !slices.Equal(s.of, []string{path}) {
		t.Errorf("blanked: %v, and brought to disk: %q", err, s.of)
	}

	var backup bytes.Buffer
	store := open(t, t.TempDir())
	lock(t, store, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	if err := store.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new")
	s.of = nil
	s.fails = func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, restoringFile))
		return name == dir && os.IsNotExist(err)
	}
	if err := Restore(t.Context(), &backup, Options{Dir: dir}); !errors.Is(err, errNotSynced) && syncsDirs {
		t.Errorf("restored, though the mark may come back: %v", err)
	}
}
