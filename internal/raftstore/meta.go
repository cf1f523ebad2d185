package raftstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// meta is what a log knows of its segments. As it is read, it looks through the
// newest one, of which raft-wal v0.4.2 checks the last write alone, and puts in order
// how a crash has left it.
type meta struct {
	metadb.BoltMetaDB
	torn int // bytes of a write that a crash has cut off
}

// Load gives what is known.
func (m *meta) Load(dir string) (state types.PersistentState, err error) {
	if err := mayBegin(dir); err != nil {
		return state, err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil { // bbolt v1.3.6 goes by what stands in the file, wherever that leads
			err = fmt.Errorf("%s is damaged", metadb.FileName)
		}
	}()
	state, err = m.BoltMetaDB.Load(dir)
	if !syncsDirs && errors.Is(err, fs.ErrPermission) {
		state, err = m.BoltMetaDB.Load(dir) // it was made; only the directory could not be brought to disk
	}
	if err != nil || len(state.Segments) == 0 {
		return state, err
	}
	newest := &state.Segments[len(state.Segments)-1]
	if !newest.SealTime.IsZero() {
		return state, nil
	}
	name := filepath.Join(dir, segment.FileName(*newest))
	all, rest, err := lookThrough(name)
	if errors.Is(err, os.ErrNotExist) {
		return state, nil // it was about to be made
	}
	if err != nil {
		return state, err
	}
	if goesOn(rest) {
		return state, damagedBehind(name, all.end)
	}
	if m.torn = len(bytes.TrimRight(rest, "\x00")); m.torn > 0 {
		if err := blank(name, all.end, m.torn); err != nil {
			return state, err
		}
	}
	if all.index == 0 {
		return state, nil
	}
	// It is full, and the crash came before that was noted. Raft-wal would neither
	// write to it nor begin another one.
	newest.SealTime, newest.IndexStart, newest.MaxIndex = time.Now(), uint64(all.index), newest.BaseIndex+uint64(all.entries)-1
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: newest.MaxIndex + 1, MinIndex: newest.MaxIndex + 1,
		SizeLimit: newest.SizeLimit, Codec: newest.Codec, CreateTime: time.Now(),
	})
	state.NextSegmentID++
	return state, m.CommitState(state)
}

// mayBegin refuses to begin a log where there was one: raft-wal would take what is
// left of it for useless, and delete it.
func mayBegin(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, metadb.FileName)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, of := range []struct{ dir, names string }{{dir, "*.wal"}, {filepath.Dir(dir), "snapshots/*/meta.json"}, {filepath.Dir(dir), identityFile}} {
		if left, err := fs.Glob(os.DirFS(of.dir), of.names); err != nil || len(left) > 0 {
			return errors.Join(err, fmt.Errorf("%s is missing, though there was one", metadb.FileName))
		}
	}
	return nil
}

// blank fills a part of a file with zeros. What a crash has left of a write with
// which a segment was to be full would have raft-wal take it for full.
func blank(name string, at, length int) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(make([]byte, length), int64(at))
	return errors.Join(err, syncFile(file), file.Close())
}

func damagedBehind(name string, end int) error {
	return fmt.Errorf("%s is damaged behind byte %d", filepath.Base(name), end)
}
