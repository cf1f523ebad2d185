package raftstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/raft-wal/segment"

	"holdfast"
	"holdfast/internal/table"
)

func TestAllKeysOfACommandCount(t *testing.T) {
	p := proposal{cmd: table.Command{Keys: make([]holdfast.Ask, 1), Tokens: make([]holdfast.Token, 20), Ended: make([]table.Owned, 300)}}
	if got := p.keys(); got != 321 {
		t.Errorf("%d keys", got)
	}
}

// The log writes an entry of any size, but does not read back one that is too
// large: what was answered could not be read at the next start.
func TestAnEntryIsNoLargerThanTheLogCanRead(t *testing.T) {
	s := &Store{queue: make(chan *proposal, queueLength), disk: &disk{}}
	long := func(name string, most int) string { return name + strings.Repeat("x", most-len(name)) }
	asks := make([]holdfast.Ask, holdfast.MaxKeys)
	for i := range asks {
		asks[i].Key = long(fmt.Sprint(i), holdfast.MaxKey)
	}
	largest := table.Command{Op: table.Lock, UID: long("", holdfast.MaxUID), Keys: asks, Exp: holdfast.MaxExp, Note: long("", holdfast.MaxNote)}
	for range batchLength {
		s.queue <- &proposal{cmd: largest}
	}
	for entries := 1; len(s.queue) > 0; entries++ {
		gathered := s.gather(<-s.queue)
		if entry := s.encode(newBatch(1, gathered, nil)); len(entry) > segment.MaxEntrySize/8 {
			t.Fatalf("entry %d has %d bytes in %d commands", entries, len(entry), len(gathered))
		}
	}
}
