package raftstore

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// question is what one node asks another, as a line of JSON. A
// field that a node does not know is passed over, so that nodes of two
// versions understand each other.
type question struct {
	Op string `json:"op"`

	ID    string `json:"id,omitempty"`    // join, member: of whom it is
	Peer  string `json:"peer,omitempty"`  // join: host:port at which that node is to be reached
	Fresh bool   `json:"fresh,omitempty"` // join: it has no state yet
	Voter bool   `json:"voter,omitempty"` // join: it has caught up

	by slog.Attr // who asks
}

// The questions.
const (
	askState  = "state"  // how is it with you?
	askJoin   = "join"   // to the leader: take this node in
	askMember = "member" // to the leader: is this node in the cluster?
	askTerm   = "term"   // what is the latest term that you know of?
)

// reply is the answer to a question.
type reply struct {
	Refusal string `json:"refusal,omitempty"` // why not
	Again   bool   `json:"again,omitempty"`   // with a refusal: it may be asked again, perhaps elsewhere

	API     string `json:"api,omitempty"`
	Applied uint64 `json:"applied,omitempty"` // the last entry that the table of this node knows
	Last    uint64 `json:"last,omitempty"`    // join: the last entry of the log
	Since   uint64 `json:"since,omitempty"`   // join: an entry with which it is a member
	Member  bool   `json:"member,omitempty"`
	Term    uint64 `json:"term,omitempty"`
}

// longestQuestion is how many bytes a question or its answer may have.
const longestQuestion = 64 << 10

// questions is a connection to another node for questions, one after the
// other.
type questions struct {
	conn   net.Conn
	lines  *bufio.Reader
	unhook func() bool
}

// questions calls a node for questions. The connection ends with ctx.
func (s *Store) questions(ctx context.Context, node raft.ServerAddress) (*questions, error) {
	conn, err := s.peers.dial(ctx, forQuestion, node)
	if err != nil {
		return nil, err
	}
	return &questions{
		conn: conn, lines: bufio.NewReaderSize(conn, longestQuestion),
		unhook: context.AfterFunc(ctx, func() { conn.Close() }),
	}, nil
}

// ask puts a question, and waits for the answer.
func (q *questions) ask(what question) (r reply, err error) {
	q.conn.SetDeadline(time.Now().Add(greetWithin))
	if err := json.NewEncoder(q.conn).Encode(what); err != nil {
		return reply{}, err
	}
	line, err := q.lines.ReadSlice('\n')
	if err != nil {
		return reply{}, err
	}
	return r, json.Unmarshal(line, &r)
}

// close ends the connection, if there is one.
func (q *questions) close() {
	if q != nil {
		q.unhook()
		q.conn.Close()
	}
}

// ask puts a single question to another node.
func (s *Store) ask(ctx context.Context, node raft.ServerAddress, q question) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, greetWithin)
	defer cancel()
	line, r, err := s.askOver(ctx, nil, node, q)
	line.close()
	return r, err
}

// askOver asks over a connection that there may be, and gives the one to go on
// with; nil if there is none. One that was not used for long may be closed: then
// it calls anew, once.
func (s *Store) askOver(ctx context.Context, line *questions, node raft.ServerAddress, q question) (*questions, reply, error) {
	if line != nil {
		if r, err := line.ask(q); err == nil {
			return line, r, nil
		}
		line.close()
	}
	line, err := s.questions(ctx, node)
	if err != nil {
		return nil, reply{}, err
	}
	r, err := line.ask(q)
	if err != nil {
		line.close()
		return nil, reply{}, err
	}
	return line, r, nil
}

// answer takes a connection with questions, and answers them until it ends.
func (s *Store) answer(conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(s.ctx, func() { conn.Close() })()
	lines := bufio.NewReaderSize(conn, longestQuestion)
	for {
		conn.SetDeadline(time.Now().Add(time.Minute))
		line, err := lines.ReadSlice('\n')
		var q question
		if err != nil || json.Unmarshal(line, &q) != nil {
			return
		}
		q.by = who(conn)
		if json.NewEncoder(conn).Encode(s.answerTo(q)) != nil {
			return
		}
	}
}

// who is all that is known of the one at the other end.
func who(conn net.Conn) slog.Attr {
	known := []slog.Attr{slog.String("remote", conn.RemoteAddr().String())}
	if secured, ok := conn.(*tls.Conn); ok {
		if shown := secured.ConnectionState().PeerCertificates; len(shown) > 0 {
			known = append(known, slog.String("name", shown[0].Subject.CommonName))
		}
	}
	return slog.GroupAttrs("by", known...)
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
	case askTerm:
		if !s.inLog() {
			return reply{Refusal: errNotAdmitted.Error(), Again: true} // it may have known a later one
		}
		return reply{Term: s.raft.CurrentTerm()}
	}
	return reply{Refusal: fmt.Sprintf("this node does not know the question %q; it may be of an older version", q.Op)}
}
