package stats

import (
	"sync/atomic"
	"time"
)

// Counts is what every store counts of its locks. Where several servers share
// one state, each thing is counted by one of them, so that they can be added
// up. The zero Counts is not ready: use NewCounts. It is safe for concurrent
// use.
type Counts struct {
	Grants     atomic.Uint64 // requests that were let in and got at least one new hold
	Extensions atomic.Uint64 // holds whose life began anew
	Releases   atomic.Uint64 // holds that were given back, or taken back undelivered
	Expiries   atomic.Uint64 // holds that ran out
	Forced     atomic.Uint64 // holds that were released by force
	Deadlocks  atomic.Uint64 // requests that were refused with CodeDeadlock

	Waited *Histogram // how long places in line stood that were let in
	Left   *Histogram // and those that left without a grant
	Held   *Histogram // how long holds were held, when they are over
}

// NewCounts gives counts that are all zero.
func NewCounts() *Counts {
	return &Counts{Waited: NewHistogram(Long), Left: NewHistogram(Long), Held: NewHistogram(Long)}
}

// Locks are the figures of a store about its locks at one moment.
type Locks struct {
	*Counts
	Holds        int
	Waiters      int           // requests in line
	OldestWaiter time.Duration // how long the one who has waited longest here has waited; zero without waiters
}
