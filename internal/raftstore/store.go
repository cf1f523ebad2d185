// Package raftstore is the durable lock service: the lock table replicated by
// hashicorp/raft, with the lease clock on the leader. Alone it is a cluster
// of one: an answer is given once its entry is on disk.
package raftstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/keeper"
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
	// its client to come back, after a restart or a change of leader. Zero
	// means 5 s.
	KeepPlaces time.Duration

	// SnapshotEvery is after how many entries of the log a snapshot is taken.
	// Zero means 65,536.
	SnapshotEvery uint64

	wrapLog func(raft.LogStore) raft.LogStore // for tests: a disk that misbehaves
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
}

// Store is a [holdfast.Service].
type Store struct {
	*keeper.Service
	options Options
	keeper  *keeper.Keeper
	raft    *raft.Raft
	disk    *disk

	queue   chan *proposal
	reads   chan *read
	batches sync.Map // batch number → *batch: entries of this process that are under way

	failed  chan error  // see Failed
	leading atomic.Bool // the table is the latest, and the lease clock runs

	ctx   context.Context // ends with Close
	close context.CancelFunc
	done  sync.WaitGroup
	once  sync.Once
}

var _ holdfast.Service = (*Store)(nil)

// Open starts a store over what its directory holds, or an empty one. It
// returns once it can serve, or with an error that says what to do.
func Open(ctx context.Context, options Options) (*Store, error) {
	options.setDefaults()
	d, err := openDisk(options)
	if err != nil {
		return nil, err
	}
	s := &Store{
		options: options,
		keeper:  keeper.New(0),
		disk:    d,
		queue:   make(chan *proposal, queueLength),
		reads:   make(chan *read, queueLength),
		failed:  make(chan error, 1),
	}
	s.Service = keeper.NewService(s.keeper, log{s})
	s.ctx, s.close = context.WithCancel(context.Background())
	if err := s.startRaft(); err != nil {
		s.close()
		d.Close()
		return nil, err
	}
	s.done.Go(s.lead)
	s.done.Go(s.write)
	s.done.Go(s.verify)
	s.done.Go(s.losePatience)
	if err := s.awaitReady(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close stops the store. Whoever waits gets CodeUnavailable, and so does
// every later request; what was answered is on disk. It is harmless to close
// twice.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		s.Stop()
		s.close()
		err = s.raft.Shutdown().Error()
		s.done.Wait()
		s.failBatches(keeper.ErrStopping())
		err = errors.Join(err, s.disk.Close())
	})
	return err
}

// Ready says why the store cannot serve at this moment; nil if it can.
func (s *Store) Ready(context.Context) error {
	if !s.leading.Load() {
		return errNoLeader()
	}
	return nil
}

// Failed gives an error when the store cannot go on and its process should
// end: the disk has not finished a write for far too long. A leader that sat
// there leading would keep all others from taking over, and raft does not
// notice by itself.
func (s *Store) Failed() <-chan error { return s.failed }

// awaitReady waits until the log has been replayed and the store leads.
func (s *Store) awaitReady(ctx context.Context) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !s.leading.Load() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the store did not become ready: %w", context.Cause(ctx))
		}
	}
	return nil
}

func errNoLeader() *holdfast.Error {
	return holdfast.Unavailable(nil, "there is no leader at the moment")
}
