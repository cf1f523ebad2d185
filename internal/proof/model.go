package proof

import (
	"cmp"
	"slices"

	"holdfast"
)

// state is what the model knows after some steps: see the package comment for
// its time. It is never changed, only copied.
type state struct {
	now   int64     // the earliest moment of the last step
	last  uint64    // the newest version that an answer has shown
	holds []hold    // ordered by key and uid
	open  []request // without a definite answer, in the order of their calls
}

// hold is a hold that may be there. From end on it may be over.
type hold struct {
	key, uid string
	version  uint64
	mode     holdfast.Mode
	end      int64

	// A loose one may be over earlier, or never have been: untold, since no
	// answer has told its owner of it, or left, since an unlock of it is open.
	untold, left bool
}

func (h *hold) loose() bool { return h.untold || h.left }

// request is a lock call that may be granted from now on, and taken back again.
type request struct {
	id    int
	uid   string
	asks  []holdfast.Ask
	floor uint64 // its version is newer than this one: see Op.floor
}

func (s *state) equal(o *state) bool {
	return s.now == o.now && s.last == o.last && slices.Equal(s.holds, o.holds) &&
		slices.EqualFunc(s.open, o.open, func(a, b request) bool { return a.id == b.id })
}

// hash tells most different states apart.
func (s *state) hash() uint64 {
	h := uint64(s.now)*31 + s.last
	for i := range s.holds {
		h = h*1099511628211 + s.holds[i].version + uint64(s.holds[i].end)
	}
	return h*31 + uint64(len(s.open))
}

// step is one call on its way through the model: what it finds may be wrong,
// and then it cannot have happened in this place.
type step struct {
	state
	until int64  // the moment of the answer
	wrong string // why it cannot have happened; "" if it can
}

// take carries a call out, if its answer is possible.
func (s *state) take(op *Op) (*state, string) {
	t := &step{until: op.Return}
	t.state = state{now: max(s.now, op.Call), last: s.last, holds: slices.Clone(s.holds), open: s.open}
	switch {
	case op.Kind == Lock && op.Outcome == Open:
		t.open = append(slices.Clip(t.open), request{op.ID, op.UID, op.Asks, op.floor})
	case op.Kind == Lock && op.Outcome == over:
		t.open = slices.DeleteFunc(slices.Clone(t.open), func(r request) bool { return r.id == op.ID })
	case op.Kind == Lock && op.Outcome == Done:
		t.granted(op)
	case op.Kind == Lock:
		t.refused(op)
	case op.Kind == Unlock && op.Outcome == Open:
		t.leave(op)
	case op.Kind == Unlock:
		t.unlocked(op)
	case op.Kind == Extend:
		t.extended(op)
	case op.Kind == Look:
		t.looked(op)
	case op.Kind == Get:
		t.got(op)
	}
	if t.now > t.until {
		t.fail("it was answered too early")
	}
	// What may be over may be over; since when does not matter any more. So
	// states that mean the same are the same, and porcupine looks at them once.
	for i := range t.holds {
		if h := &t.holds[i]; h.end <= t.now {
			h.end = 0
		}
	}
	return &t.state, t.wrong
}

func (t *step) fail(why string) {
	if t.wrong == "" {
		t.wrong = why
	}
}

func (t *step) find(key, uid string) (int, bool) {
	return slices.BinarySearchFunc(t.holds, hold{key: key, uid: uid}, func(a, b hold) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.uid, b.uid))
	})
}

// hold gives the hold of uid on key, to be changed; nil if there is none.
func (t *step) hold(key, uid string) *hold {
	if i, ok := t.find(key, uid); ok {
		return &t.holds[i]
	}
	return nil
}

func (t *step) put(h hold) {
	i, ok := t.find(h.key, h.uid)
	if !ok {
		t.holds = slices.Insert(t.holds, i, hold{})
	}
	t.holds[i] = h
	t.last = max(t.last, h.version)
}

// over is that a hold is there no more. If nothing else can have ended it, its
// time has passed.
func (t *step) over(key, uid string) {
	i, ok := t.find(key, uid)
	if !ok {
		return
	}
	h := &t.holds[i]
	// An open upgrade may have put another version in its place.
	upgraded := h.mode == holdfast.Shared && t.opened(uid, holdfast.Ask{Key: key}, holdfast.VersionEnd)
	if !h.loose() && !upgraded {
		t.wait(h.end, "the hold of "+h.uid+" on "+h.key+" cannot have ended by then")
	}
	t.holds = slices.Delete(t.holds, i, i+1)
}

// wait puts the step off to a later moment, if it was not answered before.
func (t *step) wait(until int64, why string) {
	t.now = max(t.now, until)
	if t.now > t.until {
		t.fail(why)
	}
}

// opened says whether an open request of uid may have been granted the key with
// this version. When an upgrade is taken back, the shared hold from before is
// there again, with its older version.
func (t *step) opened(uid string, ask holdfast.Ask, version uint64) bool {
	return slices.ContainsFunc(t.open, func(r request) bool {
		return r.uid == uid && slices.ContainsFunc(r.asks, func(a holdfast.Ask) bool {
			grants := a.Mode == holdfast.Exclusive || ask.Mode == holdfast.Shared
			back := a.Mode == holdfast.Exclusive && ask.Mode == holdfast.Shared
			return a.Key == ask.Key && (grants && r.floor < version || back)
		})
	})
}

// makeRoom is that uid holds what it asks, so that nobody holds what excludes
// it (rule 2). On the way in fewer than the limit shared the key.
func (t *step) makeRoom(uid string, ask holdfast.Ask, onTheWayIn bool) {
	var gone []string
	var sharing []int64
	for i := range t.holds {
		h := &t.holds[i]
		switch {
		case h.key != ask.Key || h.uid == uid:
		case h.mode == holdfast.Exclusive || ask.Mode == holdfast.Exclusive:
			gone = append(gone, h.uid)
		case !h.loose():
			sharing = append(sharing, h.end)
		}
	}
	for _, other := range gone {
		t.over(ask.Key, other)
	}
	if n := len(sharing); onTheWayIn && ask.Limit > 0 && n >= ask.Limit {
		slices.Sort(sharing)
		t.wait(sharing[n-ask.Limit], "too many share the key "+ask.Key)
	}
}

// granted is the answer to a lock call: rules 1 to 5.
func (t *step) granted(op *Op) {
	var fresh uint64
	last := t.last
	if len(op.Held) != len(op.Asks) {
		t.fail("not all keys or none")
		return
	}
	for i, token := range op.Held {
		ask := op.Asks[i]
		own := t.hold(ask.Key, op.UID)
		if own != nil && own.version == token.Version {
			if !covers(own.mode, ask.Mode) {
				if !t.opened(op.UID, ask, token.Version) {
					t.fail("an upgrade kept its version")
				}
				own.mode = ask.Mode
				t.makeRoom(op.UID, ask, false)
			}
			continue
		}
		if own != nil && covers(own.mode, ask.Mode) {
			t.over(ask.Key, op.UID)
		}
		before := t.opened(op.UID, ask, token.Version)
		if !before {
			if token.Version <= last {
				t.fail("the version is not newer than those before")
			}
			if fresh != 0 && fresh != token.Version {
				t.fail("one grant has two new versions")
			}
			fresh = token.Version
		}
		t.makeRoom(op.UID, ask, !before)
		t.put(hold{key: ask.Key, uid: op.UID, version: token.Version, mode: ask.Mode})
	}
	for _, token := range op.Held {
		t.told(op.UID, token, op.Exp)
	}
}

func covers(held, asked holdfast.Mode) bool {
	return held == holdfast.Exclusive || asked == holdfast.Shared
}

// told is that the owner hears of a hold that lives for at least exp from now
// on. Nobody but the owner ends it any earlier.
func (t *step) told(uid string, token holdfast.Token, exp int64) {
	if h := t.hold(token.Key, uid); h != nil {
		h.untold = false
		h.end = max(h.end, t.now+exp*1e6)
	}
}

// there is that a hold exists; an open request may have brought it about.
func (t *step) there(uid string, token holdfast.Token, mode holdfast.Mode) {
	own := t.hold(token.Key, uid)
	if own != nil && own.version == token.Version {
		return
	}
	ask := holdfast.Ask{Key: token.Key, Mode: mode}
	if !t.opened(uid, ask, token.Version) {
		t.fail("there is no such hold of " + uid + " on " + token.Key)
		return
	}
	if own != nil {
		t.over(token.Key, uid)
	}
	t.makeRoom(uid, ask, false)
	t.put(hold{key: token.Key, uid: uid, version: token.Version, mode: mode, untold: true})
}

// notThere is that a token names no hold.
func (t *step) notThere(uid string, token holdfast.Token) {
	if h := t.hold(token.Key, uid); h != nil && h.version == token.Version {
		t.over(token.Key, uid)
	}
}

// refused is the answer to a lock call that names who is in the way, or the
// circle: these are all there at one moment.
func (t *step) refused(op *Op) {
	for _, b := range op.Blockers {
		if !b.Waiting {
			t.there(b.UID, holdfast.Token{Key: b.Key, Version: b.Version}, b.Mode)
		}
	}
	for i, link := range op.Cycle {
		uid := op.Cycle[(i+1)%len(op.Cycle)].UID
		if t.hold(link.Key, uid) == nil && !t.opened(uid, holdfast.Ask{Key: link.Key, Mode: holdfast.Shared}, holdfast.VersionEnd) {
			t.fail(uid + " in the circle does not hold " + link.Key)
		}
	}
}

// unlocked is the answer to an unlock call: rule 6.
func (t *step) unlocked(op *Op) {
	for _, token := range op.Tokens {
		if !slices.Contains(op.Held, token) {
			t.notThere(op.UID, token)
			continue
		}
		t.there(op.UID, token, holdfast.Shared)
		if i, ok := t.find(token.Key, op.UID); ok {
			t.holds = slices.Delete(t.holds, i, i+1)
		}
	}
}

// leave is an unlock call that may happen from now on.
func (t *step) leave(op *Op) {
	for _, token := range op.Tokens {
		if h := t.hold(token.Key, op.UID); h != nil && h.version == token.Version {
			h.left = true
		}
	}
}

func (t *step) extended(op *Op) {
	for _, token := range op.Held {
		t.there(op.UID, token, holdfast.Shared)
	}
	for _, token := range op.Lost {
		t.notThere(op.UID, token)
	}
	if op.All {
		for _, h := range slices.Clone(t.holds) {
			if h.uid == op.UID && !slices.Contains(op.Held, holdfast.Token{Key: h.key, Version: h.version}) {
				t.over(h.key, h.uid)
			}
		}
	}
	for _, token := range op.Held {
		t.told(op.UID, token, op.Exp)
	}
}

func (t *step) looked(op *Op) {
	if op.Is {
		for _, key := range op.Keys {
			if slices.ContainsFunc(t.holds, func(h hold) bool { return h.key == key }) || slices.ContainsFunc(t.open, func(r request) bool {
				return slices.ContainsFunc(r.asks, func(a holdfast.Ask) bool { return a.Key == key })
			}) {
				return
			}
		}
		t.fail("nobody holds any of them")
		return
	}
	for _, h := range slices.Clone(t.holds) {
		if slices.Contains(op.Keys, h.key) {
			t.over(h.key, h.uid)
		}
	}
}

func (t *step) got(op *Op) {
	key := op.Keys[0]
	listed := func(h hold) bool {
		return slices.ContainsFunc(op.Holders, func(l holdfast.Holder) bool { return l.UID == h.uid && l.Version == h.version })
	}
	for _, h := range slices.Clone(t.holds) {
		if h.key == key && !listed(h) {
			t.over(h.key, h.uid)
		}
	}
	for _, l := range op.Holders {
		t.there(l.UID, holdfast.Token{Key: key, Version: l.Version}, l.Mode)
	}
}
