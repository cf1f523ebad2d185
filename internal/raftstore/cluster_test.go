package raftstore

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/api"
	"holdfast/internal/freeport"
)

// node is a node of a cluster in this process, with its API on a port.
type node struct {
	t *testing.T
	*Store
	options Options
	url     string
	stop    func() // the whole node; harmless twice
}

// newNode gives a node that has not been started. It joins the cluster that
// the nodes are of, if there are any.
func newNode(t *testing.T, id, dir string, join ...*node) *node {
	t.Helper()
	n := &node{t: t, url: "http://" + freeport.Address(t)}
	n.options = Options{
		Dir: dir, Logger: slog.New(slog.DiscardHandler), KeepPlaces: 500 * time.Millisecond,
		Node: &Node{
			ID: id, PeerAddr: freeport.Address(t), API: n.url, ElectionTimeout: time.Second, // the machine may be busy
			Serve: serveLeading, network: &cable{},
		},
	}
	var urls []string
	for _, other := range join {
		urls = append(urls, other.url)
	}
	if len(urls) > 0 {
		n.options.Node.Join = asking(t, urls...)
	}
	return n
}

// cable is the network of a node, and can be cut.
type cable struct {
	tcp
	cut    atomic.Bool
	silent atomic.Bool // whoever has called this node does not notice, and hears nothing any more
}

var errCut = errors.New("the cable is cut")

func (c *cable) Dial(ctx context.Context, address string) (net.Conn, error) {
	if c.cut.Load() {
		return nil, errCut
	}
	conn, err := c.tcp.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return cabled{Conn: conn, cable: c}, nil
}

func (c *cable) Listen(address string) (net.Listener, error) {
	listener, err := c.tcp.Listen(address)
	return socket{listener, c}, err
}

// socket gives connections over a cable.
type socket struct {
	net.Listener
	cable *cable
}

func (s socket) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return cabled{Conn: conn, cable: s.cable, called: true}, nil
}

// cabled is a connection over a cable.
type cabled struct {
	net.Conn
	cable  *cable
	called bool // by another node
}

func (c cabled) swallows() bool { return c.called && c.cable.silent.Load() }

func (c cabled) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for err == nil && c.swallows() {
		n, err = c.Conn.Read(b)
	}
	if c.cable.cut.Load() {
		c.Close()
		return 0, errCut
	}
	return n, err
}

func (c cabled) Write(b []byte) (int, error) {
	if c.swallows() {
		return len(b), nil
	}
	if c.cable.cut.Load() {
		c.Close()
		return 0, errCut
	}
	return c.Conn.Write(b)
}

func asking(t *testing.T, urls ...string) *client.Client {
	t.Helper()
	c, err := client.New(urls...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serveLeading serves what other nodes pass on, as the command does.
func serveLeading(service Leading, listener net.Listener) (stop func()) {
	return serve(api.New(service, api.Options{
		Logger: slog.New(slog.DiscardHandler), Cluster: service, Backup: service.Backup, Lost: ErrLost,
	}), listener).stop
}

type serving struct {
	server *api.Server
	served chan struct{}
}

func serve(handler *api.Handler, listener net.Listener) serving {
	s := serving{api.NewServer(handler), make(chan struct{})}
	go func() {
		defer close(s.served)
		s.server.Serve(listener)
	}()
	return s
}

func (s serving) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.server.Shutdown(ctx)
	<-s.served
}

// start opens the node and serves its API.
func (n *node) start() *node {
	n.t.Helper()
	store, err := Open(n.t.Context(), n.options)
	if err != nil {
		n.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", n.url[len("http://"):])
	if err != nil {
		n.t.Fatal(err)
	}
	n.Store = store
	s := serve(api.New(store, api.Options{Logger: slog.New(slog.DiscardHandler), Cluster: store, Backup: store.Backup, Ready: store.Ready}), listener)
	n.stop = sync.OnceFunc(func() {
		store.Stop()
		s.stop()
		if err := store.Close(); err != nil {
			n.t.Error(err)
		}
	})
	n.t.Cleanup(n.stop)
	return n
}

// cluster gives a cluster of nodes that all vote.
func cluster(t *testing.T, ids ...string) []*node {
	t.Helper()
	nodes := []*node{newNode(t, ids[0], t.TempDir()).start()}
	for _, id := range ids[1:] {
		nodes = append(nodes, newNode(t, id, t.TempDir(), nodes[0]).start())
	}
	awaitVoters(t, nodes...)
	return nodes
}

// awaitVoters waits until all nodes see each other as voters with a leader.
func awaitVoters(t *testing.T, nodes ...*node) {
	t.Helper()
	until(t, func() bool {
		for _, n := range nodes {
			c, err := n.Cluster(t.Context())
			if err != nil || c.Leader == "" || len(c.Nodes) != len(nodes) || n.Ready(t.Context()) != nil {
				return false
			}
			for _, other := range c.Nodes {
				if other.Role != holdfast.RoleLeader && other.Role != holdfast.RoleFollower {
					return false
				}
			}
		}
		return true
	})
}

// until waits for a condition, for long.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what was waited for did not come")
		}
	}
}

// leaderOf gives the node that leads, and the others.
func leaderOf(t *testing.T, nodes []*node) (leader *node, others []*node) {
	t.Helper()
	until(t, func() bool {
		leader, others = nil, nil
		for _, n := range nodes {
			if n.leading.Load() {
				leader = n
			} else {
				others = append(others, n)
			}
		}
		return leader != nil
	})
	return leader, others
}

func TestThreeNodesAnswerAsOne(t *testing.T) {
	nodes := cluster(t, "a", "b", "c")
	for i, n := range nodes {
		next := nodes[(i+1)%3]
		grant := lock(t, n, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
		if held, err := next.Check(t.Context(), []string{"x"}); err != nil || !held {
			t.Fatal(held, err)
		}
		_, err := next.Lock(t.Context(), holdfast.LockRequest{UID: "v", Keys: holdfast.Keys("x"), Exp: time.Hour})
		if holdfast.ErrorCode(err) != holdfast.CodeLocked {
			t.Fatal(err)
		}
		granted := make(chan error, 1)
		go func() {
			grant, err := next.Lock(t.Context(), holdfast.LockRequest{UID: "v", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Minute})
			if err == nil {
				_, err = n.Unlock(t.Context(), holdfast.UnlockRequest{UID: "v", Tokens: grant.Tokens})
			}
			granted <- err
		}()
		until(t, func() bool {
			state, err := n.Get(t.Context(), "x")
			return err == nil && len(state.Waiters) == 1
		})
		if keys, err := next.Unlock(t.Context(), holdfast.UnlockRequest{UID: "u", Tokens: grant.Tokens}); err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		if err := <-granted; err != nil {
			t.Fatal(err)
		}
	}
}

// A node that comes back at another address tells the others.
func TestANodeMoves(t *testing.T) {
	nodes := cluster(t, "a", "b", "c")
	_, others := leaderOf(t, nodes)
	moving := others[0]
	moving.stop()
	moving.options.Node.PeerAddr = freeport.Address(t)
	moving.options.Node.Join = nil // it knows the others
	moving.start()
	awaitVoters(t, nodes...)
	c, err := nodes[0].Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if n.ID == moving.options.Node.ID && n.Peer != moving.options.Node.PeerAddr {
			t.Fatalf("%+v", n)
		}
	}
	lock(t, moving, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
}

// One who is granted nothing for certain is told so, and may ask again.
func TestAnUnknownOutcomeIsSaidAndCanBeRepeated(t *testing.T) {
	nodes := cluster(t, "a", "b", "c")
	leader, others := leaderOf(t, nodes)
	leader.options.Node.network.(*cable).cut.Store(true)
	_, err := leader.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
	refusal, ok := errors.AsType[*holdfast.Error](err)
	if !ok || refusal.Code != holdfast.CodeUnavailable || !refusal.OutcomeUnknown {
		t.Fatalf("answer of one that is cut off: %v", err)
	}
	tokens := holdfast.Token{Key: "y", Version: 1}
	_, err = leader.Unlock(t.Context(), holdfast.UnlockRequest{UID: "u", Tokens: []holdfast.Token{tokens}})
	if refusal, ok := errors.AsType[*holdfast.Error](err); !ok || refusal.Code != holdfast.CodeUnavailable || refusal.OutcomeUnknown {
		t.Fatalf("answer without a leader: %v", err)
	}
	leader.options.Node.network.(*cable).cut.Store(false)
	awaitVoters(t, nodes...)
	first := lock(t, leader, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
	second := lock(t, others[0], holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
	if first.Tokens[0] != second.Tokens[0] {
		t.Fatalf("%v, then %v", first.Tokens, second.Tokens)
	}
}

// A node that has not been let in yet knows of none.
func TestANodeThatIsNotInTheClusterYet(t *testing.T) {
	a := newNode(t, "a", t.TempDir()).start()
	a.options.Node.network.(*cable).cut.Store(true)
	b := newNode(t, "b", t.TempDir(), a).start()
	c, err := b.Cluster(t.Context())
	if err != nil || len(c.Nodes) != 0 || c.Leader != "" || b.Ready(t.Context()) == nil {
		t.Fatalf("%+v, %v", c, err)
	}
	a.options.Node.network.(*cable).cut.Store(false)
	awaitVoters(t, a, b)
}

// mute is a cluster that does as it is told, and does not say so.
type mute struct{ Leading }

func (m mute) StepDown(ctx context.Context) error {
	m.Leading.StepDown(ctx)
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestSteppingDownIsDoneWhenAnotherNodeLeads(t *testing.T) {
	a := newNode(t, "a", t.TempDir())
	a.options.Node.Serve = func(service Leading, listener net.Listener) (stop func()) {
		return serve(api.New(service, api.Options{Logger: slog.New(slog.DiscardHandler), Cluster: mute{service}, Lost: ErrLost}), listener).stop
	}
	a.start()
	b := newNode(t, "b", t.TempDir(), a).start()
	c := newNode(t, "c", t.TempDir(), a).start()
	awaitVoters(t, a, b, c)
	if err := b.StepDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { // it may not have noticed yet
		leader, _ := leaderOf(t, []*node{a, b, c})
		return leader != a
	})
}

// Raft does not answer while its disk does not; whoever asks a leader to step
// down is answered all the same.
func TestSteppingDownIsNotWaitedForForEver(t *testing.T) {
	d := &badDisk{stall: make(chan struct{})}
	a := newNode(t, "a", t.TempDir())
	a.options.Patience = 500 * time.Millisecond
	a.options.openStorage = d.storage
	a.start()
	awaitVoters(t, a)
	d.stuck.Store(true)
	defer close(d.stall) // before the node is stopped
	go a.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
	until(t, func() bool { return a.disk.log.began.Load() != 0 })
	if err := (Leading{a.Service, a.Store}).StepDown(t.Context()); holdfast.ErrorCode(err) == "" {
		t.Fatal(err)
	}
}

// What an earlier attempt may have done is not forgotten when a later one, of
// which it is certain that it did nothing, is the last before the node stops.
func TestAnUnknownOutcomeStaysUnknownWhenTheNodeStops(t *testing.T) {
	s := &Store{options: Options{Patience: time.Minute}, ctx: t.Context(), route: route{changed: make(chan struct{})}}
	s.leading.Store(true)
	attempts := 0
	_, err := viaLeader(t.Context(), s, true, func(leader) (int, error) {
		if attempts++; attempts == 1 {
			return 0, errUnknown(nil, "it may have happened")
		}
		s.route.leave()
		return 0, errNoLeader()
	})
	refusal, ok := errors.AsType[*holdfast.Error](err)
	if !ok || attempts != 2 || !refusal.OutcomeUnknown {
		t.Fatalf("after %d attempts: %#v", attempts, err)
	}
}
