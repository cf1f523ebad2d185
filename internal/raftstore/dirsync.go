package raftstore

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
)

// syncsDirs says whether a directory can be brought to disk like a file. On Windows
// it cannot, "Access is denied", and its file system keeps a journal of names.
const syncsDirs = runtime.GOOS != "windows"

// syncDir brings the names in a directory to disk.
func syncDir(path string) error {
	if !syncsDirs {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(syncFile(dir), dir.Close())
}

// logFiles gives access to the files of the log. Raft-wal v0.4.2 brings the directory
// to disk with each new file and after each that is deleted, on Windows too.
func logFiles() types.VFS {
	if syncsDirs {
		return fs.New()
	}
	return unnoted{fs.New()}
}

// unnoted are files whose names are not brought to disk.
type unnoted struct{ *fs.FS }

// Create makes a file of so many bytes.
func (u unnoted) Create(dir, name string, size uint64) (types.WritableFile, error) {
	file, err := u.FS.Create(dir, name, size)
	if err != nil {
		return nil, err
	}
	return &file.(*fs.File).File, nil
}

// Delete removes a file.
func (unnoted) Delete(dir, name string) error { return os.Remove(filepath.Join(dir, name)) }
