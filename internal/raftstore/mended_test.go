package raftstore

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"holdfast/internal/keeper"
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
				m := mend(newSimTransport(network, 0, "n0@"), &disk{storage: kept, log: newLogWriter(memory)}, isAdmitted, func(uint64, uint64) { conflict = true })
				defer m.Close()
				answers, data := make(chan raft.RPCResponse, 1), bytes.NewReader([]byte("a snapshot"))
				go func() {
					m.transport.(*simTransport).consumer <- raft.RPC{
						Command: &raft.InstallSnapshotRequest{Term: c.leader, LastLogIndex: c.index, LastLogTerm: c.term}, Reader: data, RespChan: answers,
					}
				}()
				nothing := <-m.Consumer()
				nothing.Respond(nil, nil) // raft is done with what came before
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

// A follower is sent a snapshot while it still writes what is in it, and more.
func TestASnapshotOfWhatIsBeingWrittenIsNotInstalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newSimDisk(rand.New(rand.NewPCG(1, 1)))
		kept, _ := memory.storage(Options{})
		s := &Store{options: Options{Logger: slog.New(slog.DiscardHandler)}, keeper: keeper.New(0), disk: &disk{storage: kept, log: newLogWriter(memory)}}
		arriving := newSimTransport(newSimNetwork(1, 3), 0, "n0@")
		m := mend(arriving, s.disk, isAdmitted, func(last, snapshot uint64) { t.Errorf("conflict over %d to %d", snapshot, last) })
		defer m.Close()
		config := s.config("n0")
		members := raft.Configuration{Servers: []raft.Server{{ID: "n0", Address: "n0@"}, {ID: "n1", Address: "n1@"}, {ID: "n2", Address: "n2@"}}}
		if err := raft.BootstrapCluster(config, memory, memory, memory, m, members); err != nil {
			t.Fatal(err)
		}
		node, err := raft.NewRaft(config, machine{s}, s.disk.log, memory, memory, m)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { node.Shutdown().Error() }()

		from := raft.RPCHeader{ProtocolVersion: config.ProtocolVersion, ID: []byte("n1"), Addr: []byte("n1@")}
		entries := &raft.AppendEntriesRequest{RPCHeader: from, Term: 2, PrevLogEntry: 1, PrevLogTerm: 1}
		for index := uint64(2); index <= 10; index++ {
			entries.Entries = append(entries.Entries, &raft.Log{Index: index, Term: 2, Type: raft.LogNoop})
		}
		written := make(chan raft.RPCResponse, 1)
		go func() {
			answer, _ := arriving.take(entries, nil)
			written <- answer
		}()
		synctest.Wait() // until raft waits for the disk
		var data bytes.Buffer
		if _, err := s.keeper.Snapshot().WriteTo(&data); err != nil {
			t.Fatal(err)
		}
		answer, _ := arriving.take(&raft.InstallSnapshotRequest{
			RPCHeader: from, SnapshotVersion: 1, Term: 2, LastLogIndex: 8, LastLogTerm: 2,
			Configuration: raft.EncodeConfiguration(members), ConfigurationIndex: 1, Size: int64(data.Len()),
		}, data.Bytes())
		if r, ok := (<-written).Response.(*raft.AppendEntriesResponse); !ok || !r.Success {
			t.Errorf("to the entries it says %+v", r)
		}
		if r, ok := answer.Response.(*raft.InstallSnapshotResponse); !ok || !r.Success {
			t.Errorf("to the snapshot it says %+v", r)
		}
		if last, _ := memory.LastIndex(); last != 10 {
			t.Errorf("it has entries up to %d", last)
		}
	})
}

// dropping is a log from which raft drops entries, which it has put into a
// snapshot, just before one of them is looked at.
type dropping struct{ *simDisk }

func (d dropping) GetLog(index uint64, entry *raft.Log) error {
	sink, _ := d.Create(1, 8, 2, raft.Configuration{}, 1, nil)
	sink.Close()
	d.DeleteRange(1, 8)
	return d.simDisk.GetLog(index, entry)
}

func TestASnapshotOfWhatIsBeingDroppedIsNotInstalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newSimDisk(rand.New(rand.NewPCG(1, 1)))
		memory.SetUint64(keyCurrentTerm, 3)
		for index := uint64(1); index <= 9; index++ {
			memory.StoreLog(&raft.Log{Index: index, Term: 2})
		}
		kept, _ := memory.storage(Options{})
		m := &mended{disk: &disk{storage: kept, log: newLogWriter(dropping{memory})}, conflicts: func(last, snapshot uint64) {
			t.Errorf("conflict over %d to %d", snapshot, last)
		}}
		if !m.knows(&raft.InstallSnapshotRequest{Term: 3, LastLogIndex: 5, LastLogTerm: 2}) {
			t.Error("it is not known")
		}
	})
}
