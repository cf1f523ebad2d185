// Package memory is the lock service in the memory of one process: the lock
// table and the lease clock behind a mutex. Nothing outlives the process.
package memory

import (
	"context"
	"iter"
	"runtime"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/feed"
	"holdfast/internal/lease"
	"holdfast/internal/table"
)

// expireBatch is how many holds one command ends at most, so that very many
// that run out at once do not hold up anybody else for longer than that.
const expireBatch = 256

// Store is a [holdfast.Service]. It owns one goroutine, which ends what has
// run out.
type Store struct {
	mu    sync.Mutex // guards all up to feed; what takes it is short
	table *table.Table
	clock *lease.Clock
	calls map[uint64]*call // who waits for a grant here, by place in line

	// undelivered are grants that have not reached their call yet, by
	// version. It is nearly always empty.
	undelivered map[uint64]*call

	armed  time.Time // when the expiring goroutine will look again; zero for never
	closed bool

	feed *feed.Feed

	wake    chan struct{} // there is a deadline before armed
	closing chan struct{} // closed by Close
	done    sync.WaitGroup
}

var _ holdfast.Service = (*Store)(nil)

// call is a place in line and the requests that wait at it: usually one, but
// the same owner may ask the same thing again before the first answer.
type call struct {
	place    uint64
	since    time.Time
	waiting  int // requests that wait here
	granted  chan struct{}
	grant    table.Grant // once granted is closed
	received bool        // the grant has reached a request, or its owner has asked again for what it gave
}

// New starts an empty store. Its versions begin with the microseconds of the
// wall clock, so that they grow over a restart (rule 5).
func New() *Store {
	s := &Store{
		table:       table.New(uint64(time.Now().UnixMicro())),
		clock:       lease.New(),
		calls:       make(map[uint64]*call),
		undelivered: make(map[uint64]*call),
		feed:        feed.New(),
		wake:        make(chan struct{}, 1),
		closing:     make(chan struct{}),
	}
	s.done.Go(s.expire)
	return s
}

// Close ends the store. Whoever waits gets CodeUnavailable, and so does
// every later request. It is harmless to close twice.
func (s *Store) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.feed.Close()
	s.done.Wait()
	return nil
}

// enter begins a request: with the store to itself, unless it is closed or
// ctx has ended.
func (s *Store) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed()
	}
	return nil
}

func errClosed() error { return holdfast.Unavailable(nil, "the service is shutting down") }

// apply carries out a command and all that follows from it: the clock is
// started and stopped, watchers are told, and whoever was let in is woken.
func (s *Store) apply(cmd *table.Command) *table.Outcome {
	out := s.table.Apply(cmd)
	s.clock.Follow(out.Events)
	s.feed.Publish(out.Events)
	for i := range out.Grants {
		s.deliver(out.Grants[i])
	}
	if next := s.clock.Next(); !next.IsZero() && (s.armed.IsZero() || next.Before(s.armed)) {
		s.armed = next
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return out
}

func (s *Store) deliver(grant table.Grant) {
	c := s.calls[grant.Place]
	delete(s.calls, grant.Place)
	c.grant = grant
	if grant.Version != 0 {
		s.undelivered[grant.Version] = c
	}
	close(c.granted)
}

// askedFor notes that the owner of these holds has asked for them again, and
// so must not lose them to a grant that was not delivered.
func (s *Store) askedFor(tokens []holdfast.Token) {
	if len(s.undelivered) == 0 {
		return
	}
	for _, token := range tokens {
		if c, ok := s.undelivered[token.Version]; ok {
			c.received = true
		}
	}
}

// expire ends holds when their time has come, until the store is closed.
func (s *Store) expire() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.closing:
			return
		}
		for s.expireSome() {
			runtime.Gosched() // whoever waits for the mutex goes first
		}
		s.mu.Lock()
		if s.armed = s.clock.Next(); !s.armed.IsZero() {
			timer.Reset(time.Until(s.armed))
		}
		s.mu.Unlock()
	}
}

// expireSome ends holds that have run out, and says whether there may be
// more of them.
func (s *Store) expireSome() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ended []table.Owned
	s.clock.Due(expireBatch, func(key, uid string, version uint64) {
		ended = append(ended, table.Owned{UID: uid, Token: holdfast.Token{Key: key, Version: version}})
	})
	if len(ended) > 0 {
		s.apply(&table.Command{Op: table.Expire, Ended: ended})
	}
	return len(ended) == expireBatch
}

// left gives what is left of the hold among tokens that ends first.
func (s *Store) left(uid string, tokens []holdfast.Token) time.Duration {
	var least time.Duration
	for i, token := range tokens {
		if left, _ := s.clock.Left(token.Key, uid); i == 0 || left < least {
			least = left
		}
	}
	return least
}

// Watch follows what happens.
func (s *Store) Watch(ctx context.Context, req holdfast.WatchRequest) (iter.Seq2[holdfast.Event, error], error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return s.feed.Watch(ctx, req), nil
}
