package raftstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
)

// piece is a write: where it begins, and how long it is.
type piece struct{ at, length int64 }

// noted are files that note what is written to them.
type noted struct {
	types.VFS
	writes []piece
	refuse bool // zeros
}

func (n *noted) Create(dir, name string, size uint64) (types.WritableFile, error) {
	file, err := n.VFS.Create(dir, name, size)
	return &notedFile{file, n}, err
}

func (n *noted) OpenWriter(dir, name string) (types.WritableFile, error) {
	file, err := n.VFS.OpenWriter(dir, name)
	return &notedFile{file, n}, err
}

type notedFile struct {
	types.WritableFile
	noted *noted
}

func (f *notedFile) WriteAt(p []byte, at int64) (int, error) {
	if f.noted.refuse && !bytes.ContainsFunc(p, func(r rune) bool { return r != 0 }) {
		return 0, errors.New("no zeros")
	}
	f.noted.writes = append(f.noted.writes, piece{at, int64(len(p))})
	return f.WritableFile.WriteAt(p, at)
}

// wantWrites wants a write of so many bytes to come to the disk as these.
func (n *noted) wantWrites(t *testing.T, file types.WritableFile, at, length int64, want ...piece) {
	t.Helper()
	n.writes = nil
	written, err := file.WriteAt(bytes.Repeat([]byte{1}, int(length)), at)
	if err != nil || int64(written) != length {
		t.Errorf("wrote %d: %v", written, err)
	}
	if !slices.Equal(n.writes, want) {
		t.Errorf("%d bytes at %d: wrote %v, not %v", length, at, n.writes, want)
	}
}

func TestTheLogIsFilledWithZerosAhead(t *testing.T) {
	dir := t.TempDir()
	files := &noted{VFS: fs.New()}
	const size = 2*zeroAhead + 100
	file, err := zeroed{files}.Create(dir, "a", size)
	if err != nil {
		t.Fatal(err)
	}
	files.wantWrites(t, file, 0, 32, piece{32, zeroAhead - 32}, piece{0, 32})
	files.wantWrites(t, file, 32, 1000, piece{32, 1000})
	files.wantWrites(t, file, 1032, zeroAhead-1032, piece{1032, zeroAhead - 1032}) // up to the zeros' end
	files.wantWrites(t, file, zeroAhead, 1, piece{zeroAhead + 1, zeroAhead - 1}, piece{zeroAhead, 1})
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}

	// What was written behind the end by a write that was cut off goes.
	if file, err = (zeroed{files}).OpenWriter(dir, "a"); err != nil {
		t.Fatal(err)
	}
	files.wantWrites(t, file, 100, 200, piece{300, zeroAhead - 300}, piece{100, 200})
	want := append(append(append(bytes.Repeat([]byte{1}, 300), zeros[300:]...), 1), zeros[1:]...)
	got, err := os.ReadFile(filepath.Join(dir, "a"))
	if err != nil || !bytes.Equal(got[:len(want)], want) {
		t.Errorf("the file holds something else: %v", err)
	}

	// Not beyond the end of the file, unless the log itself goes there.
	files.wantWrites(t, file, 2*zeroAhead-10, 20, piece{2*zeroAhead + 10, 90}, piece{2*zeroAhead - 10, 20})
	files.wantWrites(t, file, 2*zeroAhead+10, 90, piece{2*zeroAhead + 10, 90})
	files.wantWrites(t, file, size, 50, piece{size, 50})
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTheLogDoesNotNeedZeros(t *testing.T) {
	files := &noted{VFS: fs.New(), refuse: true}
	file, err := zeroed{files}.Create(t.TempDir(), "a", 10*zeroAhead)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	files.wantWrites(t, file, 0, 10, piece{0, 10})
	files.wantWrites(t, file, 10, 10, piece{10, 10})
}
