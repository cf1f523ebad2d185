package raftstore

import (
	"testing"

	"github.com/hashicorp/raft"
)

// counted is a log that counts the entries that are read from it.
type counted struct {
	*raft.InmemStore
	read int
}

func (c *counted) GetLog(index uint64, entry *raft.Log) error {
	c.read++
	return c.InmemStore.GetLog(index, entry)
}

func TestOnlySmallEntriesAreKeptAtHand(t *testing.T) {
	log := &counted{InmemStore: raft.NewInmemStore()}
	recent, err := newRecent(log)
	if err != nil {
		t.Fatal(err)
	}
	const count = 2 * recentEntries
	small, large := make([]byte, recentBytes), make([]byte, recentBytes+1)
	for index := uint64(1); index <= count; index++ {
		entry := &raft.Log{Index: index, Data: small}
		if index%2 == 0 {
			entry.Data = large
		}
		if err := recent.StoreLog(entry); err != nil {
			t.Fatal(err)
		}
	}
	for index := uint64(count - 20); index <= count; index++ {
		var entry raft.Log
		before := log.read
		if err := recent.GetLog(index, &entry); err != nil || entry.Index != index {
			t.Fatalf("entry %d: %d, %v", index, entry.Index, err)
		}
		if fromLog := log.read > before; fromLog != (len(entry.Data) > recentBytes) {
			t.Errorf("entry %d of %d bytes: read from the log %v", index, len(entry.Data), fromLog)
		}
	}
}
