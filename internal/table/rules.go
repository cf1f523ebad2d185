package table

import "holdfast"

// obstacle is who is in the way of a request on one key: a holder, or a
// waiter that came earlier.
type obstacle struct {
	ask    *holdfast.Ask // what the request asks
	hold   *hold
	waiter *spot
}

func (o *obstacle) uid() string {
	if o.hold != nil {
		return o.hold.UID
	}
	return o.waiter.of.uid
}

// grantable says whether r may go: rules 1 (all of its keys or none), 2
// (compatible), 3 (fair) and 4 (what is held already is in order) in one
// question.
func (t *Table) grantable(r *request) bool {
	s := search{t: t, target: r.uid}
	return t.obstacles(r, s.waitsForTarget, func(obstacle) bool { return false })
}

// nameBlockers tells the outcome who is in the way of r.
func (t *Table) nameBlockers(r *request) {
	s := search{t: t, target: r.uid}
	t.obstacles(r, s.waitsForTarget, func(o obstacle) bool {
		b := holdfast.Blocker{Key: o.ask.Key, UID: o.uid()}
		if o.hold != nil {
			b.Version, b.Mode, b.Note = o.hold.Version, o.hold.Mode, o.hold.Note
		} else {
			b.Mode, b.Note, b.Waiting = o.waiter.ask.Mode, o.waiter.of.note, true
		}
		t.out.Blockers = append(t.out.Blockers, b)
		return len(t.out.Blockers) < holdfast.MaxBlockers
	})
}

// obstacles yields everybody who is in the way of r: per key the holders in
// the order of uid, then the waiters with an earlier place. Those waiters
// whom passOver names do not count. It says whether it came to the end: with
// a yield that always stops, whether r may go.
func (t *Table) obstacles(r *request, passOver func(*waiter) bool, yield func(obstacle) bool) bool {
	for i := range r.asks {
		ask := &r.asks[i]
		first := t.firstHold(ask.Key)
		if first != nil {
			if t.covered(r.uid, ask) {
				continue
			}
			if !t.holdersInTheWay(r.uid, ask, first, yield) {
				return false
			}
		}
		if t.lines.Len() == 0 {
			continue
		}
		if l, ok := t.lines.Get(ask.Key); ok && !t.lineInTheWay(r, ask, l, passOver, yield) {
			return false
		}
	}
	return true
}

// covered says whether uid already holds what is asked.
func (t *Table) covered(uid string, ask *holdfast.Ask) bool {
	own := t.holdOf(uid, ask.Key)
	return own != nil && own.Covers(ask.Mode)
}

// holdersInTheWay yields the holders that rule 2 sets against an ask of uid
// that is not covered. first is the first hold on the key.
func (t *Table) holdersInTheWay(uid string, ask *holdfast.Ask, first *hold, yield func(obstacle) bool) bool {
	if ask.Mode == holdfast.Shared && first.Mode == holdfast.Shared &&
		(ask.Limit == 0 || t.countShared(ask.Key) < ask.Limit) {
		return true
	}
	goOn := true
	t.eachHold(ask.Key, func(h *hold) bool {
		if h.UID != uid {
			goOn = yield(obstacle{ask: ask, hold: h})
		}
		return goOn
	})
	return goOn
}

// countShared counts the shared holds on key. Whoever asks for a limit wants to
// know, and they may be very many: what has been counted once is kept until the
// last of them has gone.
func (t *Table) countShared(key string) int {
	n, kept := t.sharing[key]
	if kept {
		return n
	}
	t.eachHold(key, func(h *hold) bool {
		if h.Mode == holdfast.Shared {
			n++
		}
		return true
	})
	if n > 1 {
		t.sharing[key] = n
	}
	return n
}

// share keeps the count of those who share the key of h, if there is one.
func (t *Table) share(h *hold, more int) {
	if len(t.sharing) == 0 || h.Mode != holdfast.Shared {
		return
	}
	n, kept := t.sharing[h.Key]
	switch n += more; {
	case !kept:
	case n == 0:
		delete(t.sharing, h.Key)
	default:
		t.sharing[h.Key] = n
	}
}

// lineInTheWay yields those in line before r who count as holders already
// (rule 3) and with whom r could not share the key.
func (t *Table) lineInTheWay(r *request, ask *holdfast.Ask, l *line, passOver func(*waiter) bool, yield func(obstacle) bool) bool {
	s := l.first
	if ask.Mode == holdfast.Shared && l.limited == 0 && ask.Limit == 0 {
		s = l.exclusive // whoever stands before it shares
	}
	ahead := crowd{t: t, key: ask.Key, holders: -1}
	for ; s != nil && s.of.place < r.place; s = s.next {
		v := s.of
		if v.uid == r.uid || t.covered(v.uid, s.ask) || passOver != nil && passOver(v) {
			continue
		}
		inTheWay := ask.Mode == holdfast.Exclusive || s.ask.Mode == holdfast.Exclusive
		if !inTheWay {
			inTheWay = ahead.add(s, ask.Limit)
		}
		if inTheWay && !yield(obstacle{ask: ask, waiter: s}) {
			return false
		}
	}
	return true
}

// crowd counts the owners who share a key ahead of a request: those who hold
// it, and those in line who count as if they did.
type crowd struct {
	t       *Table
	key     string
	holders int // -1 until it is needed
	waiters int
	twice   map[string]bool // owners with several requests in line that have been counted
}

// add counts the owner of s, and says whether s is in the way of a request
// with the given limit: because the request would fill the limit of s, or
// because s fills the limit of the request.
func (c *crowd) add(s *spot, limit int) bool {
	if s.ask.Limit > 0 || limit > 0 {
		c.countHolders()
	}
	counted := 0
	if len(c.t.waitersOf(s.of.uid)) > 1 {
		if c.twice[s.of.uid] {
			counted = 1
		} else if c.twice == nil {
			c.twice = map[string]bool{s.of.uid: true}
		} else {
			c.twice[s.of.uid] = true
		}
	}
	others := c.holders + c.waiters - counted
	c.waiters += 1 - counted
	return s.ask.Limit > 0 && others+1 >= s.ask.Limit ||
		limit > 0 && c.holders+c.waiters >= limit
}

func (c *crowd) countHolders() {
	if c.holders < 0 {
		c.holders = c.t.countShared(c.key)
	}
}
