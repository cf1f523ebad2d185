package raftstore

import (
	"errors"
	"io"

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

// noteAdmission lets the node take part from now on.
func (s *Store) noteAdmission() error {
	if s.admitted() {
		return nil
	}
	s.peers.identity.Admitted = true
	if err := s.peers.identity.write(s.options.Dir); err != nil {
		return err
	}
	s.mayVote.Store(true)
	return nil
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
