package raftstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
)

// world is a cluster in virtual time. Its nodes are stores, as they are in
// real life; only their disks and the network between them are simulated.
type world struct {
	t       *testing.T
	seed    uint64
	network *simNetwork
	nodes   []*simNode
	size    int         // how many of them found the cluster
	spare   *simNode    // comes and goes; nil if the only node is none of a cluster
	members atomic.Bool // they are changing
	began   time.Time
	ending  sync.WaitGroup // lives that are over and not yet put away

	mu       sync.Mutex
	problems []string
	timeline strings.Builder // of faults, and of calls that did not go through
	did      map[string]int
	faults   int         // that are in force
	calm     []span      // in which there are none, and those of before have been overcome
	alone    []time.Time // since when a node can have no majority; zero if it may
}

// span is a time between two moments.
type span struct{ from, to time.Duration }

// simNode is a node through all its lives.
type simNode struct {
	world   *world
	index   int
	id      string
	dir     string // for node.json only
	address string

	turn chan struct{} // held while a life begins or ends; that takes time
	disk *simDisk      // changes with turn and mu

	mu      sync.Mutex
	life    *life              // nil while it is down
	opening context.CancelFunc // ends the last start, if it is under way
	down    int                // how many faults keep it down

	changing bool // see change
	refused  bool // see refuse
}

// life is a node from a start to its end.
type life struct {
	*Store
	port      *port
	transport *simTransport
	over      chan struct{} // closed when its clients lose it
	stopping  chan struct{} // held while it is stopped: a mutex would hold up the bubble's time
}

const (
	simElection = 150 * time.Millisecond
	simPatience = time.Second
	simKeep     = 5 * time.Second // longer than any fault
)

// newWorld gives a cluster of so many nodes, or a store that is alone.
func newWorld(t *testing.T, seed uint64, size int, lone bool) *world {
	nodes := size + 1
	if lone {
		nodes = 1
	}
	w := &world{
		t: t, seed: seed, size: size, began: time.Now(), calm: []span{{0, 1 << 62}}, network: newSimNetwork(seed, nodes),
		did: map[string]int{}, alone: make([]time.Time, size),
	}
	var members []raft.Server
	for i := range nodes {
		n := &simNode{
			world: w, index: i, id: fmt.Sprint("n", i), dir: filepath.Join(t.TempDir(), fmt.Sprint(i)), address: fmt.Sprintf("n%d:7000", i),
			turn: make(chan struct{}, 1), disk: newSimDisk(rand.New(rand.NewPCG(seed, uint64(100+i)))),
		}
		w.nodes = append(w.nodes, n)
		members = append(members, raft.Server{ID: raft.ServerID(n.id), Address: join(n.id, n.address)})
	}
	if !lone {
		w.spare = w.nodes[size]
		w.spare.lose(w.spare.disk.rng, false)
	}
	for _, n := range w.nodes[:size] {
		if !lone {
			n.found(members[:size])
		}
		n.start()
	}
	return w
}

// found makes the node one of a cluster that has just begun.
func (n *simNode) found(members []raft.Server) {
	b, err := json.Marshal(identity{Cluster: "simulated", ID: n.id})
	if err == nil {
		err = os.MkdirAll(n.dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(n.dir, identityFile), b, 0o600)
	}
	if err == nil {
		config := raft.DefaultConfig()
		config.LocalID = raft.ServerID(n.id)
		config.Logger = raftLogger(slog.New(slog.DiscardHandler))
		_, transport := raft.NewInmemTransport("")
		err = raft.BootstrapCluster(config, n.disk, n.disk, n.disk, transport, raft.Configuration{Servers: members})
	}
	if err != nil {
		n.world.t.Fatal(err)
	}
}

// start begins a life, unless a fault keeps the node down.
func (n *simNode) start() {
	n.turn <- struct{}{}
	defer func() { <-n.turn }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n.mu.Lock()
	idle := n.down == 0 && n.life == nil
	n.opening = cancel
	n.mu.Unlock()
	if !idle {
		return
	}
	n.world.forgive()
	l := &life{
		port:      &port{network: n.world.network, node: n.index, address: n.address},
		transport: newSimTransport(n.world.network, n.index, join(n.id, n.address)),
		over:      make(chan struct{}),
		stopping:  make(chan struct{}, 1),
	}
	options := Options{
		Dir: n.dir, Logger: slog.New(slog.DiscardHandler), Patience: simPatience, KeepPlaces: simKeep, SnapshotEvery: 64,
		openStorage: n.disk.storage,
	}
	if n.world.spare != nil {
		options.Node = &Node{
			ID: n.id, PeerAddr: n.address, API: "http://" + n.address, ElectionTimeout: simElection,
			Serve: serveLeading, network: l.port, transport: l.transport,
		}
		if n.isChanging() {
			options.Node.Join = n.whomToJoin()
		}
	}
	var err error
	if l.Store, err = Open(ctx, options); err != nil {
		l.transport.Close()
		switch {
		case ctx.Err() != nil: // it has crashed meanwhile
		case n.isChanging():
			n.refuse()
		default:
			n.world.problem("node %s does not start: %v", n.id, err)
		}
		return
	}
	n.mu.Lock()
	n.life = l
	n.mu.Unlock()
	n.world.say("%s lives", n.id)
	n.world.reckon()
	n.world.ending.Go(func() {
		select {
		case err := <-l.Failed():
			n.world.note("failed")
			n.world.say("%s fails: %v", n.id, err)
			if n.living() == l {
				n.crash(0)
				if n.isChanging() {
					n.refuse()
				} else {
					n.start()
				}
			}
		case <-l.over:
		}
	})
}

// crash ends the present life without a word. What its process still does
// reaches nobody.
func (n *simNode) crash(heardAfter time.Duration) {
	n.mu.Lock()
	if n.opening != nil {
		n.opening()
	}
	n.mu.Unlock()
	n.turn <- struct{}{}
	defer func() { <-n.turn }()
	l := n.living()
	if !n.end(l) {
		return
	}
	close(l.over)
	l.transport.Close()
	l.port.crash(heardAfter)
	n.world.ending.Go(func() {
		l.stopping <- struct{}{}
		l.Close()
	})
	n.world.reckon()
}

// stop ends a life in good order.
func (n *simNode) stop(l *life) {
	if l == nil {
		return
	}
	l.stopping <- struct{}{}
	l.Store.Stop()
	<-l.stopping
	n.turn <- struct{}{}
	defer func() { <-n.turn }()
	if n.living() != l {
		return
	}
	if err := l.Close(); err != nil {
		n.world.problem("node %s does not stop in good order: %v", n.id, err)
	}
	n.end(l)
	close(l.over)
	n.world.reckon()
}

// end is the moment from which a life has no disk any more, and says false if
// that is long past.
func (n *simNode) end(l *life) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l == nil || n.life != l {
		return false
	}
	n.life, n.disk = nil, n.disk.afterCrash()
	n.world.say("the life of %s is over", n.id)
	return true
}

// living gives the present life; nil if the node is down.
func (n *simNode) living() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

// forgive says that any node may have a majority, until reckon is called.
func (w *world) forgive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.alone)
}

// reckon notes which nodes can have no majority from now on: those that reach
// too few others, there and back, and nobody who reaches more.
func (w *world) reckon() {
	w.network.mu.Lock()
	defer w.network.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.members.Load() {
		return // then nothing is certain
	}
	reach := func(i, j int) bool {
		return i == j || w.network.rafts[string(join(fmt.Sprint("n", j), fmt.Sprintf("n%d:7000", j)))] != nil &&
			w.network.links[[2]int{i, j}].cuts+w.network.links[[2]int{j, i}].cuts == 0
	}
	mayLead := make([]bool, w.size)
	for i := range w.size {
		reached := 0
		for j := range w.size {
			if reach(i, j) {
				reached++
			}
		}
		mayLead[i] = reached > w.size/2
	}
	now := time.Now()
	for i := range w.size {
		served := false
		for j := range w.size {
			served = served || mayLead[j] && reach(i, j)
		}
		switch {
		case served:
			w.alone[i] = time.Time{}
		case w.alone[i].IsZero():
			w.alone[i] = now
		}
	}
}

// aloneSince is when a node lost its majority; zero if it may have one.
func (w *world) aloneSince(node int) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if node >= w.size {
		return time.Time{} // the spare one's time is when the members change
	}
	return w.alone[node]
}

func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// note counts what happened.
func (w *world) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did[what]++
}

// say writes a line of the timeline.
func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.timeline, "%.3f ms: %s\n", float64(time.Since(w.began))/1e6, fmt.Sprintf(format, args...))
}

// simClient is a client that knows all nodes and asks one, and when that one
// is gone, another. It asks again what is harmless: a lock.
type simClient struct {
	holdfast.Service // nil: what is not here is not asked
	world            *world
	owner            int
	rng              *rand.Rand
	mu               sync.Mutex
	at               int
}

func (w *world) client(owner int) holdfast.Service {
	c := &simClient{world: w, rng: rand.New(rand.NewPCG(w.seed, uint64(10_000+owner))), owner: owner, at: owner % len(w.nodes)}
	return c
}

func (c *simClient) draw(most time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.rng.Int64N(int64(most)))
}

// askOnce puts a call to the node that the client is at.
func askOnce[T any](ctx context.Context, c *simClient, ask func(context.Context, *Store) (T, error)) (T, error) {
	var none T
	c.mu.Lock()
	node := c.world.nodes[c.at]
	c.mu.Unlock()
	time.Sleep(c.draw(usualDelay))
	began := time.Now()
	l := node.living()
	if l == nil {
		c.goOn()
		return none, holdfast.Unavailable(nil, "node %s is down", node.id)
	}
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	c.world.ending.Go(func() {
		value, err := ask(ctx, l.Store)
		answered <- answer{value, err}
	})
	select {
	case a := <-answered:
		if since := c.world.aloneSince(node.index); a.err == nil && !since.IsZero() && since.Add(longestDelay).Before(began) {
			c.world.problem("node %s has answered %v without a majority, which it lost at %v", node.id, a.value, since)
		}
		if holdfast.ErrorCode(a.err) == holdfast.CodeUnavailable {
			c.world.say("%s to owner %d: %v", node.id, c.owner, a.err)
			c.goOn()
		}
		time.Sleep(c.draw(usualDelay))
		return a.value, a.err
	case <-l.over:
		c.world.say("%s is lost to owner %d", node.id, c.owner)
		c.goOn()
		err := holdfast.Unavailable(errNodeGone, "node %s has gone", node.id)
		err.OutcomeUnknown = true
		return none, err
	}
}

var errNodeGone = errors.New("the node has gone")

// goOn turns to the next node.
func (c *simClient) goOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = (c.at + 1) % len(c.world.nodes)
}

// Lock asks until there is an answer, or no time.
func (c *simClient) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	end := time.Now().Add(req.Wait + simPatience)
	unknown, lost := false, false
	for {
		req := req
		req.Wait = max(0, time.Until(end)-simPatience).Truncate(time.Millisecond)
		grant, err := askOnce(ctx, c, func(ctx context.Context, s *Store) (holdfast.Grant, error) { return s.Lock(ctx, req) })
		refusal, ok := err.(*holdfast.Error)
		if ok && refusal.Code != holdfast.CodeUnavailable && lost {
			// Its leader may not have heard yet that the node is gone.
			told := *refusal
			told.OutcomeUnknown = true
			return grant, &told
		}
		if !ok || refusal.Code != holdfast.CodeUnavailable {
			return grant, err
		}
		unknown = unknown || refusal.OutcomeUnknown
		lost = lost || errors.Is(err, errNodeGone)
		if time.Now().After(end) || ctx.Err() != nil {
			last := *refusal
			last.OutcomeUnknown = unknown
			return grant, &last
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *simClient) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	return askOnce(ctx, c, func(ctx context.Context, s *Store) ([]string, error) { return s.Unlock(ctx, req) })
}

func (c *simClient) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	return askOnce(ctx, c, func(ctx context.Context, s *Store) (holdfast.Extension, error) { return s.Extend(ctx, req) })
}

func (c *simClient) Check(ctx context.Context, keys []string) (bool, error) {
	return askOnce(ctx, c, func(ctx context.Context, s *Store) (bool, error) { return s.Check(ctx, keys) })
}

func (c *simClient) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	return askOnce(ctx, c, func(ctx context.Context, s *Store) (holdfast.Lock, error) { return s.Get(ctx, key) })
}

func (c *simClient) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	return askOnce(ctx, c, func(ctx context.Context, s *Store) (holdfast.Page, error) { return s.List(ctx, req) })
}
