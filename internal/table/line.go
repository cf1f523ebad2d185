package table

import (
	"slices"
	"time"

	"holdfast"
)

// request is what an owner asks, with its place in line. A request is never
// changed, only replaced, so that a snapshot may share it.
type request struct {
	place uint64
	uid   string
	asks  []holdfast.Ask
	exp   time.Duration
	note  string
	asked uint64 // the command that asked it, for the first time or again
}

func byPlace(a, b *request) bool { return a.place < b.place }

// waiter is a request in line: it has a spot in the line of each key that it
// asks, those included that it holds already.
type waiter struct {
	*request
	spots []spot
	due   bool // among the candidates
}

func (w *waiter) asksFor(key string) bool {
	return slices.ContainsFunc(w.asks, func(ask holdfast.Ask) bool { return ask.Key == key })
}

// spot is the place of a waiter in the line of one key.
type spot struct {
	of         *waiter
	ask        *holdfast.Ask
	prev, next *spot
}

// line is everybody who waits for one key, first come first.
type line struct {
	first, last *spot

	// exclusive is the first spot that asks for exclusive, and limited counts
	// those that ask for a limit. They tell where shared requests without
	// limits may be passed over in one step, since those are in nobody's way
	// but that of an exclusive one.
	exclusive *spot
	limited   int

	length int // spots
}

// owner is a uid with requests in line, or with holds that others wait for.
type owner struct {
	uid     string
	waiters []*waiter // first come first
	wanted  int       // holds whose key has a line
}

// armed says whether both are true: then, and only then, an owner's requests
// may pass over somebody in line (rule 3).
func (o *owner) armed() bool { return len(o.waiters) > 0 && o.wanted > 0 }

func (t *Table) owner(uid string) *owner {
	o, ok := t.owners[uid]
	if !ok {
		o = &owner{uid: uid}
		t.owners[uid] = o
	}
	return o
}

// sort puts an owner that has changed where it belongs.
func (t *Table) sort(o *owner) {
	if len(o.waiters) == 0 && o.wanted == 0 {
		delete(t.owners, o.uid)
	}
	if o.armed() {
		t.armed[o] = struct{}{}
	} else {
		delete(t.armed, o)
	}
}

// want counts that one more, or one less, of uid's holds is waited for.
func (t *Table) want(uid string, more int) {
	o := t.owner(uid)
	o.wanted += more
	t.sort(o)
}

// wantHolders does that for all holders of a key.
func (t *Table) wantHolders(key string, more int) {
	t.eachHold(key, func(h *hold) bool {
		t.want(h.UID, more)
		return true
	})
}

// waitersOf gives the requests of uid in line, first come first.
func (t *Table) waitersOf(uid string) []*waiter {
	if o, ok := t.owners[uid]; ok {
		return o.waiters
	}
	return nil
}

// waitedFor says whether key has a line.
func (t *Table) waitedFor(key string) bool {
	if t.lines.Len() == 0 {
		return false
	}
	_, ok := t.lines.Get(key)
	return ok
}

// join puts a request at the end of the lines of its keys.
func (t *Table) join(r *request) uint64 {
	t.place++
	w := t.stand(&request{place: t.place, uid: r.uid, asks: r.asks, exp: r.exp, note: r.note, asked: t.applied})
	for i := range w.asks {
		t.note(holdfast.EventWaiting, w.request, &w.asks[i])
	}
	t.joined(w)
	return w.place
}

// stand makes a request with the highest place so far a waiter.
func (t *Table) stand(r *request) *waiter {
	w := &waiter{request: r, spots: make([]spot, len(r.asks))}
	for i := range w.spots {
		s := &w.spots[i]
		s.of, s.ask = w, &r.asks[i]
		l, ok := t.lines.Get(s.ask.Key)
		if !ok {
			l = &line{}
			t.lines.Set(s.ask.Key, l)
			t.wantHolders(s.ask.Key, +1)
		}
		l.push(s)
	}
	o := t.owner(r.uid)
	o.waiters = append(o.waiters, w)
	t.sort(o)
	t.requests.Set(r)
	t.asked += len(r.asks)
	return w
}

// leave takes a waiter out of all its lines.
func (t *Table) leave(w *waiter) {
	for i := range w.spots {
		s := &w.spots[i]
		l, _ := t.lines.Get(s.ask.Key)
		l.remove(s)
		if l.first == nil {
			t.wantHolders(s.ask.Key, -1)
			t.lines.Delete(s.ask.Key)
		}
	}
	o := t.owner(w.uid)
	o.waiters = slices.DeleteFunc(o.waiters, func(other *waiter) bool { return other == w })
	t.sort(o)
	t.requests.Delete(w.request)
	t.asked -= len(w.asks)
}

// findWaiter finds the place of a request that already stands in line: a
// waiter is known by its uid and by what it asks (rule 9).
func (t *Table) findWaiter(r *request) *waiter {
	for _, w := range t.waitersOf(r.uid) {
		if slices.Equal(w.asks, r.asks) {
			return w
		}
	}
	return nil
}

// refresh gives a waiter the exp and the note of the same request asked
// again.
func (t *Table) refresh(w *waiter, again *request) {
	changed := *w.request
	changed.exp, changed.note, changed.asked = again.exp, again.note, t.applied
	w.request = &changed
	t.requests.Set(w.request)
}

// waiterAt gives the waiter with this place, or nil.
func (t *Table) waiterAt(place uint64) *waiter {
	r, ok := t.requests.Get(&request{place: place})
	if !ok {
		return nil
	}
	for _, w := range t.waitersOf(r.uid) {
		if w.place == place {
			return w
		}
	}
	return nil
}

func (l *line) push(s *spot) {
	l.length++
	s.prev = l.last
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
	if l.exclusive == nil && s.ask.Mode == holdfast.Exclusive {
		l.exclusive = s
	}
	if s.ask.Limit > 0 {
		l.limited++
	}
}

func (l *line) remove(s *spot) {
	l.length--
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	if s.ask.Limit > 0 {
		l.limited--
	}
	// The first exclusive one only ever moves back, so all these steps
	// together are as many as the spots.
	for l.exclusive == s || l.exclusive != nil && l.exclusive.ask.Mode != holdfast.Exclusive {
		l.exclusive = l.exclusive.next
	}
}
