package raftstore

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// transport carries the messages of raft.
type transport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// mended is a transport that keeps six faults of hashicorp/raft v1.7.3 from
// doing harm.
//
// A heartbeat may set the term back, see terms.
//
// A follower refuses its vote to whoever has joined, if it was away meanwhile:
// it looks for the candidate among the members that it knows of. Then nobody may
// ever be elected, though a majority lives. A candidate's log says all that a
// vote depends on (Ongaro's thesis on Raft, section 4.1), so raft is shown the ID
// of one that it knows.
//
// A follower gives no vote for long after the leader has gone, see silentLeader.
//
// A pipeline may never end, see AppendEntriesPipeline.
//
// A follower may never catch up, see behind.
//
// A follower that is sent a snapshot of entries which it has already, and newer
// ones, throws all of them away and does not notice (raft's issue 697): it
// forgets what it has promised to keep, and ends in a panic at the next commit.
// So snapshots are looked at here before raft does, and what is there already is
// said to be there.
type mended struct {
	transport
	disk      *disk
	admission func() (since uint64, admitted bool)
	raft      atomic.Pointer[raft.Raft]   // nil until it runs
	conflicts func(last, snapshot uint64) // called when the log has other entries than the snapshot, up to last
	rpcs      chan raft.RPC
	over      chan struct{}
	once      sync.Once
}

func mend(t transport, d *disk, admission func() (uint64, bool), conflicts func(last, snapshot uint64)) *mended {
	m := &mended{transport: t, disk: d, admission: admission, conflicts: conflicts, rpcs: make(chan raft.RPC), over: make(chan struct{})}
	go m.pass()
	return m
}

// Consumer gives what is left for raft.
func (t *mended) Consumer() <-chan raft.RPC { return t.rpcs }

// Close closes the transport.
func (t *mended) Close() error {
	t.once.Do(func() { close(t.over) })
	return t.transport.Close()
}

// pass hands messages on.
func (t *mended) pass() {
	for {
		select {
		case rpc := <-t.transport.Consumer():
			if t.refuses(rpc) {
				continue
			}
			switch sent := rpc.Command.(type) {
			case *raft.InstallSnapshotRequest:
				t.awaitRaft()
				if t.knows(sent) {
					t.accept(rpc, sent)
					continue
				}
			case *raft.AppendEntriesRequest:
				rpc.Command = t.behind(sent)
			case *raft.RequestVoteRequest:
				sent.ID = t.knownVoter(sent.ID)
				sent.LeadershipTransfer = sent.LeadershipTransfer || t.silentLeader() != ""
			case *raft.RequestPreVoteRequest:
				sent.ID = t.knownVoter(sent.ID)
				if leader := t.silentLeader(); leader != "" {
					sent.Addr = t.EncodePeer("", leader)
				}
			}
			select {
			case t.rpcs <- rpc:
			case <-t.over:
				return
			}
		case <-t.over:
			return
		}
	}
}

// awaitRaft returns when raft is done with the messages that it was given: it
// takes one after the other, and refuses this one, which says nothing. Else it
// might write what a snapshot that comes behind holds, and more, just after the
// log was looked at.
func (t *mended) awaitRaft() {
	refused := make(chan raft.RPCResponse, 1)
	select {
	case t.rpcs <- raft.RPC{RespChan: refused}:
	case <-t.over:
		return
	}
	select {
	case <-refused:
	case <-t.over:
	}
}

// knownVoter gives the ID of a voter that raft knows, or the candidate's.
func (t *mended) knownVoter(candidate []byte) []byte {
	if r := t.raft.Load(); r != nil {
		for _, member := range r.GetConfiguration().Configuration().Servers {
			if member.Suffrage == raft.Voter {
				return []byte(member.ID)
			}
		}
	}
	return candidate
}

// knows says whether all that a snapshot is made of is on the disk of this
// node: in a snapshot of its own, or in its log, which is the same as the
// leader's up to any entry that is.
func (t *mended) knows(sent *raft.InstallSnapshotRequest) bool {
	term, err := t.disk.stable.GetUint64(keyCurrentTerm)
	if err != nil || sent.Term < term {
		return false // raft refuses it
	}
	var entry raft.Log
	if t.disk.log.GetLog(sent.LastLogIndex, &entry) == nil && entry.Term == sent.LastLogTerm {
		return true
	}
	// What raft drops from the log, which it may do at any time, is in a snapshot
	// before: so that is looked at later.
	if newest, err := t.disk.newest(); err == nil && newest != nil && newest.Index >= sent.LastLogIndex {
		return true
	}
	if last, err := t.disk.log.LastIndex(); err == nil && last > sent.LastLogIndex {
		t.conflicts(last, sent.LastLogIndex)
	}
	return false
}

// conflict ends a node that is sent a snapshot while the end of its log is of
// another history, which was never answered. Raft drops it, but would go on as if
// it were there, and refuse all that comes from the leader.
func (s *Store) conflict(last, snapshot uint64) {
	s.fail(fmt.Errorf("entries %d to %d of the log were left out by the other nodes; start this one again", snapshot, last))
}

// keyCurrentTerm is where raft keeps its term.
var keyCurrentTerm = []byte("CurrentTerm")

// accept answers as raft does when it has installed a snapshot. A term that is
// news to this node is left to the next heartbeat: until then the leader has to
// try again.
func (t *mended) accept(rpc raft.RPC, sent *raft.InstallSnapshotRequest) {
	io.Copy(io.Discard, rpc.Reader)
	term, err := t.disk.stable.GetUint64(keyCurrentTerm)
	rpc.Respond(&raft.InstallSnapshotResponse{
		RPCHeader: sent.RPCHeader, Term: term, Success: err == nil && term == sent.Term,
	}, nil)
}
