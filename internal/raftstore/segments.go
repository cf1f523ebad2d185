package raftstore

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// segments are the files of the log. raft-wal v0.4.2 writes down that there is a
// new one, and makes it then. If there is no room for it, it is left in between:
// it takes no entry any more until it is opened anew, or worse, takes entries into
// a file that is deleted then. So a file that cannot be made counts as made; it is
// made with its first entries, and they are refused until there is room.
type segments struct {
	types.SegmentFiler
	dir string
}

// Create begins a file.
func (s segments) Create(info types.SegmentInfo) (types.SegmentWriter, error) {
	made, err := s.make(info)
	if err != nil {
		return &lateSegment{segments: s, info: info}, nil
	}
	return made, nil
}

// Open opens a file that is full. Raft-wal reads in it where the index says, and
// would take what it finds there.
func (s segments) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	name := filepath.Join(s.dir, segment.FileName(info))
	all, _, err := lookThrough(name)
	if err != nil {
		return nil, err
	}
	if all.index == 0 {
		return nil, damagedBehind(name, all.end)
	}
	return s.SegmentFiler.Open(info)
}

// make makes a file, or leaves none behind: raft-wal's own would be in the way
// of the next attempt.
func (s segments) make(info types.SegmentInfo) (types.SegmentWriter, error) {
	made, err := s.SegmentFiler.Create(info)
	if err != nil && !errors.Is(err, os.ErrExist) {
		s.SegmentFiler.Delete(info.BaseIndex, info.ID)
	}
	return made, err
}

// Delete deletes a file, which may never have been made.
func (s segments) Delete(base, id uint64) error {
	err := s.SegmentFiler.Delete(base, id)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// lateSegment is a file of the log that is made when there is room for it. It is
// empty until then.
type lateSegment struct {
	segments segments
	info     types.SegmentInfo
	made     atomic.Pointer[types.SegmentWriter]
}

// file makes the file if there is none yet. One calls it at a time.
func (l *lateSegment) file() (types.SegmentWriter, error) {
	if made := l.made.Load(); made != nil {
		return *made, nil
	}
	made, err := l.segments.make(l.info)
	if err != nil {
		return nil, err
	}
	l.made.Store(&made)
	return made, nil
}

func (l *lateSegment) Append(entries []types.LogEntry) error {
	file, err := l.file()
	if err != nil {
		return err
	}
	return file.Append(entries)
}

func (l *lateSegment) ForceSeal() (uint64, error) {
	file, err := l.file()
	if err != nil {
		return 0, err
	}
	return file.ForceSeal()
}

func (l *lateSegment) Sealed() (bool, uint64, error) {
	if made := l.made.Load(); made != nil {
		return (*made).Sealed()
	}
	return false, 0, nil
}

func (l *lateSegment) LastIndex() uint64 {
	if made := l.made.Load(); made != nil {
		return (*made).LastIndex()
	}
	return 0
}

func (l *lateSegment) GetLog(index uint64) (*types.PooledBuffer, error) {
	if made := l.made.Load(); made != nil {
		return (*made).GetLog(index)
	}
	return nil, types.ErrNotFound
}

func (l *lateSegment) Close() error {
	if made := l.made.Load(); made != nil {
		return (*made).Close()
	}
	return nil
}
