package table

import (
	"slices"

	"holdfast"
)

// search answers which waiters wait, directly or through others, for
// something that target holds. It walks from owner to owner, each at most
// once however many questions are asked.
type search struct {
	t      *Table
	target string

	known map[string]bool // owners that were walked through: whether they wait for target
}

// waitsForTarget says whether v waits for what target holds, and so does not
// stand in target's way.
func (s *search) waitsForTarget(v *waiter) bool {
	if !s.t.wanted(s.target) {
		return false
	}
	if s.known == nil {
		s.known = make(map[string]bool)
	}
	var walk []string // owners reached, in the order found
	found := s.step(v, &walk)
	for i := 0; i < len(walk) && !found; i++ {
		for _, w := range s.t.waitersOf(walk[i]) {
			if found = s.step(w, &walk); found {
				break
			}
		}
	}
	if found {
		// Which of those on the walk led here is not known; v did.
		for _, uid := range walk {
			delete(s.known, uid)
		}
		s.known[v.uid] = true
	}
	return found
}

// step looks at whom w waits for. It says whether that leads to what target
// holds, and adds owners not met before to the walk.
func (s *search) step(w *waiter, walk *[]string) bool {
	return !s.t.waitsFor(w, s.target, func(uid string, holds bool) bool {
		if uid == s.target {
			return !holds
		}
		leads, met := s.known[uid]
		if !met {
			s.known[uid] = false
			*walk = append(*walk, uid)
		}
		return !leads
	})
}

// waitsFor yields the owners whom w waits for, nobody being passed over:
// those whose hold is in its way, and those whose earlier request is. Of the
// latter it may leave out some who are reached through one that it yields,
// unless that one is end, with whom the walk ends.
func (t *Table) waitsFor(w *waiter, end string, yield func(uid string, holds bool) bool) bool {
	for i := range w.spots {
		s := &w.spots[i]
		first := t.firstHold(s.ask.Key)
		if first != nil {
			if t.covered(w.uid, s.ask) {
				continue
			}
			if !t.holdersInTheWay(w.uid, s.ask, first, func(o obstacle) bool { return yield(o.hold.UID, true) }) {
				return false
			}
		}
		l, _ := t.lines.Get(s.ask.Key)
		if l.limited > 0 {
			if !t.lineInTheWay(w.request, s.ask, l, nil, func(o obstacle) bool { return yield(o.uid(), false) }) {
				return false
			}
		} else if !t.nearestInTheWay(s, end, yield) {
			return false
		}
	}
	return true
}

// nearestInTheWay yields the owners ahead of s in a line without limits, from
// the nearest on, up to one that asks for exclusive: everybody further ahead
// is in the way of that one, or is its owner. This keeps a walk through a
// long line as short as the line.
func (t *Table) nearestInTheWay(s *spot, end string, yield func(uid string, holds bool) bool) bool {
	for v := s.prev; v != nil; v = v.prev {
		exclusive := v.ask.Mode == holdfast.Exclusive
		if !exclusive && s.ask.Mode == holdfast.Shared || v.of.uid == s.of.uid || t.covered(v.of.uid, v.ask) {
			continue
		}
		if !yield(v.of.uid, false) {
			return false
		}
		if exclusive && v.of.uid != end {
			return true
		}
	}
	return true
}

// wanted says whether somebody stands in line for a key that uid holds.
func (t *Table) wanted(uid string) bool {
	o, ok := t.owners[uid]
	return ok && o.wanted > 0
}

// circle gives the shortest circle of owners that r would close by waiting,
// each of them waiting for what the next one holds; nil if there is none.
// See the package comment for what a limit means here.
func (t *Table) circle(r *request) []holdfast.Link {
	if !t.wanted(r.uid) {
		return nil
	}
	stuck := t.stuckBehind(r)
	if t.clear(r, stuck) {
		return nil
	}
	// Breadth first from r back to its owner, over those who are stuck.
	type step struct {
		link holdfast.Link // the owner, and the key for which it waits
		from int           // the step before
	}
	var steps []step
	next := []step{{link: holdfast.Link{UID: r.uid}, from: -1}}
	met := map[string]bool{}
	for len(next) > 0 {
		s := next[0]
		next = next[1:]
		requests := []*request{r}
		if s.from >= 0 {
			requests = t.requestsOf(s.link.UID)
		}
		for _, q := range requests {
			done := !t.eachHolderInTheWay(q, func(o obstacle) bool {
				uid := o.hold.UID
				if !stuck[uid] || met[uid] {
					return true
				}
				met[uid] = true
				s.link.Key = o.ask.Key
				steps = append(steps, s)
				next = append(next, step{link: holdfast.Link{UID: uid}, from: len(steps) - 1})
				return uid != r.uid
			})
			if done {
				var cycle []holdfast.Link
				for i := len(steps) - 1; i >= 0; i = steps[i].from {
					cycle = append(cycle, steps[i].link)
				}
				slices.Reverse(cycle)
				return cycle
			}
		}
	}
	return nil
}

// stuckBehind gives the owners whom r waits for, directly or through others'
// holds, and its own, without those that can go on once the others that can
// have given back what they hold.
func (t *Table) stuckBehind(r *request) map[string]bool {
	stuck := map[string]bool{r.uid: true}
	order := []string{r.uid}
	requestsOf := func(uid string) []*request {
		if uid == r.uid {
			return append(t.requestsOf(uid), r)
		}
		return t.requestsOf(uid)
	}
	for i := 0; i < len(order); i++ {
		for _, q := range requestsOf(order[i]) {
			t.eachHolderInTheWay(q, func(o obstacle) bool {
				if !stuck[o.hold.UID] {
					stuck[o.hold.UID] = true
					order = append(order, o.hold.UID)
				}
				return true
			})
		}
	}
	// From the far end, where those are who wait for nobody; then from the near one,
	// and so on: a long chain may run either way.
	for changed := true; changed; slices.Reverse(order) {
		changed = false
		for _, uid := range slices.Backward(order) {
			if !stuck[uid] || slices.ContainsFunc(requestsOf(uid), func(q *request) bool { return !t.clear(q, stuck) }) {
				continue
			}
			delete(stuck, uid)
			changed = true
		}
	}
	return stuck
}

// clear says whether r would have no holder in its way if everybody but the
// stuck gave back what they hold.
func (t *Table) clear(r *request, stuck map[string]bool) bool {
	for i := range r.asks {
		ask := &r.asks[i]
		if t.covered(r.uid, ask) {
			continue
		}
		sharing := 0
		clear := true
		t.eachHold(ask.Key, func(h *hold) bool {
			if h.UID == r.uid || !stuck[h.UID] {
				return true
			}
			sharing++
			clear = ask.Mode == holdfast.Shared && h.Mode == holdfast.Shared && (ask.Limit == 0 || sharing < ask.Limit)
			return clear
		})
		if !clear {
			return false
		}
	}
	return true
}

// eachHolderInTheWay yields the holders in the way of r, and nobody in line.
func (t *Table) eachHolderInTheWay(r *request, yield func(obstacle) bool) bool {
	for i := range r.asks {
		ask := &r.asks[i]
		first := t.firstHold(ask.Key)
		if first == nil || t.covered(r.uid, ask) {
			continue
		}
		if !t.holdersInTheWay(r.uid, ask, first, yield) {
			return false
		}
	}
	return true
}

func (t *Table) requestsOf(uid string) []*request {
	waiters := t.waitersOf(uid)
	requests := make([]*request, len(waiters))
	for i, w := range waiters {
		requests[i] = w.request
	}
	return requests
}
