package table

import (
	"container/heap"

	"holdfast"
)

// After a command, whoever may go must go, first come first. These are the
// changes that can let a waiter in, and whom each of them makes due for
// another look:
//
//   - opened: a hold has ended, or somebody has left the line, or nobody minds
//     any more who fills its limit. Then those in the line of that key, up to
//     the first who shuts out all behind it; and behind it those for whom it
//     does not count, since it waits for what they hold.
//   - gained: an owner has got a hold. Then its other requests, which may be
//     covered now; and, since who waits for that hold now waits for all that
//     its owner waits for, the requests of all those owners: more may be
//     passed over for them.
//   - waits: an owner has joined a line. Then, if somebody can be waiting for
//     it (for what it holds, or behind another of its requests), for the same
//     reason, those whom it now waits for.
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
		tokens, version, prior := t.grant(w.request, nil)
		t.out.Grants = append(t.out.Grants, Grant{
			Place: w.place, UID: w.uid, Version: version, Tokens: tokens, Prior: prior,
		})
		for i := range w.asks {
			if w.asks[i].Limit > 0 {
				t.opened(w.asks[i].Key)
			}
		}
	}
}

// look makes w due.
func (t *Table) look(w *waiter) {
	if !w.due {
		w.due = true
		heap.Push(&t.due, w)
	}
}

func (t *Table) opened(key string) {
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
	sharing := 0 // owners who hold the key or would; those asking several times are left out
	if first != nil && l.limited > 0 {
		sharing = t.countShared(key, "", holdfast.MaxLimit)
	}
	limit := holdfast.MaxLimit + 1 // the smallest asked so far
	for s := l.first; s != nil; s = s.next {
		others := t.waiting[s.of.uid]
		for _, w := range others {
			t.look(w)
		}
		if t.covered(s.of.uid, s.ask) {
			continue
		}
		if len(others) == 1 {
			sharing++
		}
		if s.ask.Limit > 0 {
			limit = min(limit, s.ask.Limit)
		}
		if s.ask.Mode == holdfast.Exclusive || sharing >= limit {
			if s.next != nil {
				t.lookBehind(l, s)
			}
			return
		}
	}
}

// lookBehind makes those due for whom one of the spots up to last may not
// count.
func (t *Table) lookBehind(l *line, last *spot) {
	r := reach{t: t}
	for s := l.first; s != last.next; s = s.next {
		r.from(s.of)
	}
	r.look()
}

func (t *Table) gained(uid string) {
	if len(t.waiting[uid]) > 0 {
		r := reach{t: t}
		r.add(uid)
		r.look()
	}
}

func (t *Table) waits(w *waiter) {
	if len(t.waiting[w.uid]) > 1 || t.wanted(w.uid) {
		r := reach{t: t}
		r.from(w)
		r.look()
	}
}

// reach gathers owners who are waited for, directly or through others.
type reach struct {
	t     *Table
	met   map[string]bool
	order []string
}

func (r *reach) from(w *waiter) {
	r.t.waitsFor(w, "", func(uid string, _ bool) bool {
		r.add(uid)
		return true
	})
}

func (r *reach) add(uid string) {
	if len(r.t.waiting[uid]) == 0 || r.met[uid] {
		return // an owner with nothing in line waits for nobody, and cannot be let in
	}
	if r.met == nil {
		r.met = make(map[string]bool)
	}
	r.met[uid] = true
	r.order = append(r.order, uid)
}

// look follows everybody gathered to whom they wait for, and makes all their
// requests due.
func (r *reach) look() {
	for i := 0; i < len(r.order); i++ {
		for _, w := range r.t.waiting[r.order[i]] {
			r.t.look(w)
			r.from(w)
		}
	}
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
