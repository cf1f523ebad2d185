package raftstore

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// question is what one node asks another, one on a connection, as JSON. A
// field that a node does not know is passed over, so that nodes of two
// versions understand each other.
type question struct {
	Op string `json:"op"`

	ID    string `json:"id,omitempty"`    // join, member: of whom it is
	Peer  string `json:"peer,omitempty"`  // join: host:port at which that node is to be reached
	Fresh bool   `json:"fresh,omitempty"` // join: it has no state yet
	Voter bool   `json:"voter,omitempty"` // join: it has caught up
}

// The questions.
const (
	askState  = "state"  // how is it with you?
	askJoin   = "join"   // to the leader: take this node in
	askMember = "member" // to the leader: is this node in the cluster?
)

// reply is the answer to a question.
type reply struct {
	Refusal string `json:"refusal,omitempty"` // why not
	Again   bool   `json:"again,omitempty"`   // with a refusal: it may be asked again, perhaps elsewhere

	API     string `json:"api,omitempty"`
	Applied uint64 `json:"applied,omitempty"` // the last entry that the table of this node knows
	Last    uint64 `json:"last,omitempty"`    // join: the last entry of the log
	Member  bool   `json:"member,omitempty"`
}

// ask puts a question to another node.
func (s *Store) ask(ctx context.Context, node raft.ServerAddress, q question) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, greetWithin)
	defer cancel()
	conn, err := s.peers.dial(ctx, forQuestion, node)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return reply{}, err
	}
	var r reply
	if err := json.NewDecoder(io.LimitReader(conn, 1<<16)).Decode(&r); err != nil {
		return reply{}, err
	}
	return r, nil
}

// answer takes a connection with a question.
func (s *Store) answer(conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(s.ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(2 * greetWithin))
	var q question
	if err := json.NewDecoder(io.LimitReader(conn, 1<<16)).Decode(&q); err != nil {
		return
	}
	json.NewEncoder(conn).Encode(s.answerTo(q))
}

// answerTo gives the answer to a question.
func (s *Store) answerTo(q question) reply {
	switch q.Op {
	case askState:
		return reply{API: s.options.Node.API, Applied: s.raft.AppliedIndex()}
	case askJoin:
		return s.admit(q)
	case askMember:
		return s.isMember(q.ID)
	}
	return reply{Refusal: fmt.Sprintf("this node does not know the question %q; it may be of an older version", q.Op)}
}
