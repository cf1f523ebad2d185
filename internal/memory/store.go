// Package memory is the lock service in the memory of one process: the lock
// table and the lease clock behind a mutex. Nothing outlives the process.
package memory

import (
	"context"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/keeper"
	"holdfast/internal/table"
)

// Store is a [holdfast.Service]. It owns one goroutine, which ends what has
// run out.
type Store struct {
	*keeper.Service
	keeper *keeper.Keeper

	closing context.Context // ends with Close
	close   context.CancelFunc
	done    sync.WaitGroup
}

var _ holdfast.Service = (*Store)(nil)

// New starts an empty store. Its versions begin with the microseconds of the
// wall clock, so that they grow over a restart (rule 5).
func New() *Store {
	s := &Store{keeper: keeper.New(uint64(time.Now().UnixMicro()))}
	s.Service = keeper.NewService(s.keeper, log{s}, 0)
	s.closing, s.close = context.WithCancel(context.Background())
	s.keeper.StartClock()
	s.done.Go(func() { s.keeper.WatchOver(s.closing, log{s}) })
	return s
}

// StartLock is as [keeper.Start] says, and waits for nothing.
func (s *Store) StartLock(ctx context.Context, req holdfast.LockRequest) (
	_ holdfast.Grant, wait func(context.Context) (holdfast.Grant, error), _ error,
) {
	return keeper.StartLock(ctx, s.Service, req)
}

// Close ends the store. Whoever waits gets CodeUnavailable, and so does
// every later request. It is harmless to close twice.
func (s *Store) Close() error {
	s.close()
	s.Stop()
	s.done.Wait()
	return nil
}

// log is the shortest way to the keeper.
type log struct{ s *Store }

func (l log) Propose(ctx context.Context, cmd table.Command) (keeper.Result, error) {
	if err := l.Verify(ctx); err != nil {
		return keeper.Result{}, err
	}
	return l.s.keeper.Apply(&cmd), nil
}

func (l log) Verify(context.Context) error {
	if l.s.closing.Err() != nil {
		return keeper.ErrStopping()
	}
	return nil
}
