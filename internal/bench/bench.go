// Package bench measures a lock service with closed-loop clients: each locks
// a key, unlocks it, and begins again. It knows no server; what is
// measured is an [Owner] for each client, so that others can be measured in
// the same way.
package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	randv2 "math/rand/v2"
	"strconv"
	"sync"
	"time"

	"holdfast"
)

// Load is what the clients do. Its tags are those of a command line.
type Load struct {
	Clients  int           `default:"64" placeholder:"N" help:"Clients, each with one call under way; without it 64."`
	Keys     Keys          `default:"own" complete:"own,shared" placeholder:"KEYS" help:"own: each client has a key of its own; shared: all want the same one; or a number: each takes one of so many, by chance. Without it own."`
	Hold     time.Duration `placeholder:"DURATION" help:"How long a client keeps its key; without it not at all."`
	Duration time.Duration `default:"10s" placeholder:"DURATION" help:"How long to measure; without it 10s."`
	Warmup   time.Duration `default:"1s" placeholder:"DURATION" help:"How long to run before that; without it 1s."`
}

// The most that a load may be, so that nobody forgets one that runs.
const (
	maxClients  = 10_000
	maxDuration = time.Hour
)

// Validate says which of the settings cannot be.
func (l Load) Validate() error {
	switch {
	case l.Clients < 1 || l.Clients > maxClients:
		return fmt.Errorf("--clients: must be from 1 to %d", maxClients)
	case l.Hold < 0 || l.Hold > maxDuration:
		return fmt.Errorf("--hold: must be from 0s to %v", maxDuration)
	case l.Duration <= 0 || l.Duration > maxDuration:
		return fmt.Errorf("--duration: must be more than 0s, and at most %v", maxDuration)
	case l.Warmup < 0 || l.Warmup > maxDuration:
		return fmt.Errorf("--warmup: must be from 0s to %v", maxDuration)
	}
	return nil
}

// Keys is how many keys there are for all clients together; zero means one
// for each of them.
type Keys int

// UnmarshalText reads own, shared or a number.
func (k *Keys) UnmarshalText(text []byte) error {
	switch string(text) {
	case "own":
		*k = 0
		return nil
	case "shared":
		*k = 1
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 {
		return fmt.Errorf("must be own, shared, or a number from 1 on, not %q", text)
	}
	*k = Keys(n)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (k Keys) MarshalText() ([]byte, error) {
	switch k {
	case 0:
		return []byte("own"), nil
	case 1:
		return []byte("shared"), nil
	}
	return strconv.AppendInt(nil, int64(k), 10), nil
}

// Owner is one client of a lock service. Only one goroutine uses it.
type Owner interface {
	// Lock comes back when it holds the key. When ctx ends, so does the
	// waiting.
	Lock(ctx context.Context, key string) error

	// Unlock gives the key back that was locked last.
	Unlock(ctx context.Context, key string) error
}

// ErrNotHeld is what Unlock returns when the hold was over before.
var ErrNotHeld = errors.New("not held any more")

const (
	// afterError is how long a client rests when a call failed, so that a
	// server in trouble is not stormed.
	afterError = 10 * time.Millisecond

	// unlockWithin is how long the last unlocks may take after the end.
	unlockWithin = 10 * time.Second
)

// Run puts the load on, each client with the owner that it is given for its
// number and its uid. It ends when the load has run for as long as it says,
// or with the cause of ctx.
func Run(ctx context.Context, load Load, owner func(client int, uid string) Owner) (Result, error) {
	if err := load.Validate(); err != nil {
		return Result{}, err
	}
	run := "bench/" + rand.Text()[:8] + "/" // what an earlier run left behind is not in the way
	clients := make([]*client, load.Clients)
	for i := range clients {
		name := run + strconv.Itoa(i)
		clients[i] = &client{owner: owner(i, name), key: func() string { return name }, hold: load.Hold}
		if load.Keys > 0 {
			clients[i].key = func() string { return run + strconv.Itoa(randv2.IntN(int(load.Keys))) }
		}
	}
	begin := time.Now().Add(load.Warmup)
	end := begin.Add(load.Duration)
	running, stop := context.WithDeadline(ctx, end)
	defer stop()
	ending, cancel := context.WithDeadline(context.WithoutCancel(ctx), end.Add(unlockWithin))
	defer cancel()
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() { c.run(running, ending, begin, end) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	return sum(load, clients), nil
}

// client is one that locks and unlocks, and what it has seen.
type client struct {
	owner Owner
	key   func() string // the next one to lock
	hold  time.Duration

	pairs        int
	lock, unlock histogram
	errors       map[string]int // by code
}

// run locks and unlocks while running, and counts what ends between begin and
// end. A lock that was granted is unlocked before ending ends.
func (c *client) run(running, ending context.Context, begin, end time.Time) {
	for running.Err() == nil {
		key, started := c.key(), time.Now()
		if err := c.owner.Lock(running, key); err != nil {
			c.failed(running, err)
			continue
		}
		locked := time.Now()
		pause(running, c.hold)
		began := time.Now()
		if err := c.owner.Unlock(ending, key); err != nil {
			c.failed(running, err)
			continue
		}
		if done := time.Now(); done.After(begin) && !done.After(end) {
			c.pairs++
			c.lock.add(locked.Sub(started))
			c.unlock.add(done.Sub(began))
		}
	}
}

// failed notes an error, unless it only says that the time is over.
func (c *client) failed(running context.Context, err error) {
	if running.Err() != nil && errors.Is(err, context.Cause(running)) {
		return
	}
	code := "error"
	if known := holdfast.ErrorCode(err); known != "" {
		code = string(known)
	} else if errors.Is(err, ErrNotHeld) {
		code = "not_held"
	}
	if c.errors == nil {
		c.errors = make(map[string]int)
	}
	c.errors[code]++
	pause(running, afterError)
}

// pause waits for so long, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
