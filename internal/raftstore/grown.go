package raftstore

import (
	"cmp"
	"time"

	"github.com/hashicorp/raft"
)

// Raft takes a snapshot after so many entries of the log, however large they are,
// and leaves a quarter of as many in the log. An entry of a busy store has some
// 40 KB, so that 65,536 of them would fill a disk of 2 GiB, which then no
// snapshot could free. So one is taken too when the log has grown by so many
// bytes.

// snapshotPause is for how long nothing is tried after a snapshot could not be
// taken, for which there may be room later.
const snapshotPause = time.Second

// grow counts what was written, and says so when it is time for a snapshot.
func (w *logWriter) grow(entries []*raft.Log) {
	var written int64
	for _, entry := range entries {
		written += int64(len(entry.Data))
	}
	if w.grown.Add(written) >= w.most {
		select {
		case w.full <- struct{}{}:
		default: // it has been said
		}
	}
}

// covered gives what to call when a snapshot of this moment is on disk.
func (w *logWriter) covered() func() {
	until := w.grown.Load()
	return func() { w.grown.Add(-until) }
}

// shorten takes a snapshot whenever the log has grown by too much.
func (s *Store) shorten() {
	for {
		select {
		case <-s.disk.log.full:
		case <-s.ctx.Done():
			return
		}
		for s.disk.log.grown.Load() >= s.disk.log.most && s.cut() != nil {
			select { // raft has said why
			case <-time.After(snapshotPause):
			case <-s.ctx.Done():
				return
			}
		}
	}
}

// cut takes a snapshot, and leaves a quarter of the entries behind the one before
// in the log.
func (s *Store) cut() error {
	last, err := s.disk.log.LastIndex()
	if err != nil {
		return err
	}
	newest, err := s.disk.newest()
	if err != nil {
		return err
	}
	if newest != nil {
		last -= min(last, newest.Index)
	}
	usual := s.options.trailing()
	if err := s.reload(func(c *raft.ReloadableConfig) { c.TrailingLogs = min(usual, max(1, last/4)) }); err != nil {
		return err
	}
	err = s.raft.Snapshot().Error()
	again := s.reload(func(c *raft.ReloadableConfig) { c.TrailingLogs = usual })
	return cmp.Or(err, again)
}

// reload changes a setting of raft, and leaves alone what is changed beside it.
func (s *Store) reload(change func(*raft.ReloadableConfig)) error {
	s.setting.Lock()
	defer s.setting.Unlock()
	config := s.raft.ReloadableConfig()
	change(&config)
	return s.raft.ReloadConfig(config)
}
