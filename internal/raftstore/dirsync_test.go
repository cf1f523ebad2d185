package raftstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
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
