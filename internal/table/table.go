package table

import (
	"math"
	"strings"
	"time"

	"github.com/tidwall/btree"

	"holdfast"
)

// Table is the lock table. It is not safe for concurrent use.
type Table struct {
	version uint64 // the last version granted
	place   uint64 // the last place in line given out
	applied uint64 // commands carried out

	// The same holds twice: byKey is ordered by key and then uid, byUID the
	// other way round. A hold in them is never changed, only replaced, so
	// that a snapshot may share it.
	byKey *btree.BTreeG[*hold]
	byUID *btree.BTreeG[*hold]
	near  btree.PathHint // where byKey was looked at: a command looks at a key several times

	// requests are those in line, by place; what a snapshot keeps of them.
	// lines and owners are the same requests by key and by uid.
	requests *btree.BTreeG[*request]
	lines    btree.Map[string, *line]
	owners   map[string]*owner
	armed    map[*owner]struct{} // see owner

	asked   int            // keys that requests in line ask
	held    map[string]int // holds by uid; nil as long as no limit wants them, see Limits
	sharing map[string]int // shared holds by key, as far as somebody has counted them; see countShared

	due candidates // who may have become grantable; empty between commands
	out Outcome

	// What lookups compare with, and what a Lock command asks: fields so that
	// they need not be allocated anew each time.
	probe  hold
	asking request
}

// hold is a hold as the table keeps it.
type hold struct {
	holdfast.Hold

	// touched is the command that began its life, for the first time or anew.
	touched uint64

	// prior is, after an upgrade, the shared hold from before: what its owner
	// still has when the upgrade is taken back.
	prior *holdfast.Hold
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
		owners:   make(map[string]*owner),
		armed:    make(map[*owner]struct{}),
		sharing:  make(map[string]int),
	}
	t.put(&nobody)
	return t
}

// nobody holds nothing, before all others in both trees. It keeps them from
// being torn down and built anew whenever the only hold comes and goes.
var nobody hold

func keyThenUID(a, b *hold) bool {
	if order := strings.Compare(a.Key, b.Key); order != 0 {
		return order < 0
	}
	return a.UID < b.UID
}

func uidThenKey(a, b *hold) bool {
	if order := strings.Compare(a.UID, b.UID); order != 0 {
		return order < 0
	}
	return a.Key < b.Key
}

// Apply carries a command out. The outcome is valid until the next call.
func (t *Table) Apply(cmd *Command) *Outcome {
	t.out.reset()
	t.applied++
	switch cmd.Op {
	case Lock:
		t.lock(cmd)
	case Unlock:
		t.unlock(cmd)
	case Extend:
		t.extend(cmd)
	case Cancel:
		t.cancel(cmd)
	case TakeBack:
		t.takeBack(cmd)
	case Expire:
		t.expire(cmd)
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
	r := &t.asking
	*r = request{place: newcomer, uid: cmd.UID, asks: cmd.Keys, exp: cmd.Exp, note: cmd.Note}
	if t.grantable(r) {
		if t.out.OverLimit = t.tooMany(r, &cmd.Limits, false); t.out.OverLimit != "" {
			t.out.Status = Limited
			return
		}
		t.out.Status = Granted
		t.out.Tokens = t.grant(r, t.out.Tokens)
		return
	}
	if !cmd.Wait {
		t.out.Status = Refused
		t.nameBlockers(r)
		if w := t.findWaiter(r); w != nil {
			t.out.Place = w.place
		}
		return
	}
	if w := t.findWaiter(r); w != nil {
		t.refresh(w, r)
		t.out.Status, t.out.Place = InLine, w.place
		return
	}
	if cycle := t.circle(r); cycle != nil {
		t.out.Status, t.out.Cycle = Deadlock, cycle
		return
	}
	if t.out.OverLimit = t.tooMany(r, &cmd.Limits, true); t.out.OverLimit != "" {
		t.out.Status = Limited
		return
	}
	t.out.Status, t.out.Place = InLine, t.join(r)
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

func (t *Table) cancel(cmd *Command) {
	if w := t.waiterAt(cmd.Place); w != nil {
		t.nameBlockers(w.request)
		if w.asked > cmd.Seen {
			return
		}
		for i := range w.asks {
			t.note(holdfast.EventCancelled, w.request, &w.asks[i])
		}
		t.leave(w)
		for i := range w.asks {
			mode := w.asks[i].Mode
			if w.asks[i].Limit > 0 {
				mode = holdfast.Exclusive
			}
			t.opened(w.asks[i].Key, mode)
		}
	}
}

func (t *Table) takeBack(cmd *Command) {
	for _, token := range cmd.Tokens {
		h := t.named(cmd.UID, token)
		if h == nil || h.touched > cmd.Seen {
			continue
		}
		t.out.Tokens = append(t.out.Tokens, token)
		if h.prior == nil {
			t.end(h, holdfast.EventReleased, "")
			continue
		}
		back := &hold{Hold: *h.prior, touched: t.applied}
		t.put(back)
		t.say(holdfast.EventGranted, back, back.Exp, "")
		t.lookAtArmed() // its owner may not be covered any more, and fills the limits of others again
		t.opened(back.Key, holdfast.Exclusive)
	}
}

func (t *Table) expire(cmd *Command) {
	for i := range cmd.Ended {
		if h := t.named(cmd.Ended[i].UID, cmd.Ended[i].Token); h != nil && h.touched <= cmd.Seen {
			t.end(h, holdfast.EventExpired, "")
			t.out.Tokens = append(t.out.Tokens, cmd.Ended[i].Token)
		}
	}
}

func (t *Table) force(cmd *Command) {
	first := t.firstHold(cmd.Key)
	if first == nil {
		return
	}
	for h := first; h != nil; h = t.firstHold(cmd.Key) {
		t.drop(h, holdfast.EventForced, cmd.Reason)
		t.out.Freed = append(t.out.Freed, holdfast.Released{Key: h.Key, UID: h.UID, Version: h.Version})
	}
	t.opened(cmd.Key, first.Mode)
}

// grant makes holds of all that r asks. The versions of what it had stay; the
// rest shares one new version. The tokens are appended to tokens.
func (t *Table) grant(r *request, tokens []holdfast.Token) []holdfast.Token {
	var version uint64
	for i := range r.asks {
		ask := &r.asks[i]
		own := t.holdOf(r.uid, ask.Key)
		if own != nil && own.Covers(ask.Mode) {
			t.prolong(own, r.exp, r.note)
			tokens = append(tokens, holdfast.Token{Key: ask.Key, Version: own.Version})
			continue
		}
		if version == 0 {
			t.version++
			version = t.version
		}
		h := &hold{touched: t.applied, Hold: holdfast.Hold{
			Key: ask.Key, UID: r.uid, Mode: ask.Mode, Limit: ask.Limit,
			Version: version, Exp: r.exp, Note: r.note,
		}}
		if own != nil {
			h.prior = &own.Hold
			h.Exp = max(h.Exp, own.Exp)
			if h.Note == "" {
				h.Note = own.Note
			}
		}
		t.put(h)
		t.say(holdfast.EventGranted, h, r.exp, "")
		t.gained(r, h)
		tokens = append(tokens, holdfast.Token{Key: ask.Key, Version: version})
	}
	return tokens
}

// prolong starts a hold's life anew.
func (t *Table) prolong(h *hold, exp time.Duration, note string) {
	again := &hold{Hold: h.Hold, touched: t.applied, prior: h.prior}
	again.Exp = max(h.Exp, exp)
	if note != "" {
		again.Note = note
	}
	t.put(again)
	t.say(holdfast.EventExtended, again, exp, "")
}

// end removes a hold and looks at whom that lets in.
func (t *Table) end(h *hold, how holdfast.EventType, reason string) {
	t.drop(h, how, reason)
	t.opened(h.Key, h.Mode)
}

// drop removes a hold. The line of its key is left to the caller.
func (t *Table) drop(h *hold, how holdfast.EventType, reason string) {
	t.byKey.DeleteHint(h, &t.near)
	t.byUID.Delete(h)
	t.share(h, -1)
	t.count(h.UID, -1)
	if t.waitedFor(h.Key) {
		t.want(h.UID, -1)
	}
	t.say(how, h, 0, reason)
	t.lost(h.UID)
}

// put adds a hold, or puts it in the place of the one that its owner had.
func (t *Table) put(h *hold) {
	t.byUID.Set(h)
	before, replaced := t.byKey.SetHint(h, &t.near)
	t.share(h, +1)
	if replaced {
		t.share(before, -1)
		return
	}
	t.count(h.UID, +1)
	if t.waitedFor(h.Key) {
		t.want(h.UID, +1)
	}
}

// say records what happened to a hold.
func (t *Table) say(what holdfast.EventType, h *hold, exp time.Duration, reason string) {
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

// holdOf gives what uid holds on key, or nil.
func (t *Table) holdOf(uid, key string) *hold {
	t.probe.Key, t.probe.UID = key, uid
	h, _ := t.byKey.GetHint(&t.probe, &t.near)
	return h
}

// named gives the hold that uid and the token name exactly, or nil.
func (t *Table) named(uid string, token holdfast.Token) *hold {
	if h := t.holdOf(uid, token.Key); h != nil && h.Version == token.Version {
		return h
	}
	return nil
}

// firstHold gives the hold on key whose uid comes first, or nil. If it is
// exclusive it is the only one.
func (t *Table) firstHold(key string) *hold {
	var first *hold
	t.eachHold(key, func(h *hold) bool {
		first = h
		return false
	})
	return first
}

// eachHold yields the holds on key in the order of uid.
func (t *Table) eachHold(key string, yield func(*hold) bool) {
	t.probe.Key, t.probe.UID = key, ""
	t.byKey.AscendHint(&t.probe, func(h *hold) bool {
		return h.Key == key && yield(h)
	}, &t.near)
}

// eachHoldOf yields what uid holds in the order of key.
func (t *Table) eachHoldOf(uid string, yield func(*hold) bool) {
	t.probe.Key, t.probe.UID = "", uid
	t.byUID.Ascend(&t.probe, func(h *hold) bool {
		return h.UID == uid && yield(h)
	})
}

// holdsOf gathers what uid holds, so that it can be changed on the way.
func (t *Table) holdsOf(uid string) []*hold {
	var holds []*hold
	t.eachHoldOf(uid, func(h *hold) bool {
		holds = append(holds, h)
		return true
	})
	return holds
}
