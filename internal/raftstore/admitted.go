package raftstore

import (
	"errors"
	"io"
	"time"

	"github.com/hashicorp/raft"
)

// A node whose disk is empty may be one of the cluster that has lost it. Then
// it has forgotten for whom it voted and what it promised to keep, and if it
// took part in raft all the same, what was answered could be lost. So it
// neither votes nor takes entries before a leader has taken it in, who does not
// do so while a voter with its ID is known; see objection. That this has
// happened is kept in its identity.

var errNotAdmitted = errors.New("this node begins with an empty disk and has not been taken in yet")

// admitted says whether this node may take part.
func (s *Store) admitted() bool { return s.mayVote.Load() }

// admission gives the entry of the log with which it was taken in.
func (s *Store) admission() (since uint64, admitted bool) {
	if !s.admitted() {
		return 0, false
	}
	return s.peers.identity.Since, true
}

// noteAdmission lets the node take part from now on. With this entry of the log
// it is a member.
func (s *Store) noteAdmission(since uint64) error {
	if s.admitted() {
		return nil
	}
	s.peers.identity.Admitted, s.peers.identity.Since = true, since
	if err := s.peers.identity.write(s.options.Dir); err != nil {
		return err
	}
	s.mayVote.Store(true)
	return nil
}

// Whoever has been taken in is sent the log from its beginning. A node may have
// had its ID then, and have been a voter, perhaps the only one: raft would take
// that for the present, and lead alone as soon as it does not hear of the leader.
// So until the log has come to the entry with which this node was taken in, raft
// has endless patience with the leader, and the node gets no vote. Nor does it give
// one: whoever has not heard that an earlier one with its ID was removed would
// count it, and what it has promised to keep is only in that log.

// endless is beyond any time in which this node may not hear of the leader.
const endless = 1000 * time.Hour

// inLog says whether the log tells of this node, and of no earlier one with its ID.
func (s *Store) inLog() bool {
	since, admitted := s.admission()
	return admitted && s.raft.LastIndex() >= since
}

// present says the same. From then on the node may stand for election.
func (s *Store) present() bool {
	if !s.inLog() {
		return false
	}
	if s.raft.ReloadableConfig().HeartbeatTimeout != endless {
		return true
	}
	err := s.reload(func(c *raft.ReloadableConfig) {
		c.HeartbeatTimeout = s.options.Node.electionTimeout()
		c.ElectionTimeout = c.HeartbeatTimeout
	})
	if err != nil {
		s.fail(err) // these are the timeouts of every other start
	}
	return err == nil
}

// refuses says whether a message is none for this node, and answers it then.
func (t *mended) refuses(rpc raft.RPC) bool {
	since, admitted := t.admission()
	if admitted && !(asksForVote(rpc) && t.lastIndex() < since) {
		return false
	}
	if rpc.Reader != nil {
		io.Copy(io.Discard, rpc.Reader)
	}
	rpc.Respond(nil, errNotAdmitted)
	return true
}

func asksForVote(rpc raft.RPC) bool {
	switch rpc.Command.(type) {
	case *raft.RequestVoteRequest, *raft.RequestPreVoteRequest:
		return true
	}
	return false
}

// lastIndex is that of raft's log; zero until raft runs.
func (t *mended) lastIndex() uint64 {
	if r := t.raft.Load(); r != nil {
		return r.LastIndex()
	}
	return 0
}
