// Package lease is the lease clock: rule 7 of the service. It alone knows
// when a hold runs out. A hold ends when its exp has passed since it was
// granted or last extended, by the monotonic clock of this process; never
// early, whatever the wall clock does.
package lease

import (
	"container/heap"
	"math"
	"time"

	"holdfast"
)

// Clock keeps the deadlines of holds. It is not safe for concurrent use, and
// starts no goroutine: its owner asks when to come back ([Clock.Next]) and
// what has run out by then ([Clock.Due]).
//
// Deadlines are whole milliseconds. A life begins at the next millisecond
// and has ended once its last one is over, so that rounding only ever makes
// it longer.
type Clock struct {
	// Began and Ended, if not nil, are told of every hold that the clock begins
	// and ceases to watch over; Ended also how long it was held, in whole
	// milliseconds.
	Began func(key, uid string)
	Ended func(key, uid string, held time.Duration)

	start  time.Time
	leases map[name]*lease
	queue  queue
}

// name tells a hold: one uid on one key (rule 4).
type name struct{ key, uid string }

type lease struct {
	name
	version  uint64
	since    int64 // ms from start
	deadline int64 // ms from start
	look     int64 // when to look at it: deadline, or later when it has been found due
	index    int   // in the queue
	heard    int32 // answers that have told its owner of it, or are about to
	known    bool  // its owner has known of it since before this clock, or before an upgrade that was taken back
	doubted  bool  // somebody means to end it: how it goes on is decided in the log
}

// New gives a clock without deadlines.
func New() *Clock {
	return &Clock{start: time.Now(), leases: make(map[name]*lease)}
}

// Follow keeps up with what happened to holds: a life begins anew on each
// that was granted or extended, though never with an earlier deadline than
// before, and is over on each that was released, expired or forced.
func (c *Clock) Follow(events []holdfast.Event) {
	for i := range events {
		e := &events[i]
		switch e.Type {
		case holdfast.EventGranted, holdfast.EventExtended:
			c.Begin(e.Key, e.UID, e.Version, e.Exp)
		case holdfast.EventReleased, holdfast.EventExpired, holdfast.EventForced:
			c.end(name{e.Key, e.UID})
		}
	}
}

// Begin begins the life of a hold, at first or anew, though never with an
// earlier deadline than before.
func (c *Clock) Begin(key, uid string, version uint64, exp time.Duration) {
	now := c.nextMilli()
	n := name{key, uid}
	l, ok := c.leases[n]
	if !ok {
		l = &lease{name: n, since: now}
		c.leases[n] = l
		c.queue.Push(l) // where it belongs once its deadline is known
		if c.Began != nil {
			c.Began(key, uid)
		}
	}
	if version != l.version {
		l.heard, l.known = 0, version < l.version
		l.version = version
	}
	l.doubted = false
	l.deadline = max(l.deadline, now+exp.Milliseconds())
	l.look = l.deadline
	heap.Fix(&c.queue, l.index)
}

func (c *Clock) end(n name) {
	if l, ok := c.leases[n]; ok {
		heap.Remove(&c.queue, l.index)
		delete(c.leases, n)
		if c.Ended != nil {
			c.Ended(n.key, n.uid, c.heldFor(l))
		}
	}
}

// Left says how long the hold of uid on key will live on without being
// extended, rounded down to whole milliseconds, and for how long it has been
// held. Both are zero when there is no such hold.
func (c *Clock) Left(key, uid string) (left, held time.Duration) {
	l, ok := c.leases[name{key, uid}]
	if !ok {
		return 0, 0
	}
	return millis(max(0, l.deadline-c.nextMilli())), c.heldFor(l)
}

func (c *Clock) heldFor(l *lease) time.Duration { return millis(c.nextMilli() - l.since) }

// Know notes that the owner of a hold has known of it since before.
func (c *Clock) Know(key, uid string) {
	if l, ok := c.leases[name{key, uid}]; ok {
		l.known = true
	}
}

// Tell notes that an answer is under way that tells the owner of these holds.
// It gives the end of the one that ends first, with a monotonic reading; the zero
// time if there is none of them. Doubt must follow if the answer cannot be given
// and what it tells is to be taken back.
func (c *Clock) Tell(uid string, tokens []holdfast.Token) (until time.Time) {
	first := int64(math.MaxInt64)
	c.each(uid, tokens, func(l *lease) {
		l.heard = max(l.heard, l.heard+1) // or as many as there is room for
		first = min(first, l.deadline)
	})
	if first == math.MaxInt64 {
		return time.Time{}
	}
	return c.start.Add(millis(first))
}

// Doubt notes that an answer of Tell will not be given. It yields the tokens
// of those holds of which the owner does not hear from another one; whoever
// asks means to take them back.
func (c *Clock) Doubt(uid string, tokens []holdfast.Token) []holdfast.Token {
	var unknown []holdfast.Token
	c.each(uid, tokens, func(l *lease) {
		if l.heard--; l.heard <= 0 && !l.known {
			l.doubted = true
			unknown = append(unknown, holdfast.Token{Key: l.key, Version: l.version})
		}
	})
	return unknown
}

func (c *Clock) each(uid string, tokens []holdfast.Token, do func(*lease)) {
	for _, token := range tokens {
		if l, ok := c.leases[name{token.Key, uid}]; ok && l.version == token.Version {
			do(l)
		}
	}
}

// Doubted says whether the hold of uid on key was yielded by Due or Doubt,
// and nothing has been heard of it since: it may be over at any moment.
func (c *Clock) Doubted(key, uid string) bool {
	l, ok := c.leases[name{key, uid}]
	return ok && l.doubted
}

// Next is when to call Due next, with a monotonic reading; the zero time if
// there is nothing to come back for.
func (c *Clock) Next() time.Time {
	if len(c.queue) == 0 {
		return time.Time{}
	}
	return c.start.Add(millis(c.queue[0].look))
}

// Due yields the holds that have run out, the longest ago first, at most
// most of them. They stay in the clock until Follow hears that they are over
// or live anew; if it hears nothing, they are yielded again a little later.
func (c *Clock) Due(most int, yield func(key, uid string, version uint64)) {
	now := time.Since(c.start).Milliseconds()
	for range most {
		if len(c.queue) == 0 || c.queue[0].look > now {
			return
		}
		l := c.queue[0]
		yield(l.key, l.uid, l.version)
		l.doubted = true
		l.look = now + again.Milliseconds()
		heap.Fix(&c.queue, 0)
	}
}

// again is when an expiry that nobody confirmed is yielded again.
const again = time.Second

// nextMilli is the present in whole milliseconds from start, rounded up.
func (c *Clock) nextMilli() int64 {
	return int64((time.Since(c.start) + time.Millisecond - 1) / time.Millisecond)
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// queue is a heap of leases, the first deadline first.
type queue []*lease

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].look < q[j].look }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(l any) {
	l.(*lease).index = len(*q)
	*q = append(*q, l.(*lease))
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	l := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return l
}
