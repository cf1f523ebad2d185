package raftstore

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A node gives its vote as soon as it has not heard of the leader for the
// election timeout, and not before.
func TestOneThatDoesNotHearOfTheLeaderVotes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		for !w.asksForVotes() && !t.Failed() {
		}
		w.end()
	})
}

// asksForVotes asks a follower for its vote, before and after it has not heard
// of the leader for long enough. It says false if raft has looked for the leader
// just then, by chance.
func (w *world) asksForVotes() bool {
	leader := w.leader()
	candidate, l := w.nodes[(leader.index+1)%3], w.nodes[(leader.index+2)%3].living()
	goesByLeader := func() bool { at, _ := l.raft.LeaderWithID(); return at == join(leader.id, leader.address) }
	votes := func() (before, then bool) {
		last, term := l.raft.LastIndex(), l.raft.CurrentTerm()
		head := raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(candidate.id), Addr: []byte(join(candidate.id, candidate.address)),
		}
		first, _ := l.transport.take(&raft.RequestPreVoteRequest{RPCHeader: head, Term: term + 1, LastLogIndex: last, LastLogTerm: term}, nil)
		second, _ := l.transport.take(&raft.RequestVoteRequest{RPCHeader: head, Term: term + 1, LastLogIndex: last, LastLogTerm: term}, nil)
		return first.Response.(*raft.RequestPreVoteResponse).Granted, second.Response.(*raft.RequestVoteResponse).Granted
	}
	silentFor := func(long time.Duration) {
		for time.Since(l.raft.LastContact()) < long {
			time.Sleep(time.Millisecond)
		}
	}
	w.within("it hears of the leader", goesByLeader)
	defer w.cut(func(from, to int) bool { return true })()
	silentFor(simElection - 5*time.Millisecond)
	if before, then := votes(); before || then {
		w.t.Error("it has heard of the leader, and votes:", before, then)
	}
	silentFor(simElection)
	if !goesByLeader() {
		return false
	}
	if before, then := votes(); !before || !then {
		w.t.Error("it has not heard of the leader, and does not vote:", before, then)
	}
	return true
}
