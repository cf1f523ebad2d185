package raftstore

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
)

// A follower is not made to throw away what it has, and knows only then.
func TestASnapshotOfWhatIsThereIsNotInstalled(t *testing.T) {
	for name, c := range map[string]struct {
		index, term uint64 // of the last entry in the snapshot
		leader      uint64 // the term of who sends it
		raft        bool   // raft has to decide
		success     bool
		conflict    bool
	}{
		"it ends in the middle of the log":       {index: 5, term: 2, leader: 3, success: true},
		"it ends where the log does":             {index: 8, term: 2, leader: 3, success: true},
		"it goes beyond the log":                 {index: 9, term: 2, leader: 3, raft: true},
		"it is older than a snapshot of its own": {index: 2, term: 2, leader: 3, success: true},
		"the log has another entry there":        {index: 5, term: 3, leader: 3, raft: true, conflict: true},
		"it comes from an old leader":            {index: 5, term: 2, leader: 2, raft: true},
		"it comes from a new leader":             {index: 5, term: 2, leader: 4, success: false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := newSimDisk(rand.New(rand.NewPCG(1, 1)))
				memory.SetUint64(keyCurrentTerm, 3)
				sink, _ := memory.Create(1, 3, 2, raft.Configuration{}, 1, nil)
				sink.Close()
				for index := uint64(4); index <= 8; index++ {
					memory.StoreLog(&raft.Log{Index: index, Term: 2})
				}
				kept, _ := memory.storage(Options{})
				network := newSimNetwork(1, 1)
				conflict := false
				m := mend(newSimTransport(network, 0, "n0@"), &disk{storage: kept, log: newLogWriter(memory)}, func(uint64, uint64) { conflict = true })
				defer m.Close()
				answers, data := make(chan raft.RPCResponse, 1), bytes.NewReader([]byte("a snapshot"))
				go func() {
					m.transport.(*simTransport).consumer <- raft.RPC{
						Command: &raft.InstallSnapshotRequest{Term: c.leader, LastLogIndex: c.index, LastLogTerm: c.term}, Reader: data, RespChan: answers,
					}
				}()
				select {
				case <-m.Consumer():
					if !c.raft {
						t.Error("raft gets it")
					}
				case answer := <-answers:
					if c.raft || answer.Response.(*raft.InstallSnapshotResponse).Success != c.success || data.Len() > 0 {
						t.Errorf("the answer is %+v, and %d bytes are unread", answer.Response, data.Len())
					}
				}
				if conflict != c.conflict {
					t.Errorf("conflict: %v", conflict)
				}
			})
		})
	}
}
