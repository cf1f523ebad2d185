package raftstore

import (
	"slices"

	"github.com/hashicorp/raft"
)

const (
	recentEntries = 512
	recentBytes   = 128 << 10 // of one entry; under load most have some ten thousand
)

// recent keeps the last entries at hand, so that raft need not read them from the
// disk for those who are a little behind. Large ones are read: so many of them
// would be a gigabyte.
type recent struct {
	*raft.LogCache
	log raft.LogStore
}

func newRecent(log raft.LogStore) (*recent, error) {
	cache, err := raft.NewLogCache(recentEntries, log)
	return &recent{cache, log}, err
}

// StoreLog writes one entry.
func (r *recent) StoreLog(entry *raft.Log) error { return r.StoreLogs([]*raft.Log{entry}) }

// StoreLogs writes entries. Those that are at hand already stay so: an entry takes
// the place of another one only after a DeleteRange, which lets go of all.
func (r *recent) StoreLogs(entries []*raft.Log) error {
	if slices.ContainsFunc(entries, func(e *raft.Log) bool { return len(e.Data) > recentBytes }) {
		return r.log.StoreLogs(entries)
	}
	return r.LogCache.StoreLogs(entries)
}
