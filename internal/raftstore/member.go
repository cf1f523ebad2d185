package raftstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/audit"
)

const (
	// changeWithin is how long a change of the membership may take to get into
	// the log.
	changeWithin = 5 * time.Second

	// caughtUp is by how many entries the table of a node may be behind when it
	// gets its vote: it has what a new leader takes a moment to get.
	caughtUp = 256

	askAgainEvery = 200 * time.Millisecond
	lookEvery     = time.Second // for being removed

	// unheardFor is how long a node that enters waits for the leader before it
	// says that it does: its address may be wrong, or closed.
	unheardFor = 5 * time.Second
)

// errAlone is the refusal of what only a cluster can do.
var errAlone = &holdfast.Error{Code: holdfast.CodeNotFound, Message: "this server is not a node of a cluster"}

// servers gives the members as far as this node knows.
func (s *Store) servers() []raft.Server { return s.raft.GetConfiguration().Configuration().Servers }

// member gives the one with this ID.
func (s *Store) member(id string) (raft.Server, bool) {
	servers := s.servers()
	i := slices.IndexFunc(servers, func(m raft.Server) bool { return string(m.ID) == id })
	if i < 0 {
		return raft.Server{}, false
	}
	return servers[i], true
}

// Cluster tells of the nodes as this one sees them, each of which is asked how
// it is. A store that is alone refuses with CodeNotFound.
func (s *Store) Cluster(ctx context.Context) (holdfast.Cluster, error) {
	if s.peers == nil {
		return holdfast.Cluster{}, errAlone
	}
	_, leader := s.raft.LeaderWithID()
	c := holdfast.Cluster{
		Name: s.peers.identity.Cluster, ID: s.peers.identity.ID, Leader: string(leader),
		Term: s.raft.CurrentTerm(), Applied: s.raft.AppliedIndex(),
	}
	servers := s.servers()
	c.Nodes = make([]holdfast.Node, len(servers))
	replies := make([]reply, len(servers))
	var asked sync.WaitGroup
	for i, member := range servers {
		_, address := split(member.Address)
		node := &c.Nodes[i]
		*node = holdfast.Node{ID: string(member.ID), Peer: address, Role: roleOf(member, leader)}
		if node.ID == c.ID {
			replies[i] = reply{API: s.options.Node.API, Applied: c.Applied}
			continue
		}
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			var err error
			if replies[i], err = s.ask(ctx, member.Address, question{Op: askState}); err != nil {
				node.Role = holdfast.RoleAway
			}
		})
	}
	asked.Wait()
	var furthest uint64
	for _, r := range replies {
		furthest = max(furthest, r.Applied)
	}
	for i := range c.Nodes {
		c.Nodes[i].API = replies[i].API
		if c.Nodes[i].Role != holdfast.RoleAway {
			c.Nodes[i].Lag = furthest - replies[i].Applied
		}
	}
	slices.SortFunc(c.Nodes, func(a, b holdfast.Node) int { return strings.Compare(a.ID, b.ID) })
	return c, nil
}

func roleOf(member raft.Server, leader raft.ServerID) holdfast.Role {
	switch {
	case member.ID == leader:
		return holdfast.RoleLeader
	case member.Suffrage == raft.Voter:
		return holdfast.RoleFollower
	}
	return holdfast.RoleJoining
}

// StepDown lets another node lead. Who leads no more is not listened to for
// long; so when its answer is lost and another node leads, that will do.
func (s *Store) StepDown(ctx context.Context) error {
	_, before := s.raft.LeaderWithID()
	err := viaLeaderDo(ctx, s, func(l leader) error { return l.StepDown(ctx) })
	if refusal, ok := errors.AsType[*holdfast.Error](err); ok && refusal.OutcomeUnknown && before != "" {
		if _, now := s.raft.LeaderWithID(); now != "" && now != before {
			return nil
		}
	}
	return err
}

// RemoveNode takes a node out of the cluster. It will stop.
func (s *Store) RemoveNode(ctx context.Context, id string) error {
	return viaLeaderDo(ctx, s, func(l leader) error { return l.RemoveNode(ctx, id) })
}

// Cluster tells of the nodes as this one sees them; see [Store.Cluster].
func (l Leading) Cluster(ctx context.Context) (holdfast.Cluster, error) { return l.s.Cluster(ctx) }

// StepDown lets another node lead, if this one does.
func (l Leading) StepDown(ctx context.Context) error {
	switch {
	case !l.s.leading.Load():
		return errNoLeader()
	case l.s.peers == nil:
		return errAlone
	}
	switch err := l.s.handOver(ctx); {
	case err == nil:
		return nil
	case len(l.s.servers()) == 1:
		return holdfast.Invalid("there is no other node that could lead")
	default:
		return holdfast.Unavailable(err, "no other node could take over: %v", err)
	}
}

// within waits for what raft is asked, but no longer than ctx.
func within[F raft.Future](ctx context.Context, ask func() F) error {
	answer := make(chan error, 1)
	go func() { answer <- ask().Error() }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// barrier waits until everything that was written before is in the table.
func (s *Store) barrier(ctx context.Context) error {
	return within(ctx, func() raft.Future { return s.raft.Barrier(s.options.Patience) })
}

// RemoveNode takes a node out of the cluster, if this one leads. A leader that
// is to go lets another one lead first, which has to be asked then.
func (l Leading) RemoveNode(ctx context.Context, id string) error {
	switch {
	case !l.s.leading.Load():
		return errNoLeader()
	case l.s.peers == nil:
		return errAlone
	}
	free := l.s.membership()
	if free == nil {
		return errNoLeader()
	}
	defer free()
	if _, in := l.s.member(id); !in {
		return &holdfast.Error{Code: holdfast.CodeNotFound, Message: fmt.Sprintf("id: the cluster has no node %q", id)}
	}
	if id == l.s.peers.identity.ID {
		if len(l.s.servers()) == 1 {
			return holdfast.Invalid("id: the last node of a cluster cannot be removed")
		}
		if err := l.StepDown(ctx); err != nil {
			return err
		}
		return errNoLeader()
	}
	if err := l.s.canSpare(ctx, id); err != nil {
		return err
	}
	return membershipError(l.s.change(func() raft.IndexFuture { return l.s.raft.RemoveServer(raft.ServerID(id), 0, changeWithin) }))
}

// canSpare refuses to remove a node without which there is no majority of the others:
// they could not even take one in again. Nor may one be removed while there is none
// with it, as when they are slow to answer: raft would note the change, and never be
// able to carry it out.
func (s *Store) canSpare(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	voters := otherVoters(s.servers(), s.peers.identity.ID)
	answered := make([]bool, len(voters))
	var asked sync.WaitGroup
	for i, member := range voters {
		asked.Go(func() {
			_, err := s.ask(ctx, member.Address, question{Op: askState})
			answered[i] = err == nil
		})
	}
	asked.Wait()
	majority := func(without string) bool {
		all, there := 1, 1 // this node
		for i, member := range voters {
			if string(member.ID) == without {
				continue
			}
			all++
			if answered[i] {
				there++
			}
		}
		return there > all/2
	}
	switch {
	case majority(id):
		return nil
	case !majority(""):
		return holdfast.Unavailable(nil, "too few nodes answer to remove one")
	}
	return holdfast.Invalid("id: without node %q too few would be left that answer; bring back those that are away, or remove them first", id)
}

// membershipError is the refusal for a change that failed.
func membershipError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		return errNoLeader()
	}
	return errUnknown(err, "the change of the membership may not have come to pass: %v", err)
}

// admit takes a node in, or gives it its vote; the leader does this.
func (s *Store) admit(q question) reply {
	free := s.membership()
	if free == nil {
		return reply{Refusal: "this node does not lead", Again: true}
	}
	defer free()
	if !validID.MatchString(q.ID) {
		return reply{Refusal: fmt.Sprintf("%q cannot be the ID of a node", q.ID)}
	}
	node := join(q.ID, q.Peer)
	known, ok := s.member(q.ID)
	if refusal := s.objection(q, known, ok); refusal != "" {
		return reply{Refusal: refusal}
	}
	var err error
	voter := q.Voter || ok && known.Suffrage == raft.Voter && known.Address != node
	switch {
	case voter:
		err = s.change(func() raft.IndexFuture { return s.raft.AddVoter(raft.ServerID(q.ID), node, 0, changeWithin) })
	case !ok || known.Address != node:
		err = s.change(func() raft.IndexFuture { return s.raft.AddNonvoter(raft.ServerID(q.ID), node, 0, changeWithin) })
	default:
		return s.taken()
	}
	if err != nil {
		return reply{Refusal: err.Error(), Again: true}
	}
	audit.Log(s.options.Logger, "add node", q.by, slog.String("node", q.ID), slog.String("peer", q.Peer), slog.Bool("voter", voter),
		slog.String("reason", "it asked to join"))
	return s.taken()
}

// taken is the answer to a node that is a member, for certain.
func (s *Store) taken() reply {
	return reply{Last: s.raft.LastIndex(), Since: s.raft.CommitIndex()}
}

// objection says what speaks against taking a node in.
func (s *Store) objection(q question, known raft.Server, ok bool) string {
	for _, member := range s.servers() {
		if _, address := split(member.Address); address == q.Peer && string(member.ID) != q.ID {
			return fmt.Sprintf("node %s has the address %s already", member.ID, q.Peer)
		}
	}
	if !ok && q.Fresh {
		return ""
	}
	if !ok {
		return fmt.Sprintf("node %s was removed from it; to let it join again, start it with an empty data directory", q.ID)
	}
	_, address := split(known.Address)
	if q.Fresh && known.Suffrage == raft.Voter {
		// It would vote again where it has voted before, and know nothing of
		// what it has promised to keep.
		return fmt.Sprintf("there is a node %s in the cluster, at %s, and the data directory of this one is empty; "+
			"choose another ID, or, if that node has lost its data, remove it first: holdfast cluster remove %s", q.ID, address, q.ID)
	}
	if address != q.Peer {
		if _, err := s.ask(s.ctx, known.Address, question{Op: askState}); err == nil {
			return fmt.Sprintf("there is a node %s in the cluster already, and it answers at %s", q.ID, address)
		}
	}
	return ""
}

// isMember says whether a node is in the cluster; the leader knows.
func (s *Store) isMember(id string) reply {
	if err := (log{s}).Verify(s.ctx); err != nil {
		return reply{Refusal: "this node does not lead", Again: true}
	}
	free := s.membership()
	if free == nil {
		return reply{Refusal: "this node does not lead", Again: true}
	}
	defer free()
	_, in := s.member(id)
	return reply{Member: in}
}

// membership keeps the members as they are until free is called; it gives nil
// if this node does not lead. What is being changed may come to nothing, so it
// waits until that is certain.
func (s *Store) membership() (free func()) {
	select {
	case s.members <- struct{}{}:
	case <-s.ctx.Done():
		return nil
	}
	free = func() { <-s.members }
	if !s.leading.Load() || s.raft.State() != raft.Leader {
		free()
		return nil
	}
	return free
}

// change changes who is a member. In hashicorp/raft v1.7.3 a change that cannot be
// written takes effect in this process all the same, until it is started again:
// then the store fails.
func (s *Store) change(ask func() raft.IndexFuture) error {
	err := within(s.ctx, ask)
	if err != nil && strings.HasPrefix(err.Error(), "unable to store logs") {
		s.fail(fmt.Errorf("a change of the membership could not be written, start this node again: %w", err))
	}
	return err
}

// enter makes this node a voter of its cluster, at its present address, which
// takes as long as it takes, and says whether it has become one.
func (s *Store) enter() bool {
	q := question{Op: askJoin, ID: s.peers.identity.ID, Peer: s.peers.address}
	trouble := ""
	defer time.AfterFunc(unheardFor, func() {
		if s.raft.LastContact().IsZero() {
			s.options.Logger.Warn("no leader has reached this node yet", "at", q.Peer)
		}
	}).Stop()
	for said := false; ; said = true {
		if s.present() && s.votes() {
			if said {
				s.options.Logger.Info("this node is a voter of the cluster now", "node", q.ID, "cluster", s.peers.identity.Cluster)
			}
			return true
		}
		if !said {
			s.options.Logger.Info("joining the cluster", "node", q.ID, "cluster", s.peers.identity.Cluster)
		}
		var r reply
		q.Fresh = !s.admitted()
		asked, err := s.whomToAsk()
		for _, node := range asked {
			if r, err = s.ask(s.ctx, node, q); err == nil && !r.Again {
				break
			}
		}
		if err == nil && r.Refusal == "" {
			err = s.noteAdmission(r.Since)
		}
		if err != nil && err.Error() != trouble && s.ctx.Err() == nil {
			trouble = err.Error()
			s.options.Logger.Warn("the cluster cannot be asked yet; trying on", "error", err)
		}
		switch {
		case err == nil && r.Refusal != "" && !r.Again:
			s.fail(fmt.Errorf("the cluster does not take this node in: %s", r.Refusal))
			return false
		case err == nil && r.Refusal == "":
			q.Voter = s.present() && s.raft.AppliedIndex()+caughtUp >= r.Last
		}
		select {
		case <-time.After(askAgainEvery):
		case <-s.ctx.Done():
			return false
		}
	}
}

// votes says whether this node is, by its log, a voter at its present address.
func (s *Store) votes() bool {
	me, ok := s.member(s.peers.identity.ID)
	return ok && me.Suffrage == raft.Voter && me.Address == s.peers.self()
}

// whomToAsk gives the address of the leader, or, if it cannot be found out, those of
// all other members, or why nobody can be asked.
func (s *Store) whomToAsk() ([]raft.ServerAddress, error) {
	// Raft that is patient does not notice that one leads no more.
	if leader, _ := s.raft.LeaderWithID(); leader != "" && (s.present() || s.options.Node.Join == nil) {
		return []raft.ServerAddress{leader}, nil
	}
	err := error(errNoLeader())
	if s.options.Node.Join != nil {
		ctx, cancel := context.WithTimeout(s.ctx, greetWithin)
		defer cancel()
		var c holdfast.Cluster
		if c, err = s.options.Node.Join.Cluster(ctx); err == nil {
			err = errNoLeader()
		}
		for _, node := range c.Nodes {
			if node.ID == c.Leader {
				return []raft.ServerAddress{join(node.ID, node.Peer)}, nil
			}
		}
	}
	if !s.present() {
		return nil, err
	}
	// The leader does not find one that has moved, and whoever is in the cluster
	// need not be told how to join it.
	var others []raft.ServerAddress
	for _, member := range s.servers() {
		if string(member.ID) != s.peers.identity.ID {
			others = append(others, member.Address)
		}
	}
	if len(others) > 0 {
		err = nil
	}
	return others, err
}

// stay looks whether this node is still a member, and stops it if it is not. It
// says whether this node has to enter anew: a change that gave it its vote, and
// was in the log of a minority, may have come to nothing.
func (s *Store) stay() (again bool) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return false
		}
		if _, in := s.member(s.peers.identity.ID); in && !s.votes() {
			return true
		}
		if s.wasRemoved() {
			s.peers.identity.Removed = true
			if err := s.peers.identity.write(s.options.Dir); err != nil {
				s.options.Logger.Warn("the removal could not be noted", "error", err)
			}
			s.fail(errRemoved(s.peers.identity))
			return false
		}
	}
}

func errRemoved(i *identity) error {
	return fmt.Errorf("node %s was removed from cluster %s; to let it join again, start it with an empty data directory", i.ID, i.Cluster)
}

// wasRemoved says whether the cluster goes on without this node. While there
// is a leader who sends, all is well; else the others may know one.
func (s *Store) wasRemoved() bool {
	id := s.peers.identity.ID
	if leader, _ := s.raft.LeaderWithID(); leader != "" {
		return false
	}
	for _, other := range s.servers() {
		if string(other.ID) == id {
			continue
		}
		r, err := s.ask(s.ctx, other.Address, question{Op: askMember, ID: id})
		if err == nil && r.Refusal == "" && !r.Member {
			return true
		}
	}
	return false
}
