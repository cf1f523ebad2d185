// Package raftstore is the durable lock service: the lock table replicated by
// hashicorp/raft, with the lease clock on the leader. An answer is given once
// its entry is on disk at a majority of the nodes. Alone, a store is a cluster
// of one that nobody can reach.
package raftstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/keeper"
	"holdfast/internal/table"
)

// Options say where a store keeps its state and how patient it is.
type Options struct {
	Dir    string       // where the state lives; made if it is missing
	Logger *slog.Logger // nil for slog.Default

	// Patience is how long a change may take to get to the disk of a majority
	// before the answer is that its outcome is unknown, and how long a read may
	// take to make sure of being the latest. Zero means 3 s.
	Patience time.Duration

	// KeepPlaces is how long a place in line at which nobody waits is kept for
	// its client to come back: after a restart, a change of leader, or the end
	// of the node through which it asked. Zero means 5 s.
	KeepPlaces time.Duration

	// SnapshotEvery is after how many entries of the log a snapshot is taken.
	// Zero means 65,536.
	SnapshotEvery uint64

	// SnapshotBytes is after how many bytes of entries one is taken all the
	// same, so that the log stays below about one and a half times of it. Zero
	// means 512 MiB.
	SnapshotBytes int64

	// Limits are how much there may be, while this node leads.
	Limits table.Limits

	// Node makes the store a node of a cluster; nil means that it is alone.
	Node *Node

	restoring bool // what a backup holds is being written; see mustBeRestored

	openStorage func(Options) (storage, error) // for tests; nil for openDir
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Patience == 0 {
		o.Patience = 3 * time.Second
	}
	if o.KeepPlaces == 0 {
		o.KeepPlaces = 5 * time.Second
	}
	if o.SnapshotEvery == 0 {
		o.SnapshotEvery = 1 << 16
	}
	if o.SnapshotBytes == 0 {
		o.SnapshotBytes = 512 << 20
	}
}

// trailing is how many entries a snapshot leaves in the log, for nodes that are
// a little behind.
func (o *Options) trailing() uint64 { return o.SnapshotEvery / 4 }

// Node says which node of a cluster a store is.
type Node struct {
	ID         string // its name in the cluster: letters, digits and ".", "_", "-", at most 64
	PeerAddr   string // host:port at which the other nodes reach it
	PeerListen string // host:port where it listens for them, if that is another one
	API        string // URL at which it serves clients; only told, see [holdfast.Node]

	// Join asks nodes of the cluster that the store shall become a node of,
	// once it is needed. If it is nil, a new store begins a cluster of its own.
	Join *client.Client

	// ElectionTimeout is after how long without a word from the leader
	// another one is elected. Zero means 500 ms: below that, a busy machine
	// loses leaders that are well.
	ElectionTimeout time.Duration

	// TLS secures the connections between nodes, of which each shows the
	// others its certificate. It is asked for the configuration of each new
	// connection, for either end, and so may follow files that change. Nil means
	// that they are neither encrypted nor authenticated.
	TLS func() *tls.Config

	// Serve serves the API of a service to a listener, until the listener is
	// closed and the function that it gives has returned. Requests that another
	// node has passed on come there. A request has to end with [ErrLost] when
	// its connection does, unless that node has said that it is withdrawn.
	Serve func(service Leading, listener net.Listener) (stop func())

	network   network   // for tests; nil for tcp
	transport transport // for tests; nil for one over the network
}

// Store is a [holdfast.Service].
type Store struct {
	*keeper.Service
	options Options
	keeper  *keeper.Keeper
	raft    *raft.Raft
	disk    *disk

	peers    *peers // nil if it is alone
	route    route
	confirms confirmations

	queue     chan *proposal
	reads     chan *read
	batches   sync.Map  // batch number → *batch: entries of this process that are under way
	proposals sync.Pool // *proposal: that were answered and heard, to be used again

	counts  *counts
	failed  chan error    // see Failed
	leading atomic.Bool   // the table is the latest, and the lease clock runs
	term    atomic.Uint64 // in which that is so, or was
	mayVote atomic.Bool   // see admitted
	members chan struct{} // see membership
	setting sync.Mutex    // see reload

	ctx     context.Context // ends with Close
	close   context.CancelFunc
	done    sync.WaitGroup
	written chan struct{} // closed when nothing is taken from the queue any more

	stopping, once sync.Once
}

var _ holdfast.Service = (*Store)(nil)

// tellAfter is how long a start may read before it says so.
const tellAfter = time.Second

// Open starts a store over what its directory holds, or an empty one. A store
// that is alone can serve when Open returns; a node may have no leader yet,
// see Ready. An error says what to do.
func Open(ctx context.Context, options Options) (*Store, error) {
	options.setDefaults()
	reading := time.AfterFunc(tellAfter, func() { options.Logger.Info("reading the state from disk", "dir", options.Dir) })
	defer reading.Stop()
	d, err := openDisk(options)
	if err != nil {
		return nil, err
	}
	if options.Node != nil {
		reading.Stop() // it may have to wait for others next
	}
	s := &Store{
		options: options,
		keeper:  keeper.New(0),
		disk:    d,
		queue:   make(chan *proposal, queueLength),
		reads:   make(chan *read, queueLength),
		counts:  newCounts(),
		failed:  make(chan error, 1),
		written: make(chan struct{}),
		route:   route{changed: make(chan struct{})},
		members: make(chan struct{}, 1),
	}
	s.Service = keeper.NewService(s.keeper, log{s}, options.KeepPlaces)
	s.Limit(options.Limits)
	s.ctx, s.close = context.WithCancel(context.Background())
	if err := s.start(ctx); err != nil {
		s.close()
		d.close()
		return nil, err
	}
	s.done.Go(s.lead)
	s.done.Go(s.write)
	s.done.Go(s.losePatience)
	s.done.Go(s.shorten)
	if s.peers != nil {
		s.serveNodes()
		return s, nil
	}
	if err := s.awaitReady(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// serveNodes lets this node take part in its cluster.
func (s *Store) serveNodes() {
	s.peers.answer = s.answer
	s.peers.serve()
	stop := s.options.Node.Serve(Leading{s.Service, s}, s.peers.api)
	s.done.Go(func() {
		<-s.ctx.Done()
		s.peers.api.Close()
		stop()
	})
	s.done.Go(s.verify)
	s.done.Go(func() {
		for s.enter() && s.stay() {
		}
	})
}

// Close stops the store. Whoever waits gets CodeUnavailable, and so does
// every later request; what was answered is on disk. It is harmless to close
// twice.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		s.Stop()
		s.close()
		// Raft never answers whom it has not heard before it is shut down. But a
		// disk that does not come back may keep it from hearing anybody.
		select {
		case <-s.written:
		case <-time.After(2 * s.options.Patience):
		}
		err = s.raft.Shutdown().Error()
		s.failBatches() // some of those who run here wait for an answer
		if s.peers != nil {
			err = errors.Join(err, s.peers.Close())
		}
		s.done.Wait()
		s.Wait()
		err = errors.Join(err, s.disk.close())
	})
	return err
}

// Stop sends away whoever waits or watches, and lets another node lead if
// there is one, so that nobody has to find out that this one is gone. The
// places in line of those who are sent away are kept for a while.
func (s *Store) Stop() {
	s.stopping.Do(func() {
		if s.peers != nil && s.leading.Load() && len(s.servers()) > 1 {
			if err := s.handOver(s.ctx); err != nil {
				s.options.Logger.Warn("no other node has taken over before this one stops", "error", err)
			}
		}
		s.route.leave()
		s.Service.Stop()
	})
}

// Ready says why the store cannot serve at this moment; nil if it can.
func (s *Store) Ready(context.Context) error {
	if leader, _ := s.leader(); leader == nil {
		return errNoLeader()
	}
	return nil
}

// Failed gives an error when the store cannot go on and its process should
// end: the disk of a leader has not finished a write for far too long, and
// one that sat there leading would keep all others from taking over; or the
// cluster goes on without this node.
func (s *Store) Failed() <-chan error { return s.failed }

// awaitReady waits until somebody leads: a store that is alone, that its log has
// been replayed.
func (s *Store) awaitReady(ctx context.Context) error {
	for {
		leader, changed := s.leader()
		if leader != nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the store did not become ready: %w", context.Cause(ctx))
		}
	}
}

func errNoLeader() *holdfast.Error {
	return holdfast.Unavailable(nil, "there is no leader at the moment")
}
