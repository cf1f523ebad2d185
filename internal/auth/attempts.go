package auth

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// attemptsWindow is for how long a failed attempt counts, at least; at most
	// twice as long.
	attemptsWindow = time.Minute

	// freeAttempts may fail in that time before the address is slowed.
	freeAttempts = 10

	// attemptDelay is how much later each further failure is answered.
	attemptDelay = time.Second

	// maxAddresses is of how many addresses failures are counted one by one, in
	// each of two windows. All others share one count.
	maxAddresses = 4096
)

// Attempts counts failed attempts to be known, by address, so that whoever
// goes on trying is answered late. A token of 256 bits cannot be guessed; this
// keeps those down who try all the same. Who has a good token is not slowed,
// whatever others do from the same address. It is safe for concurrent use, and
// needs little memory whatever happens.
type Attempts struct {
	mu     sync.Mutex
	began  time.Time // of the window
	now    map[netip.Prefix]int
	before map[netip.Prefix]int
}

// Failed notes a failed attempt, and gives how long to wait before it is
// answered, and whether it is the first that has to.
func (a *Attempts) Failed(from netip.Addr, now time.Time) (delay time.Duration, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(now)
	who := Neighbourhood(from)
	if _, known := a.now[who]; !known && len(a.now) >= maxAddresses {
		who = netip.Prefix{}
	}
	a.now[who]++
	count := a.now[who] + a.before[who]
	if count <= freeAttempts {
		return 0, false
	}
	return attemptDelay, count == freeAttempts+1
}

// turn begins a new window when it is time to.
func (a *Attempts) turn(now time.Time) {
	since := now.Sub(a.began)
	if a.now != nil && since < attemptsWindow {
		return
	}
	a.before = a.now
	if since >= 2*attemptsWindow {
		a.before = nil
	}
	a.now, a.began = map[netip.Prefix]int{}, now
}

// Neighbourhood is what counts as one address wherever addresses are counted:
// of IPv6 the 64 bits that one customer gets, who could take another address of
// them for each connection.
func Neighbourhood(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	prefix, _ := a.Prefix(bits)
	return prefix
}
