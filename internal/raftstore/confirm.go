package raftstore

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A leader that was cut off or stopped for a while does not know that another
// one has been elected meanwhile. Before it answers what is not written to the
// log it asks the others for their term. If a majority says, in answer to a
// question that was sent after the request came, that it knows of no later
// term, then no later leader had been elected by then: that takes the votes of
// a majority (Ongaro's thesis on Raft, section 6.4). raft's own VerifyLeader is
// not enough, since it counts answers to what was sent before.

// confirmations are what the other nodes have answered.
type confirmations struct {
	mu    sync.Mutex
	round uint64 // the number of the last question to all
	nodes map[raft.ServerAddress]*confirmer
	news  chan struct{} // closed at the next answer
}

// confirmer is another node, which is asked by a goroutine of its own.
type confirmer struct {
	leave context.CancelFunc
	wake  chan struct{} // room for one: there is a new round

	answered uint64 // the last round that it has answered, with this term
	term     uint64
	failed   uint64 // the last round in which it could not be asked
}

// lookAtStateEvery is how often one who waits for a majority looks whether
// raft has given up meanwhile.
const lookAtStateEvery = 20 * time.Millisecond

// confirm returns nil if this node leads in the term in which its table became
// the latest, and no other node has become the leader since, before the call.
// Of a node, one at a time may call it; a store that is alone asks nobody, and
// any number may.
func (s *Store) confirm() error {
	term := s.term.Load()
	if !s.leadsIn(term) {
		return raft.ErrNotLeader
	}
	if s.peers == nil {
		return nil
	}
	others, round := s.askForTerms()
	majority := (len(others)+1)/2 + 1
	ticker := time.NewTicker(lookAtStateEvery)
	defer ticker.Stop()
	for {
		confirmed, possible, news := s.confirms.count(others, round, term)
		switch {
		case confirmed+1 >= majority:
			return nil
		case possible+1 < majority || !s.leadsIn(term):
			return raft.ErrNotLeader
		}
		select {
		case <-news:
		case <-ticker.C:
		case <-s.ctx.Done():
			return raft.ErrRaftShutdown
		}
	}
}

// leadsIn says whether this node, for all it knows, leads in a term.
func (s *Store) leadsIn(term uint64) bool {
	return s.raft.State() == raft.Leader && s.raft.CurrentTerm() == term
}

// askForTerms begins a round: it has all other voters asked for their term.
func (s *Store) askForTerms() (others []*confirmer, round uint64) {
	c := &s.confirms
	c.mu.Lock()
	defer c.mu.Unlock()
	c.round++
	left := c.nodes
	c.nodes = make(map[raft.ServerAddress]*confirmer, len(left))
	for _, member := range otherVoters(s.servers(), s.peers.identity.ID) {
		other, known := left[member.Address]
		if !known {
			var ctx context.Context
			other = &confirmer{wake: make(chan struct{}, 1)}
			ctx, other.leave = context.WithCancel(s.ctx)
			s.done.Go(func() { s.askForTerm(ctx, other, member.Address) })
		}
		delete(left, member.Address)
		c.nodes[member.Address] = other
		others = append(others, other)
		select {
		case other.wake <- struct{}{}:
		default:
		}
	}
	for _, other := range left {
		other.leave()
	}
	return others, c.round
}

// otherVoters gives those of whom, with this node, a majority counts.
func otherVoters(members []raft.Server, self string) []raft.Server {
	var others []raft.Server
	for _, member := range members {
		if member.Suffrage == raft.Voter && string(member.ID) != self {
			others = append(others, member)
		}
	}
	return others
}

// count counts those who have confirmed a term in answer to a round, and those
// who have or still may.
func (c *confirmations) count(others []*confirmer, round, term uint64) (confirmed, possible int, news <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range others {
		switch {
		case other.answered >= round && other.term == term:
			confirmed++
			possible++
		case other.answered < round && other.failed < round:
			possible++
		}
	}
	if c.news == nil {
		c.news = make(chan struct{})
	}
	return confirmed, possible, c.news
}

// askForTerm asks one node for its term, as often as it is woken, until ctx
// ends.
func (s *Store) askForTerm(ctx context.Context, other *confirmer, node raft.ServerAddress) {
	c := &s.confirms
	var line *questions
	defer func() { line.close() }()
	for {
		select {
		case <-other.wake:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		round := c.round // before the question is sent
		c.mu.Unlock()
		next, r, err := s.askOver(ctx, line, node, question{Op: askTerm})
		line = next
		c.mu.Lock()
		if err == nil && r.Refusal == "" {
			other.answered, other.term = round, r.Term
		} else {
			other.failed = round
		}
		if c.news != nil {
			close(c.news)
			c.news = nil
		}
		c.mu.Unlock()
	}
}
