package table

import (
	"slices"
	"strings"

	"holdfast"
)

// KeyState is one key as the table knows it: holds in the order of uid,
// waiters first come first. The slices belong to the receiver.
type KeyState struct {
	Key     string
	Holds   []holdfast.Hold
	Waiters []Waiter
}

// Waiter is a request in line for one key.
type Waiter struct {
	Place uint64
	UID   string
	Mode  holdfast.Mode
	Limit int
	Note  string
}

// Version is the last version granted.
func (t *Table) Version() uint64 { return t.version }

// Applied counts the commands carried out.
func (t *Table) Applied() uint64 { return t.applied }

// EachHold yields every hold, in the order of key and uid.
func (t *Table) EachHold(yield func(*holdfast.Hold)) {
	t.byKey.Scan(func(h *hold) bool {
		if h != &nobody {
			yield(&h.Hold)
		}
		return true
	})
}

// Holds counts the holds.
func (t *Table) Holds() int { return t.byKey.Len() - 1 } // without nobody

// Waiters counts the requests in line.
func (t *Table) Waiters() int { return t.requests.Len() }

// Held says whether anybody holds one of the keys.
func (t *Table) Held(keys []string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return t.firstHold(key) != nil })
}

// InLine says whether somebody stands at a place in line.
func (t *Table) InLine(place uint64) bool { return t.waiterAt(place) != nil }

// Blockers says who is in the way of the request at a place in line. The
// slice is valid until the next Apply.
func (t *Table) Blockers(place uint64) []holdfast.Blocker {
	t.out.reset()
	if w := t.waiterAt(place); w != nil {
		t.nameBlockers(w.request)
	}
	return t.out.Blockers
}

// Prolongs gives the holds that a Lock or Extend command would start anew, if
// that is all that it would do and they would change in nothing that the
// table keeps; nil otherwise.
func (t *Table) Prolongs(cmd *Command) []holdfast.Hold {
	var holds []holdfast.Hold
	same := func(h *hold) bool {
		if h == nil || cmd.Exp > h.Exp || cmd.Note != "" && cmd.Note != h.Note {
			return false
		}
		holds = append(holds, h.Hold)
		return true
	}
	switch {
	case cmd.Op == Lock:
		for i := range cmd.Keys {
			if !t.covered(cmd.UID, &cmd.Keys[i]) || !same(t.holdOf(cmd.UID, cmd.Keys[i].Key)) {
				return nil
			}
		}
	case cmd.Op == Extend && cmd.Tokens != nil:
		for _, token := range cmd.Tokens {
			if !same(t.named(cmd.UID, token)) {
				return nil
			}
		}
	case cmd.Op == Extend:
		for _, h := range t.holdsOf(cmd.UID) {
			if !same(h) {
				return nil
			}
		}
	}
	return holds
}

// Places gives the places in line, first come first.
func (t *Table) Places() []uint64 {
	places := make([]uint64, 0, t.requests.Len())
	t.EachPlace(func(place uint64) bool {
		places = append(places, place)
		return true
	})
	return places
}

// EachPlace yields the places in line, first come first, until yield says no.
func (t *Table) EachPlace(yield func(place uint64) bool) {
	t.requests.Scan(func(r *request) bool { return yield(r.place) })
}

// Key gives the state of one key, held or not.
func (t *Table) Key(key string) KeyState {
	state := KeyState{Key: key}
	t.eachHold(key, func(h *hold) bool {
		state.Holds = append(state.Holds, h.Hold)
		return true
	})
	if l, ok := t.lines.Get(key); ok {
		for s := l.first; s != nil; s = s.next {
			state.Waiters = append(state.Waiters, Waiter{
				Place: s.of.place, UID: s.of.uid, Mode: s.ask.Mode, Limit: s.ask.Limit, Note: s.of.note,
			})
		}
	}
	return state
}

// List gives the first limit keys in bytewise order that somebody holds or
// waits for, that begin with prefix and stand behind after; if uid is not
// empty, only those on which uid holds or waits, and if waited, only those that
// somebody waits for. More says whether others follow.
func (t *Table) List(prefix, uid, after string, waited bool, limit int) (page []KeyState, more bool) {
	keys := t.keys
	switch {
	case uid != "":
		keys = func(from string, yield func(string) bool) { t.keysOf(uid, from, yield) }
	case waited:
		keys = t.keysWaitedFor
	}
	keys(max(prefix, after), func(key string) bool {
		if key == after && after != "" {
			return true
		}
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		if waited && !t.waitedFor(key) {
			return true
		}
		if more = len(page) == limit; !more {
			page = append(page, t.Key(key))
		}
		return !more
	})
	return page, more
}

// keys yields, in order, the keys from from on that are held or waited for.
func (t *Table) keys(from string, yield func(string) bool) {
	lines := t.lines.Iter()
	waited := lines.Seek(from)
	goOn := true
	last := nobody.Key
	t.probe.Key, t.probe.UID = from, ""
	t.byKey.Ascend(&t.probe, func(h *hold) bool {
		for ; waited && goOn && lines.Key() <= h.Key; waited = lines.Next() {
			last = lines.Key()
			goOn = yield(last)
		}
		if goOn && h.Key != last {
			last = h.Key
			goOn = yield(last)
		}
		return goOn
	})
	for ; waited && goOn; waited = lines.Next() {
		goOn = yield(lines.Key())
	}
}

// keysWaitedFor yields, in order, the keys from from on that somebody waits for.
func (t *Table) keysWaitedFor(from string, yield func(string) bool) {
	t.lines.Ascend(from, func(key string, _ *line) bool { return yield(key) })
}

// keysOf yields, in order, the keys from from on that uid holds or waits for.
func (t *Table) keysOf(uid, from string, yield func(string) bool) {
	var waits []string
	for _, w := range t.waitersOf(uid) {
		for i := range w.asks {
			if w.asks[i].Key >= from {
				waits = append(waits, w.asks[i].Key)
			}
		}
	}
	slices.Sort(waits)
	waits = slices.Compact(waits)
	goOn := true
	t.probe.Key, t.probe.UID = from, uid
	t.byUID.Ascend(&t.probe, func(h *hold) bool {
		if h.UID != uid {
			return false
		}
		for ; goOn && len(waits) > 0 && waits[0] <= h.Key; waits = waits[1:] {
			if waits[0] < h.Key {
				goOn = yield(waits[0])
			}
		}
		goOn = goOn && yield(h.Key)
		return goOn
	})
	for _, key := range waits {
		if !goOn {
			return
		}
		goOn = yield(key)
	}
}
