package raftstore

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
)

func TestOnlyAnswersToThisRoundInThisTermConfirm(t *testing.T) {
	var c confirmations
	others := []*confirmer{
		{answered: 7, term: 3},            // in time
		{answered: 6, term: 3},            // to an earlier question
		{answered: 7, term: 4},            // it knows of a later leader
		{answered: 6, term: 3, failed: 7}, // it cannot be asked
	}
	confirmed, possible, news := c.count(others, 7, 3)
	if confirmed != 1 || possible != 2 || news == nil {
		t.Errorf("%d have confirmed, %d may", confirmed, possible)
	}
}

// Neither this node itself nor one that does not vote adds to a majority.
func TestOnlyOtherVotersAreAsked(t *testing.T) {
	members := []raft.Server{
		{ID: "a", Address: "a:1"}, {ID: "b", Address: "b:1"}, {ID: "c", Address: "c:1", Suffrage: raft.Nonvoter}, {ID: "d", Address: "d:1"},
	}
	at := func(member raft.Server, address raft.ServerAddress) bool { return member.Address == address }
	if others := otherVoters(members, "a"); !slices.EqualFunc(others, []raft.ServerAddress{"b:1", "d:1"}, at) {
		t.Errorf("asked: %v", others)
	}
	if others := otherVoters(members[:1], "a"); len(others) != 0 {
		t.Errorf("one alone asks %v", others)
	}
}

// Who was told before does not count: each call asks anew.
func TestALeaderIsConfirmedByAMajority(t *testing.T) {
	nodes := cluster(t, "a", "b", "c")
	leader, others := leaderOf(t, nodes)
	for range 3 {
		if err := leader.confirm(); err != nil {
			t.Fatal(err)
		}
	}
	if err := others[0].confirm(); err != raft.ErrNotLeader {
		t.Errorf("a follower: %v", err)
	}
	others[0].stop()
	until(t, func() bool { return leader.confirm() == nil })
	others[1].options.Node.network.(*cable).cut.Store(true)
	began := time.Now()
	if err := leader.confirm(); err != raft.ErrNotLeader {
		t.Errorf("alone: %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to see that", took)
	}
	others[1].options.Node.network.(*cable).cut.Store(false)
}

// A node that leads again, in a later term, may not have noticed yet that it did
// not lead meanwhile. It neither answers from the table that it had before, nor
// lets anybody hold on.
func TestWhoLeadsAgainIsNotConfirmedByAnEarlierTerm(t *testing.T) {
	s := open(t, t.TempDir())
	req := holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour}
	lock(t, s, req)
	if err := (log{s}).Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.term.Add(^uint64(0))
	if err := (log{s}).Verify(t.Context()); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Errorf("it is told: %v", err)
	}
	if _, err := s.Extend(t.Context(), holdfast.ExtendRequest{UID: "a", Exp: time.Second}); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Errorf("it is extended: %v", err)
	}
	if _, err := s.Lock(t.Context(), req); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Errorf("it is granted again: %v", err)
	}
	if err := (Leading{s.Service, s}).Backup(t.Context(), io.Discard); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Errorf("it is backed up: %v", err)
	}
	if r := s.isMember("b"); r.Refusal == "" || !r.Again {
		t.Errorf("it says who is a member: %+v", r)
	}
}

// An answer counts for the round that there was when its question was sent, however
// many have begun since.
func TestAnAnswerCountsForTheRoundOfItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s := &Store{peers: &peers{identity: &identity{Cluster: "C", ID: "a"}, network: called{near}}}
		c := &s.confirms
		c.round = 1
		other := &confirmer{wake: make(chan struct{}, 1)}
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		go s.askForTerm(ctx, other, join("b", "b:1"))
		other.wake <- struct{}{}
		lines := bufio.NewReader(far)
		lines.ReadString('\n')
		far.Write([]byte("ok\n"))
		lines.ReadString('\n')
		c.mu.Lock()
		c.round++ // another one asks, who may know of a later leader
		c.mu.Unlock()
		far.Write([]byte("{\"term\":3}\n"))
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if other.answered != 1 || other.term != 3 {
			t.Errorf("it has answered round %d, with term %d", other.answered, other.term)
		}
	})
}

// called is a network of one connection.
type called struct{ conn net.Conn }

func (called) Listen(string) (net.Listener, error)              { return nil, errors.ErrUnsupported }
func (c called) Dial(context.Context, string) (net.Conn, error) { return c.conn, nil }

// A connection for questions serves for many; one that was closed meanwhile is
// noticed only then, and is no reason not to ask.
func TestAQuestionOutlivesItsConnection(t *testing.T) {
	n := newNode(t, "a", t.TempDir()).start()
	awaitVoters(t, n)
	ask := func(line *questions) (*questions, error) {
		line, r, err := n.askOver(t.Context(), line, n.peers.self(), question{Op: askTerm})
		if err == nil && r.Term == 0 {
			t.Errorf("the answer is %+v", r)
		}
		return line, err
	}
	first, err := ask(nil)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := ask(first); err != nil || same != first {
		t.Fatalf("not over the same: %v", err)
	}
	first.conn.Close()
	second, err := ask(first)
	if err != nil || second == first {
		t.Fatalf("over one that is closed: %v", err)
	}
	n.options.Node.network.(*cable).cut.Store(true)
	if line, err := ask(second); err == nil || line != nil {
		t.Error("nobody can be asked")
	}
}
