package raftstore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"

	"holdfast/internal/stats"
	"holdfast/internal/table"
)

// A data directory holds
//
//	restoring   if a restore into it is under way, or did not come to its end
//	LOCK        held by the process that uses the directory
//	node.json   whose it is, if it is that of a node of a cluster
//	log/        the log and raft's own state
//	snapshots/  the last two snapshots
type disk struct {
	storage
	log     *logWriter    // to the storage's log
	terms   *terms        // the storage's stable
	life    uint64        // tells this process from every other that writes to the log
	members []raft.Server // as the log and the snapshots have them at the start
	last    uint64        // the last entry that they have then
}

// storage is what raft keeps its state in. What is written there outlasts a
// crash once the call that writes it has returned.
type storage struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	close     func() error
}

// openDisk looks through what a store has kept.
func openDisk(options Options) (*disk, error) {
	open := openDir
	if options.openStorage != nil {
		open = options.openStorage
	}
	kept, err := open(options)
	if err != nil {
		return nil, err
	}
	d := &disk{storage: kept, log: newLogWriter(kept.logs), life: newLife()}
	d.log.most = options.SnapshotBytes
	err = d.check(options)
	if err == nil {
		d.terms, err = newTerms(kept.stable)
		d.stable = d.terms
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// openDir opens the storage in a data directory.
func openDir(options Options) (_ storage, err error) {
	if !options.restoring {
		if err := mustBeRestored(options.Dir); err != nil {
			return storage{}, err
		}
	}
	logDir := filepath.Join(options.Dir, "log")
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return storage{}, fmt.Errorf("the data directory cannot be made: %w", err)
	}
	lock, err := lockDir(options.Dir)
	if err != nil {
		return storage{}, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	known := &meta{}
	files := segments{segment.NewFiler(logDir, zeroed{logFiles()}), logDir}
	log, err := wal.Open(logDir, wal.WithMetaStore(known), wal.WithSegmentFiler(files), wal.WithLogger(raftLogger(options.Logger)))
	if err != nil {
		known.Close()
		return storage{}, damaged(logDir, err)
	}
	if known.torn > 0 {
		options.Logger.Warn("the log ends in a write that a crash has cut off; it was never answered, and is left out", "bytes", known.torn)
	}
	// Made by the library, everybody on the machine could read it.
	if err := os.MkdirAll(filepath.Join(options.Dir, "snapshots"), 0o700); err != nil {
		log.Close()
		return storage{}, fmt.Errorf("the data directory cannot be made: %w", err)
	}
	if err := removeUnfinished(options.Dir); err != nil {
		log.Close()
		return storage{}, err
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(options.Dir, 2, raftLogger(options.Logger))
	if err != nil {
		log.Close()
		return storage{}, fmt.Errorf("the snapshots in %s cannot be used: %w", options.Dir, err)
	}
	return storage{log, log, snapshots, func() error { return errors.Join(log.Close(), lock.Close()) }}, nil
}

// removeUnfinished removes snapshots that an earlier process began to write, or to
// get from another node, and did not finish. Raft only passes over them, and each may
// be as large as the whole state.
func removeUnfinished(dir string) error {
	left, err := fs.Glob(os.DirFS(dir), "snapshots/*.tmp")
	for _, name := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
	}
	if err != nil {
		return fmt.Errorf("the data directory cannot be cleared of a snapshot that was not finished: %w", err)
	}
	return nil
}

// check looks through all that a start will need, so that damage stops it
// with a message, rather than a node going on with another table than it
// answered from. A tail that was torn off while it was written has never been
// answered; opening the log has passed over it.
func (d *disk) check(options Options) error {
	newest, err := d.newest()
	if err != nil {
		return damaged(options.Dir, err)
	}
	if newest != nil {
		if _, err := d.table(newest); err != nil {
			return damaged(filepath.Join(options.Dir, "snapshots", newest.ID), err)
		}
		if err := d.drop(newest.Index); err != nil {
			return fmt.Errorf("the log in %s ends before the snapshot, and cannot be cleared: %w", options.Dir, err)
		}
		d.members, d.last = newest.Configuration.Servers, newest.Index
	}
	snapshot := d.last
	if first, err := d.log.FirstIndex(); err == nil && first > snapshot+1 {
		return damaged(options.Dir, fmt.Errorf("entries %d to %d of the log are in no snapshot", snapshot+1, first-1))
	}
	err = d.each(0, func(entry *raft.Log) (err error) {
		d.last = entry.Index
		if entry.Index > snapshot {
			d.log.grow([]*raft.Log{entry})
		}
		switch entry.Type {
		case raft.LogCommand:
			_, _, _, err = header(entry.Data)
		case raft.LogConfiguration:
			d.members = raft.DecodeConfiguration(entry.Data).Servers
		}
		return err
	})
	if err != nil {
		return damaged(filepath.Join(options.Dir, "log"), err)
	}
	return nil
}

// drop clears a log that ends before a snapshot. A crash has come when another
// node had sent the snapshot, and raft had not dropped the log yet. Raft would go
// on behind the snapshot, and the log takes no entry that does not follow its
// last one.
func (d *disk) drop(snapshot uint64) error {
	first, err := d.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := d.log.LastIndex()
	if err != nil || last == 0 || last >= snapshot {
		return err
	}
	return d.log.DeleteRange(first, last)
}

// newest gives the last snapshot; nil if there is none.
func (d *disk) newest() (*raft.SnapshotMeta, error) {
	metas, err := d.snapshots.List()
	if err != nil || len(metas) == 0 {
		return nil, err
	}
	return metas[0], nil
}

// table reads a snapshot.
func (d *disk) table(snapshot *raft.SnapshotMeta) (*table.Table, error) {
	_, file, err := d.snapshots.Open(snapshot.ID)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return table.Read(file)
}

// each visits the entries of the log one after the other, but none before from.
func (d *disk) each(from uint64, visit func(*raft.Log) error) error {
	first, err := d.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := d.log.LastIndex()
	if err != nil {
		return err
	}
	for index := max(from, first, 1); index <= last; index++ {
		var entry raft.Log
		err := d.log.GetLog(index, &entry)
		if err == nil {
			err = visit(&entry)
		}
		if err != nil {
			return fmt.Errorf("entry %d of %d to %d: %w", index, first, last, err)
		}
	}
	return nil
}

// logWriter knows how long a write has been under way, and counts those that
// are over.
type logWriter struct {
	raft.LogStore
	began   atomic.Int64     // when, in ns of the process's own clock; zero while nothing is written
	took    *stats.Histogram // how long writes took, failed ones too
	entries atomic.Uint64    // that are on disk
	grown   atomic.Int64     // bytes of entries since the last snapshot
	most    int64            // after so many a snapshot should be taken
	full    chan struct{}    // says that it should
}

func newLogWriter(logs raft.LogStore) *logWriter {
	return &logWriter{LogStore: logs, took: stats.NewHistogram(stats.Quick), full: make(chan struct{}, 1)}
}

var processStart = time.Now()

// IsMonotonic says whether entries must follow each other without a hole:
// raft asks, and an embedded interface would hide the answer.
func (w *logWriter) IsMonotonic() bool {
	inner, ok := w.LogStore.(raft.MonotonicLogStore)
	return ok && inner.IsMonotonic()
}

// StoreLog writes one entry.
func (w *logWriter) StoreLog(entry *raft.Log) error { return w.StoreLogs([]*raft.Log{entry}) }

// StoreLogs writes entries, and returns when they are on disk.
func (w *logWriter) StoreLogs(entries []*raft.Log) error {
	began := time.Now()
	w.began.Store(int64(began.Sub(processStart)))
	defer w.began.Store(0)
	err := w.LogStore.StoreLogs(entries)
	w.took.Since(began)
	if err == nil {
		w.entries.Add(uint64(len(entries)))
		w.grow(entries)
	}
	return err
}

// watched is for how long somebody who looks now and then has seen one write
// under way. A process that was stopped, or had no processor, has not: its disk
// may be well.
type watched struct {
	began int64 // of the write, as in logWriter
	last  time.Time
	seen  time.Duration
}

// look is to be called about every so often, with what is under way.
func (w *watched) look(began int64, now time.Time, every time.Duration) time.Duration {
	if began == 0 || began != w.began {
		w.began, w.seen = began, 0
	} else {
		w.seen += min(now.Sub(w.last), 2*every)
	}
	w.last = now
	return w.seen
}

func damaged(where string, err error) error {
	return fmt.Errorf("%s cannot be used: %w; restore a backup into another directory, "+
		"or, in a cluster, remove this node and let it join again with an empty one", where, err)
}

// lockDir keeps a second process out of the directory. The lock ends with
// the process, however that ends.
func lockDir(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data directory cannot be written: %w", err)
	}
	if err := lockFile(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("the data directory %s is in use by another process", dir)
	}
	return file, nil
}

func newLife() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}
