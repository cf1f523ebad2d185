package raftstore

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// crowded are the files of a log on a disk that may have no room for a new one.
type crowded struct {
	types.SegmentFiler
	dir  string
	full bool
}

func (c *crowded) Create(info types.SegmentInfo) (types.SegmentWriter, error) {
	if !c.full {
		return c.SegmentFiler.Create(info)
	}
	// As raft-wal, it leaves a file without room.
	file, err := os.OpenFile(filepath.Join(c.dir, segment.FileName(info)), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	file.Close()
	return nil, syscall.ENOSPC
}

// openLog opens a log whose files are small.
func openLog(t *testing.T, files *crowded) *wal.WAL {
	t.Helper()
	files.SegmentFiler = segment.NewFiler(files.dir, fs.New())
	log, err := wal.Open(files.dir, wal.WithSegmentFiler(segments{files, files.dir}), wal.WithSegmentSize(4096), wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

// wantLog wants the log to hold entries, and nothing else.
func wantLog(t *testing.T, log *wal.WAL, first, last uint64) {
	t.Helper()
	begins, _ := log.FirstIndex()
	if ends, _ := log.LastIndex(); begins != first || ends != last {
		t.Errorf("it has entries %d to %d, not %d to %d", begins, ends, first, last)
	}
	for index := first; index <= last; index++ {
		var entry raft.Log
		if err := log.GetLog(index, &entry); err != nil || string(entry.Data) != fmt.Sprint("entry ", index) {
			t.Errorf("entry %d: %q, %v", index, entry.Data, err)
		}
	}
}

func TestALogWithoutRoomForTheNextFileGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		fill    func(t *testing.T, log *wal.WAL) (last uint64) // until there should be a new file
		first   uint64
		another uint64 // how far the next entry is beyond the last
	}{
		"when one is full": {func(t *testing.T, log *wal.WAL) uint64 {
			for index := uint64(1); index < 1000; index++ {
				if store(log, index) != nil {
					return index - 1
				}
			}
			t.Fatal("none is ever full")
			return 0
		}, 1, 1},
		"when it is cleared": {func(t *testing.T, log *wal.WAL) uint64 {
			for index := uint64(1); index <= 3; index++ {
				store(log, index)
			}
			if err := log.DeleteRange(1, 3); err != nil {
				t.Error(err)
			}
			return 3
		}, 20, 17},
		"when its end is dropped": {func(t *testing.T, log *wal.WAL) uint64 {
			for index := uint64(1); index <= 5; index++ {
				store(log, index)
			}
			if err := log.DeleteRange(4, 5); err != nil {
				t.Error(err)
			}
			return 3
		}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			files := &crowded{dir: t.TempDir()}
			log := openLog(t, files)
			files.full = true
			next := c.fill(t, log) + c.another
			for range 3 {
				if err := store(log, next); err == nil {
					t.Fatal("it takes an entry without a file")
				}
			}
			files.full = false
			for index := next; index < next+3; index++ {
				if err := store(log, index); err != nil {
					t.Fatal(err)
				}
			}
			wantLog(t, log, c.first, next+2)
			log.Close()
			wantLog(t, openLog(t, files), c.first, next+2)
		})
	}
}

// A start may find less room than the log was about to take.
func TestALogWithoutRoomForTheNextFileIsOpened(t *testing.T) {
	files := &crowded{dir: t.TempDir()}
	log := openLog(t, files)
	for index := uint64(1); index <= 3; index++ {
		store(log, index)
	}
	files.full = true
	log.DeleteRange(3, 3)
	log.Close()
	log = openLog(t, files)
	wantLog(t, log, 1, 2)
	files.full = false
	if err := store(log, 3); err != nil {
		t.Error(err)
	}
	wantLog(t, log, 1, 3)
}

func store(log *wal.WAL, index uint64) error {
	return log.StoreLog(&raft.Log{Index: index, Data: fmt.Append(nil, "entry ", index)})
}
