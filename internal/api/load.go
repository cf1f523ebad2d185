package api

import (
	"sync/atomic"
	"time"

	"holdfast/internal/wire"
)

// load is how many calls are under way, standing in line included. When they
// are too many, those are turned away first who would stay the longest, and
// those last who make room: requests that would stand in line from three
// quarters of the limit on, others that lock or look from seven eighths, and
// only at the limit those that unlock and extend.
type load struct {
	limit int64 // zero is none
	now   atomic.Int64
}

// begin counts a call, and says whether there is room for it. If so, end must
// follow.
func (l *load) begin(op wire.Op, wait time.Duration) bool {
	if l.limit == 0 {
		return true
	}
	room := l.limit
	switch {
	case op == wire.OpLock && wait > 0:
		room -= room / 4
	case op == wire.OpLock, op == wire.OpCheck:
		room -= room / 8
	}
	for {
		now := l.now.Load()
		if now >= room {
			return false // without having counted: others need the room
		}
		if l.now.CompareAndSwap(now, now+1) {
			return true
		}
	}
}

func (l *load) end() {
	if l.limit != 0 {
		l.now.Add(-1)
	}
}

// pace lets so many things a second pass, and at most as many at once.
type pace struct {
	perSecond int
	left      float64
	last      time.Time
}

// pass says whether one more may pass now.
func (p *pace) pass(now time.Time) bool {
	rate := float64(p.perSecond)
	if p.last.IsZero() {
		p.left = rate
	} else {
		p.left = min(rate, p.left+rate*now.Sub(p.last).Seconds())
	}
	p.last = now
	if p.left < 1 {
		return false
	}
	p.left--
	return true
}
