package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
	"holdfast/internal/feed"
	"holdfast/internal/table"
)

// Options say where the state is and how patient the store is.
type Options struct {
	// URL names the Redis: see docs/redis.md for the forms. Empty means
	// redis://localhost:6379.
	URL string

	// Prefix is what the names of all keys and channels in Redis begin with;
	// servers with the same prefix share their locks. It is made the hash tag
	// and followed by a colon. Empty means holdfast.
	Prefix string

	// Timeout bounds how long a call waits for Redis. Zero means 2 s.
	Timeout time.Duration

	// DeadAfter is how long a server may be silent until its waiters leave the
	// line; a client that comes back sooner, to whatever server, finds its old
	// place. Zero means 5 s; the least is 2 s, since a server gives a sign of
	// life each second.
	DeadAfter time.Duration

	// Limits are how much there may be in Redis, by whatever server it came;
	// what is asked of this one is held against them. A request beyond one is
	// refused with CodeLimit.
	Limits table.Limits

	// Log gets a line when Redis goes away and when it is back. Nil means none.
	Log *slog.Logger
}

// These say how often the store looks after things.
const (
	beat      = time.Second     // between two signs of life
	netPeriod = 5 * time.Second // between two comparisons with Redis; only a net
	linger    = time.Minute     // for how long events are kept when the last watcher has gone
	sweepMost = 200             // holds that one script ends
)

// Store is a [holdfast.Service]. It owns its connections and the goroutines
// that look after them.
type Store struct {
	options Options
	connect rueidis.ClientOption
	id      string   // of this server, new with each start
	root    []string // KEYS of every script; see head.lua
	limits  string   // as scripts are told of them
	scripts *scripts
	log     *slog.Logger
	start   time.Time // what nextEnd counts from

	aged time.Time // when holds were made old the last time; the keeper's own

	client atomic.Pointer[rueidis.Client] // nil until Redis was reached for the first time
	bounds atomic.Pointer[bounds]         // of the latest calls

	mu       sync.Mutex // guards what follows
	byAsk    map[string]*call
	byTicket map[string]*call
	tickets  uint64
	claims   claims
	trouble  error // why Redis cannot be used; nil if it can
	closed   bool

	nextEnd   atomic.Int64  // when the next hold ends, as far as is known, in ns from start
	sooner    chan struct{} // nextEnd has come nearer
	comparing chan struct{} // asks the keeper to reconcile
	closing   chan struct{} // closed by Stop
	done      sync.WaitGroup
	requests  sync.WaitGroup // those that wait in line
	stop      context.CancelFunc

	counts *counts

	many  many
	feed  *feed.Feed
	watch watchers
}

var _ holdfast.Service = (*Store)(nil)

// New opens the store. It fails only if an option makes no sense: when Redis
// is out of reach, calls answer CodeUnavailable and [Store.Ready] says why,
// until it is there.
func New(ctx context.Context, options Options) (*Store, error) {
	return open(ctx, options, theScripts)
}

func open(ctx context.Context, options Options, scripts *scripts) (*Store, error) {
	options.URL = cmp.Or(options.URL, "redis://localhost:6379")
	options.Prefix = cmp.Or(options.Prefix, "holdfast")
	options.Timeout = cmp.Or(options.Timeout, 2*time.Second)
	options.DeadAfter = max(2*time.Second, cmp.Or(options.DeadAfter, 5*time.Second))
	options.Log = cmp.Or(options.Log, slog.New(slog.DiscardHandler))
	connect, err := parseURL(options.URL)
	if err != nil {
		return nil, err
	}
	// Half for noticing that a connection does not answer, half for the rest.
	connect.Dialer.Timeout = options.Timeout / 2
	connect.Dialer.KeepAlive = options.Timeout / 4
	connect.ConnWriteTimeout = options.Timeout / 2
	connect.DisableRetry = true // a call is bounded, and its caller knows what to do
	connect.DisableCache = true

	s := &Store{
		options:   options,
		connect:   connect,
		id:        rand.Text()[:13],
		root:      roots(options.Prefix, connect.SelectDB),
		limits:    limitsWord(options.Limits),
		scripts:   scripts,
		log:       options.Log,
		start:     time.Now(),
		byAsk:     make(map[string]*call),
		byTicket:  make(map[string]*call),
		sooner:    make(chan struct{}, 1),
		comparing: make(chan struct{}, 1),
		closing:   make(chan struct{}),
		feed:      feed.New(),
		counts:    newCounts(),
		trouble:   errNotTried,
	}
	s.nextEnd.Store(math.MaxInt64)
	run, stop := context.WithCancel(context.Background())
	s.stop = stop

	first, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	s.look(first)
	s.done.Go(func() { s.keep(run) })
	s.done.Go(func() { s.listen(run) })
	return s, nil
}

// roots gives what all names of keys begin with, and the channel of events. All
// databases of a Redis have the same channels.
func roots(prefix string, database int) []string {
	root := "{" + prefix + "}:"
	events := root + "events"
	if database > 0 {
		events += ":" + strconv.Itoa(database)
	}
	return []string{root, events}
}

// Stop sends those who wait and those who watch away with CodeUnavailable, and
// everybody who comes later. A client that asks another server within DeadAfter
// finds its place in line.
func (s *Store) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.closing)
		s.feed.Close()
	}
}

// Close stops the store and closes its connections. It is harmless to close
// twice.
func (s *Store) Close() error {
	s.Stop()
	s.requests.Wait() // some are leaving the line
	s.stop()
	s.unwatch()
	s.done.Wait()
	if client := s.client.Swap(nil); client != nil {
		(*client).Close()
	}
	return nil
}

// Addresses are the hosts of the URL, for people.
func (s *Store) Addresses() string { return strings.Join(s.connect.InitAddress, ", ") }

// Ready says whether Redis can be used, as was found at most a second ago;
// the error says in words why not.
func (s *Store) Ready(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed()
	}
	return s.trouble
}

// enter begins a call.
func (s *Store) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-s.closing:
		return errClosed()
	default:
		return nil
	}
}

func errClosed() error { return holdfast.Unavailable(nil, "the service is shutting down") }
