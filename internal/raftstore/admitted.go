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
// has endless patience with the leader, and the node gets no vote.

// endless is beyond any time in which this node may not hear of the leader.
const endless = 1000 * time.Hour

// present says whether the log tells of this node, and of no earlier one with its
// ID. From then on it may stand for election.
func (s *Store) present() bool {
	if !s.admitted() || s.raft.LastIndex() < s.peers.identity.Since {
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
	if t.admitted() {
		return false
	}
	if rpc.Reader != nil {
		io.Copy(io.Discard, rpc.Reader)
	}
	rpc.Respond(nil, errNotAdmitted)
	return true
}
