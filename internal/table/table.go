package table

import (
	"math"
	"time"

	"github.com/tidwall/btree"

	"holdfast"
)

// Table is the lock table. It is not safe for concurrent use.
type Table struct {
	version uint64 // the last version granted
	place   uint64 // the last place in line given out

	// The same holds twice: byKey is ordered by key and then uid, byUID the
	// other way round. A hold in them is never changed, only replaced, so
	// that a snapshot may share it.
	byKey *btree.BTreeG[*holdfast.Hold]
	byUID *btree.BTreeG[*holdfast.Hold]

	// requests are those in line, by place; what a snapshot keeps of them.
	// lines and waiting are the same requests by key and by owner.
	requests *btree.BTreeG[*request]
	lines    btree.Map[string, *line]
	waiting  map[string][]*waiter // by uid, first come first

	due   candidates // who may have become grantable; empty between commands
	out   Outcome
	probe holdfast.Hold // what lookups compare with; a field so that none allocates
}

// newcomer is the place of a request that is not in line: behind everybody.
const newcomer = math.MaxUint64

// New gives an empty table whose first version is greater than floor.
func New(floor uint64) *Table {
	t := &Table{
		version:  floor,
		byKey:    btree.NewBTreeGOptions(keyThenUID, btree.Options{NoLocks: true}),
		byUID:    btree.NewBTreeGOptions(uidThenKey, btree.Options{NoLocks: true}),
		requests: btree.NewBTreeGOptions(byPlace, btree.Options{NoLocks: true}),
		waiting:  make(map[string][]*waiter),
	}
	t.put(&nobody)
	return t
}

// nobody holds nothing, before all others in both trees. It keeps them from
// being torn down and built anew whenever the only hold comes and goes.
var nobody holdfast.Hold

func keyThenUID(a, b *holdfast.Hold) bool {
	if a.Key != b.Key {
		return a.Key < b.Key
	}
	return a.UID < b.UID
}

func uidThenKey(a, b *holdfast.Hold) bool {
	if a.UID != b.UID {
		return a.UID < b.UID
	}
	return a.Key < b.Key
}

// Apply carries a command out. The outcome is valid until the next call.
func (t *Table) Apply(cmd *Command) *Outcome {
	t.out.reset()
	switch cmd.Op {
	case Lock:
		t.lock(cmd)
	case Unlock:
		t.unlock(cmd)
	case Extend:
		t.extend(cmd)
	case Cancel:
		t.cancel(cmd.Place)
	case TakeBack:
		t.takeBack(cmd)
	case Expire:
		t.expire(cmd.Ended)
	case Force:
		t.force(cmd)
	case Raise:
		t.version = max(t.version, cmd.Floor)
	}
	t.settle()
	return &t.out
}

func (o *Outcome) reset() {
	*o = Outcome{
		Tokens:   o.Tokens[:0],
		Lost:     o.Lost[:0],
		Freed:    o.Freed[:0],
		Blockers: o.Blockers[:0],
		Grants:   o.Grants[:0],
		Events:   o.Events[:0],
	}
}

func (t *Table) lock(cmd *Command) {
	r := request{place: newcomer, uid: cmd.UID, asks: cmd.Keys, exp: cmd.Exp, note: cmd.Note}
	if t.grantable(&r) {
		t.out.Status = Granted
		t.out.Tokens, _, _ = t.grant(&r, t.out.Tokens)
		return
	}
	if !cmd.Wait {
		t.out.Status = Refused
		t.nameBlockers(&r)
		return
	}
	if w := t.findWaiter(&r); w != nil {
		t.refresh(w, &r)
		t.out.Status, t.out.Place = InLine, w.place
		return
	}
	if cycle := t.circle(&r); cycle != nil {
		t.out.Status, t.out.Cycle = Deadlock, cycle
		return
	}
	t.out.Status, t.out.Place = InLine, t.join(&r)
}

func (t *Table) unlock(cmd *Command) {
	for _, token := range cmd.Tokens {
		if h := t.named(cmd.UID, token); h != nil {
			t.end(h, holdfast.EventReleased, "")
			t.out.Tokens = append(t.out.Tokens, token)
		}
	}
}

func (t *Table) extend(cmd *Command) {
	if cmd.Tokens == nil {
		for _, h := range t.holdsOf(cmd.UID) {
			t.prolong(h, cmd.Exp, "")
			t.out.Tokens = append(t.out.Tokens, holdfast.Token{Key: h.Key, Version: h.Version})
		}
		return
	}
	for _, token := range cmd.Tokens {
		if h := t.named(cmd.UID, token); h != nil {
			t.prolong(h, cmd.Exp, "")
			t.out.Tokens = append(t.out.Tokens, token)
		} else {
			t.out.Lost = append(t.out.Lost, token)
		}
	}
}

func (t *Table) cancel(place uint64) {
	if w := t.waiterAt(place); w != nil {
		t.nameBlockers(w.request)
		for i := range w.asks {
			t.note(holdfast.EventCancelled, w.request, &w.asks[i])
		}
		t.leave(w)
		for i := range w.asks {
			t.opened(w.asks[i].Key)
		}
	}
}

func (t *Table) takeBack(cmd *Command) {
	for _, token := range cmd.Tokens {
		h := t.named(cmd.UID, token)
		if h == nil {
			continue
		}
		t.out.Tokens = append(t.out.Tokens, token)
		if prior := priorOn(cmd.Prior, token.Key); prior != nil {
			back := *prior
			t.put(&back)
			t.say(holdfast.EventGranted, &back, back.Exp, "")
			t.opened(back.Key)
		} else {
			t.end(h, holdfast.EventReleased, "")
		}
	}
}

func priorOn(holds []holdfast.Hold, key string) *holdfast.Hold {
	for i := range holds {
		if holds[i].Key == key {
			return &holds[i]
		}
	}
	return nil
}

func (t *Table) expire(ended []Owned) {
	for i := range ended {
		if h := t.named(ended[i].UID, ended[i].Token); h != nil {
			t.end(h, holdfast.EventExpired, "")
			t.out.Tokens = append(t.out.Tokens, ended[i].Token)
		}
	}
}

func (t *Table) force(cmd *Command) {
	for h := t.firstHold(cmd.Key); h != nil; h = t.firstHold(cmd.Key) {
		t.end(h, holdfast.EventForced, cmd.Reason)
		t.out.Freed = append(t.out.Freed, holdfast.Released{Key: h.Key, UID: h.UID, Version: h.Version})
	}
}

// grant makes holds of all that r asks. The versions of what it had stay; the
// rest shares one new version, which is zero if there is no rest. The tokens
// are appended to tokens.
func (t *Table) grant(r *request, tokens []holdfast.Token) (_ []holdfast.Token, version uint64, prior []holdfast.Hold) {
	for i := range r.asks {
		ask := &r.asks[i]
		own := t.hold(ask.Key, r.uid)
		if own != nil && own.Covers(ask.Mode) {
			t.prolong(own, r.exp, r.note)
			tokens = append(tokens, holdfast.Token{Key: ask.Key, Version: own.Version})
			continue
		}
		if version == 0 {
			t.version++
			version = t.version
		}
		h := &holdfast.Hold{
			Key: ask.Key, UID: r.uid, Mode: ask.Mode, Limit: ask.Limit,
			Version: version, Exp: r.exp, Note: r.note,
		}
		if own != nil {
			prior = append(prior, *own)
			h.Exp = max(h.Exp, own.Exp)
			if h.Note == "" {
				h.Note = own.Note
			}
		}
		t.put(h)
		t.say(holdfast.EventGranted, h, r.exp, "")
		tokens = append(tokens, holdfast.Token{Key: ask.Key, Version: version})
	}
	if version != 0 {
		t.gained(r.uid)
	}
	return tokens, version, prior
}

// prolong starts a hold's life anew. The hold itself changes only when its
// exp grows or it gets another note: a repeated extension costs no write.
func (t *Table) prolong(h *holdfast.Hold, exp time.Duration, note string) {
	if exp > h.Exp || note != "" && note != h.Note {
		changed := *h
		changed.Exp = max(h.Exp, exp)
		if note != "" {
			changed.Note = note
		}
		h = &changed
		t.put(h)
	}
	t.say(holdfast.EventExtended, h, exp, "")
}

// end removes a hold and looks at whom that lets in.
func (t *Table) end(h *holdfast.Hold, how holdfast.EventType, reason string) {
	t.byKey.Delete(h)
	t.byUID.Delete(h)
	t.say(how, h, 0, reason)
	t.opened(h.Key)
}

func (t *Table) put(h *holdfast.Hold) {
	t.byKey.Set(h)
	t.byUID.Set(h)
}

// say records what happened to a hold.
func (t *Table) say(what holdfast.EventType, h *holdfast.Hold, exp time.Duration, reason string) {
	t.out.Events = append(t.out.Events, holdfast.Event{
		Type: what, Key: h.Key, UID: h.UID, Mode: h.Mode, Limit: h.Limit,
		Version: h.Version, Exp: exp, Note: h.Note, Reason: reason,
	})
}

// note records what happened to a request in line.
func (t *Table) note(what holdfast.EventType, r *request, ask *holdfast.Ask) {
	t.out.Events = append(t.out.Events, holdfast.Event{
		Type: what, Key: ask.Key, UID: r.uid, Mode: ask.Mode, Limit: ask.Limit, Note: r.note,
	})
}

// hold gives what uid holds on key, or nil.
func (t *Table) hold(key, uid string) *holdfast.Hold {
	t.probe.Key, t.probe.UID = key, uid
	h, _ := t.byKey.Get(&t.probe)
	return h
}

// named gives the hold that uid and the token name exactly, or nil.
func (t *Table) named(uid string, token holdfast.Token) *holdfast.Hold {
	if h := t.hold(token.Key, uid); h != nil && h.Version == token.Version {
		return h
	}
	return nil
}

// firstHold gives the hold on key whose uid comes first, or nil. If it is
// exclusive it is the only one.
func (t *Table) firstHold(key string) *holdfast.Hold {
	var first *holdfast.Hold
	t.eachHold(key, func(h *holdfast.Hold) bool {
		first = h
		return false
	})
	return first
}

// eachHold yields the holds on key in the order of uid.
func (t *Table) eachHold(key string, yield func(*holdfast.Hold) bool) {
	t.probe.Key, t.probe.UID = key, ""
	t.byKey.Ascend(&t.probe, func(h *holdfast.Hold) bool {
		return h.Key == key && yield(h)
	})
}

// eachHoldOf yields what uid holds in the order of key.
func (t *Table) eachHoldOf(uid string, yield func(*holdfast.Hold) bool) {
	t.probe.Key, t.probe.UID = "", uid
	t.byUID.Ascend(&t.probe, func(h *holdfast.Hold) bool {
		return h.UID == uid && yield(h)
	})
}

// holdsOf gathers what uid holds, so that it can be changed on the way.
func (t *Table) holdsOf(uid string) []*holdfast.Hold {
	var holds []*holdfast.Hold
	t.eachHoldOf(uid, func(h *holdfast.Hold) bool {
		holds = append(holds, h)
		return true
	})
	return holds
}
