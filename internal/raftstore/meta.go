package raftstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// meta is what a log knows of its segments. As it is read, it looks through the
// newest one, of which raft-wal v0.4.2 checks the last write alone.
type meta struct {
	metadb.BoltMetaDB
	torn int // bytes of a write that a crash has cut off
}

// Load gives what is known.
func (m *meta) Load(dir string) (state types.PersistentState, err error) {
	if err := mayBegin(dir); err != nil {
		return state, err
	}
	defer func() {
		if recover() != nil { // bbolt v1.3.6 panics over a file that is none of its own
			err = fmt.Errorf("%s is damaged", metadb.FileName)
		}
	}()
	if state, err = m.BoltMetaDB.Load(dir); err != nil || len(state.Segments) == 0 {
		return state, err
	}
	newest := &state.Segments[len(state.Segments)-1]
	if !newest.SealTime.IsZero() {
		return state, nil
	}
	name := filepath.Join(dir, segment.FileName(*newest))
	b, err := readWritten(name)
	if errors.Is(err, os.ErrNotExist) {
		return state, nil // it was about to be made
	}
	if err != nil {
		return state, err
	}
	all := committed(b)
	if goesOn(b, all.end) {
		return state, damagedBehind(name, all.end)
	}
	m.torn = max(0, len(bytes.TrimRight(b, "\x00"))-all.end)
	return state, nil
}

// mayBegin refuses to begin a log where there was one: raft-wal would take what is
// left of it for useless, and delete it.
func mayBegin(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, metadb.FileName)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, of := range []struct{ dir, names string }{{dir, "*.wal"}, {filepath.Dir(dir), "snapshots/*"}, {filepath.Dir(dir), identityFile}} {
		if left, err := fs.Glob(os.DirFS(of.dir), of.names); err != nil || len(left) > 0 {
			return errors.Join(err, fmt.Errorf("%s is missing, though there was one", metadb.FileName))
		}
	}
	return nil
}

func damagedBehind(name string, end int) error {
	return fmt.Errorf("%s is damaged behind byte %d", filepath.Base(name), end)
}
