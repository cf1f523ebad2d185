package table

import (
	"container/heap"
	"slices"

	"holdfast"
)

// After a command, whoever may go must go, first come first. Looking at
// everybody would take too long, so each change makes due for another look
// only those whom it can let in:
//
//   - A hold has ended, or somebody has left a line, or does not mind any
//     more who fills its limit: those in the line of that key, up to the first who
//     shuts out all behind it. If what has gone would have shared, and nobody in
//     that line has a limit, it was in the way of exclusive requests alone.
//   - An owner has got a hold: its other requests, which may be covered now.
//     Who asks a key that it holds is armed, as the next ones are.
//   - And whenever somebody has come to wait for somebody else, those for
//     whom more may be passed over in line than before. These are among the
//     armed owners: those who wait themselves while others wait for what they
//     hold. There are few of them or none, unless callers nest their locks; and
//     most of those stand first in their lines, or behind an exclusive hold.
//
// A look too many costs time, one too few would leave somebody waiting who
// may go; the property test compares with a model that looks at everybody.

// settle lets in whoever may go.
func (t *Table) settle() {
	for len(t.due) > 0 {
		w := heap.Pop(&t.due).(*waiter)
		w.due = false
		if !t.grantable(w.request) {
			continue
		}
		t.leave(w)
		t.out.Grants = append(t.out.Grants, Grant{Place: w.place, UID: w.uid, Tokens: t.grant(w.request, nil)})
	}
}

// look makes w due.
func (t *Table) look(w *waiter) {
	if !w.due {
		w.due = true
		heap.Push(&t.due, w)
	}
}

// opened is called when something is gone that was in the way on key. Shared
// says that it was a share without a limit of its own; anything else counts as
// exclusive.
func (t *Table) opened(key string, mode holdfast.Mode) {
	if t.lines.Len() == 0 {
		return
	}
	l, ok := t.lines.Get(key)
	if !ok {
		return
	}
	first := t.firstHold(key)
	if first != nil && first.Mode == holdfast.Exclusive {
		return // everybody in line waits for it, or has its owner
	}
	s := l.first
	if mode == holdfast.Shared && l.limited == 0 {
		s = l.exclusive
	}
	sharing := 0 // owners who hold the key or would; those asking several times are left out
	if l.limited > 0 {
		sharing = t.countShared(key)
	}
	for ; s != nil; s = s.next {
		t.look(s.of)
		if t.covered(s.of.uid, s.ask) {
			continue
		}
		if s.ask.Mode == holdfast.Exclusive || s.ask.Limit > 0 && sharing+1 >= s.ask.Limit {
			t.lookBehind(s, l)
			return
		}
		if len(t.waitersOf(s.of.uid)) == 1 {
			sharing++
		}
	}
}

// lookBehind makes those due whom s does not shut out, though they stand behind
// it in the line l: other requests of its owner, and who may pass it over.
func (t *Table) lookBehind(s *spot, l *line) {
	if s.next == nil {
		return
	}
	for _, w := range t.waitersOf(s.of.uid) {
		if w.asksFor(s.ask.Key) {
			t.look(w)
		}
	}
	if l.length > len(t.armed) {
		t.lookAtArmed()
		return
	}
	for s = s.next; s != nil; s = s.next {
		if t.owners[s.of.uid].armed() {
			t.look(s.of)
		}
	}
}

// gained is called when r has been granted the hold h.
func (t *Table) gained(r *request, h *hold) {
	l, waitedFor := t.lines.Get(h.Key)
	asksMore := len(t.waitersOf(h.UID)) > 0
	if asksMore || waitedFor && l.limited > 0 {
		t.lookAtArmed() // otherwise whoever waits for h has waited for r, or for something else of its owner
	}
	// A waiter's limit does not count any more once its owner holds the key.
	if waitedFor && (asksMore && l.limited > 0 || t.shutOut(r, h, l)) {
		t.opened(h.Key, holdfast.Exclusive)
	}
}

// shutOut says whether r may have shut others out of the line l, in which it stood
// until it was granted h: because they would have filled its limit.
func (t *Table) shutOut(r *request, h *hold, l *line) bool {
	if r.place == newcomer || h.Limit == 0 {
		return false
	}
	sharing := t.countShared(h.Key)
	if l.first.of.place < r.place {
		sharing += l.length // or fewer: those who stand ahead of it
	}
	return sharing >= h.Limit
}

// lost is called when uid has lost a hold, or a better one: what it asks in
// line may not be covered any more, and so may wait for others.
func (t *Table) lost(uid string) {
	if len(t.waitersOf(uid)) > 0 {
		t.lookAtArmed()
	}
}

// joined is called when a request has joined the line.
func (t *Table) joined(w *waiter) {
	if o := t.owner(w.uid); len(o.waiters) > 1 || o.wanted > 0 {
		t.lookAtArmed() // whoever waited for its owner waits for others through it
	}
}

// lookAtArmed makes those due for whom more may be passed over than before.
func (t *Table) lookAtArmed() {
	for o := range t.armed {
		for _, w := range o.waiters {
			if w.behind() && !t.shut(w) {
				t.look(w)
			}
		}
	}
}

// behind says whether somebody stands before w whom it could pass over.
func (w *waiter) behind() bool {
	return slices.ContainsFunc(w.spots, func(s spot) bool { return s.prev != nil })
}

// shut says whether somebody holds, alone, what w asks for. When that ends, w
// is looked at for it.
func (t *Table) shut(w *waiter) bool {
	return slices.ContainsFunc(w.asks, func(ask holdfast.Ask) bool {
		first := t.firstHold(ask.Key)
		return first != nil && first.Mode == holdfast.Exclusive && first.UID != w.uid
	})
}

// candidates is a heap of waiters, first come first.
type candidates []*waiter

func (c candidates) Len() int           { return len(c) }
func (c candidates) Less(i, j int) bool { return c[i].place < c[j].place }
func (c candidates) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(w any)        { *c = append(*c, w.(*waiter)) }
func (c *candidates) Pop() any {
	last := len(*c) - 1
	w := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	return w
}
