package table

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"holdfast"
)

// model is the lock table once more, slow and obviously right. It keeps
// nothing but what is true now, and works out everything else anew each
// time, in the words of doc.go. The fast table is measured against it.
type model struct {
	counter uint64          // the version of the last grant
	places  uint64          // the last place given out
	holds   []holdfast.Hold // in the order of key and uid
	line    []modelRequest  // first come first

	// touched is the command that began the life of a hold, at first or anew.
	applied uint64
	touched map[holdfast.Token]uint64

	// prior is the shared hold that an upgrade replaced.
	prior map[holdfast.Token]holdfast.Hold

	passing int // grants that needed a waiter to be passed over
}

// modelRequest is a request, in line or about to be decided.
type modelRequest struct {
	place uint64
	uid   string
	asks  []holdfast.Ask
	exp   time.Duration
	note  string
	asked uint64
}

// behindAll is the place of a request that has not joined the line: every
// waiter came earlier.
const behindAll = math.MaxUint64

func newModel(floor uint64) *model {
	return &model{counter: floor, prior: map[holdfast.Token]holdfast.Hold{}, touched: map[holdfast.Token]uint64{}}
}

func (m *model) clone() *model {
	c := *m
	c.holds = slices.Clone(m.holds)
	c.line = slices.Clone(m.line)
	c.prior = maps.Clone(m.prior)
	c.touched = maps.Clone(m.touched)
	return &c
}

// apply carries out a command. After every command whoever may go is let in.
func (m *model) apply(cmd *Command) Outcome {
	var out Outcome
	m.applied++
	switch cmd.Op {
	case Lock:
		m.lock(cmd, &out)
	case Unlock:
		m.unlock(cmd, &out)
	case Extend:
		m.extend(cmd, &out)
	case Cancel:
		m.cancel(cmd, &out)
	case TakeBack:
		m.takeBack(cmd, &out)
	case Expire:
		m.expire(cmd, &out)
	case Force:
		m.force(cmd, &out)
	case Raise:
		m.counter = max(m.counter, cmd.Floor)
	}
	m.settle(&out)
	return out
}

// The commands.

func (m *model) lock(cmd *Command, out *Outcome) {
	r := modelRequest{behindAll, cmd.UID, cmd.Keys, cmd.Exp, cmd.Note, m.applied}
	if m.grantable(r) {
		out.Status = Granted
		out.Tokens = m.grant(r, out).Tokens
		return
	}
	if !cmd.Wait {
		out.Status = Refused
		out.Blockers = m.blockers(r)
		for _, w := range m.line {
			if w.uid == r.uid && slices.Equal(w.asks, r.asks) {
				out.Place = w.place
				break
			}
		}
		return
	}
	for i, w := range m.line {
		if w.uid == r.uid && slices.Equal(w.asks, r.asks) {
			m.line[i].exp = r.exp
			m.line[i].note = r.note
			m.line[i].asked = m.applied
			out.Status = InLine
			out.Place = w.place
			return
		}
	}
	if cycle := m.deadlock(r); cycle != nil {
		out.Status = Deadlock
		out.Cycle = cycle
		return
	}
	m.places++
	r.place = m.places
	r.asked = m.applied
	m.line = append(m.line, r)
	tellOfRequest(holdfast.EventWaiting, r, out)
	out.Status = InLine
	out.Place = r.place
}

func (m *model) unlock(cmd *Command, out *Outcome) {
	for _, token := range cmd.Tokens {
		if h := m.exactly(cmd.UID, token); h != nil {
			out.Tokens = append(out.Tokens, token)
			m.end(*h, holdfast.EventReleased, "", out)
		}
	}
}

func (m *model) extend(cmd *Command, out *Outcome) {
	tokens := cmd.Tokens
	if tokens == nil {
		for _, h := range m.holds {
			if h.UID == cmd.UID {
				tokens = append(tokens, holdfast.Token{Key: h.Key, Version: h.Version})
			}
		}
	}
	for _, token := range tokens {
		h := m.exactly(cmd.UID, token)
		if h == nil {
			out.Lost = append(out.Lost, token)
			continue
		}
		h.Exp = max(h.Exp, cmd.Exp)
		m.touched[token] = m.applied
		out.Tokens = append(out.Tokens, token)
		tellOfHold(holdfast.EventExtended, *h, cmd.Exp, "", out)
	}
}

func (m *model) cancel(cmd *Command, out *Outcome) {
	for i, w := range m.line {
		if w.place == cmd.Place {
			out.Blockers = m.blockers(w)
			if w.asked > cmd.Seen {
				return
			}
			tellOfRequest(holdfast.EventCancelled, w, out)
			m.line = slices.Delete(m.line, i, i+1)
			return
		}
	}
}

func (m *model) takeBack(cmd *Command, out *Outcome) {
	for _, token := range cmd.Tokens {
		h := m.exactly(cmd.UID, token)
		if h == nil || m.touched[token] > cmd.Seen {
			continue
		}
		out.Tokens = append(out.Tokens, token)
		prior, upgraded := m.prior[token]
		if !upgraded {
			m.end(*h, holdfast.EventReleased, "", out)
			continue
		}
		*h = prior
		m.touched[holdfast.Token{Key: h.Key, Version: h.Version}] = m.applied
		tellOfHold(holdfast.EventGranted, *h, h.Exp, "", out)
	}
}

func (m *model) expire(cmd *Command, out *Outcome) {
	for _, owned := range cmd.Ended {
		if h := m.exactly(owned.UID, owned.Token); h != nil && m.touched[owned.Token] <= cmd.Seen {
			out.Tokens = append(out.Tokens, owned.Token)
			m.end(*h, holdfast.EventExpired, "", out)
		}
	}
}

func (m *model) force(cmd *Command, out *Outcome) {
	for _, h := range m.holdsOn(cmd.Key) {
		out.Freed = append(out.Freed, holdfast.Released{Key: h.Key, UID: h.UID, Version: h.Version})
		m.end(h, holdfast.EventForced, cmd.Reason, out)
	}
}

// settle lets in whoever may go, first come first, until nobody may.
func (m *model) settle(out *Outcome) {
	for {
		i := slices.IndexFunc(m.line, m.grantable)
		if i < 0 {
			return
		}
		w := m.line[i]
		grant := m.grant(w, out)
		m.line = slices.DeleteFunc(m.line, func(r modelRequest) bool { return r.place == w.place })
		out.Grants = append(out.Grants, grant)
	}
}

// grant makes everything that r asks a hold. All that is new in it shares
// one version.
func (m *model) grant(r modelRequest, out *Outcome) Grant {
	if len(m.inTheWay(r, false)) > 0 {
		m.passing++
	}
	g := Grant{UID: r.uid}
	if r.place != behindAll {
		g.Place = r.place
	}
	if slices.ContainsFunc(r.asks, func(ask holdfast.Ask) bool { return !m.covered(r.uid, ask) }) {
		m.counter++
	}
	for _, ask := range r.asks {
		h := m.hold(r.uid, ask.Key)
		if h == nil || !h.Covers(ask.Mode) {
			if h != nil {
				m.prior[holdfast.Token{Key: h.Key, Version: m.counter}] = *h
			}
			h = m.begin(r, ask, m.counter)
			tellOfHold(holdfast.EventGranted, *h, r.exp, "", out)
		} else {
			h.Exp = max(h.Exp, r.exp)
			h.Note = cmp.Or(r.note, h.Note)
			tellOfHold(holdfast.EventExtended, *h, r.exp, "", out)
		}
		token := holdfast.Token{Key: h.Key, Version: h.Version}
		g.Tokens = append(g.Tokens, token)
		m.touched[token] = m.applied
	}
	return g
}

// begin makes a hold of what r asks of one key. An upgrade shortens no life
// and keeps the note when r has none.
func (m *model) begin(r modelRequest, ask holdfast.Ask, version uint64) *holdfast.Hold {
	h := holdfast.Hold{Key: ask.Key, UID: r.uid, Mode: ask.Mode, Limit: ask.Limit, Version: version, Exp: r.exp, Note: r.note}
	if old := m.hold(r.uid, ask.Key); old != nil {
		h.Exp = max(h.Exp, old.Exp)
		h.Note = cmp.Or(h.Note, old.Note)
		*old = h
		return old
	}
	m.holds = append(m.holds, h)
	slices.SortFunc(m.holds, func(a, b holdfast.Hold) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.UID, b.UID))
	})
	return m.hold(r.uid, ask.Key)
}

// end takes a hold away.
func (m *model) end(h holdfast.Hold, how holdfast.EventType, reason string, out *Outcome) {
	m.holds = slices.DeleteFunc(m.holds, func(other holdfast.Hold) bool { return other == h })
	tellOfHold(how, h, 0, reason, out)
}

// Who may go.

// inTheWay names, key by key, the holders and the earlier waiters that keep
// r from being granted. With exempting, a waiter that waits for something
// that r's owner holds is passed over.
func (m *model) inTheWay(r modelRequest, exempting bool) []holdfast.Blocker {
	var blockers []holdfast.Blocker
	for _, ask := range r.asks {
		if m.covered(r.uid, ask) {
			continue
		}
		for _, h := range m.holdersInTheWay(r.uid, ask) {
			blockers = append(blockers, holdfast.Blocker{Key: h.Key, UID: h.UID, Version: h.Version, Mode: h.Mode, Note: h.Note})
		}
		blockers = append(blockers, m.waitersInTheWay(r, ask, exempting)...)
	}
	return blockers
}

func (m *model) holdersInTheWay(uid string, ask holdfast.Ask) []holdfast.Hold {
	others := m.othersOn(ask.Key, uid)
	exclusive := slices.DeleteFunc(slices.Clone(others), func(h holdfast.Hold) bool { return h.Mode == holdfast.Shared })
	switch {
	case ask.Mode == holdfast.Exclusive:
		return others
	case len(exclusive) > 0:
		return exclusive
	case ask.Limit > 0 && len(others) >= ask.Limit:
		return others
	}
	return nil
}

func (m *model) waitersInTheWay(r modelRequest, ask holdfast.Ask, exempting bool) []holdfast.Blocker {
	var blockers []holdfast.Blocker
	ahead := make(map[string]bool) // the owners that share the key, or will before r does
	for _, h := range m.othersOn(ask.Key, r.uid) {
		if h.Mode == holdfast.Shared {
			ahead[h.UID] = true
		}
	}
	for _, v := range m.line {
		asked := v.askOf(ask.Key)
		if v.place >= r.place || asked == nil || v.uid == r.uid || m.covered(v.uid, *asked) {
			continue
		}
		if exempting && m.exempt(v, r.uid) {
			continue
		}
		inTheWay := true
		if ask.Mode == holdfast.Shared && asked.Mode == holdfast.Shared {
			delete(ahead, v.uid) // for its own limit v counts the others only
			rFillsLimitOfV := asked.Limit > 0 && len(ahead)+1 >= asked.Limit
			ahead[v.uid] = true
			limitOfRIsReached := ask.Limit > 0 && len(ahead) >= ask.Limit
			inTheWay = rFillsLimitOfV || limitOfRIsReached
		}
		if inTheWay {
			blockers = append(blockers, holdfast.Blocker{Key: ask.Key, UID: v.uid, Mode: asked.Mode, Note: v.note, Waiting: true})
		}
	}
	return blockers
}

// exempt says whether v waits, directly or through other owners, for
// something that owner holds.
func (m *model) exempt(v modelRequest, owner string) bool {
	reached := map[string]bool{owner: true} // owner itself leads on to nobody
	look := []modelRequest{v}
	for ; len(look) > 0; look = look[1:] {
		for _, b := range m.inTheWay(look[0], false) {
			if b.UID == owner && !b.Waiting {
				return true
			}
			if !reached[b.UID] {
				reached[b.UID] = true
				look = append(look, m.requestsOf(b.UID)...)
			}
		}
	}
	return false
}

func (m *model) grantable(r modelRequest) bool { return len(m.inTheWay(r, true)) == 0 }

func (m *model) blockers(r modelRequest) []holdfast.Blocker {
	blockers := m.inTheWay(r, true)
	return blockers[:min(len(blockers), holdfast.MaxBlockers)]
}

// What is there.

func (m *model) hold(uid, key string) *holdfast.Hold {
	i := slices.IndexFunc(m.holds, func(h holdfast.Hold) bool { return h.UID == uid && h.Key == key })
	if i < 0 {
		return nil
	}
	return &m.holds[i]
}

// exactly finds the hold that uid and the token name, nil if there is none.
func (m *model) exactly(uid string, token holdfast.Token) *holdfast.Hold {
	if h := m.hold(uid, token.Key); h != nil && h.Version == token.Version {
		return h
	}
	return nil
}

func (m *model) covered(uid string, ask holdfast.Ask) bool {
	h := m.hold(uid, ask.Key)
	return h != nil && h.Covers(ask.Mode)
}

func (m *model) holdsOn(key string) []holdfast.Hold { return m.othersOn(key, "") }

// othersOn gives the holds on a key, save that of uid.
func (m *model) othersOn(key, uid string) []holdfast.Hold {
	var holds []holdfast.Hold
	for _, h := range m.holds {
		if h.Key == key && h.UID != uid {
			holds = append(holds, h)
		}
	}
	return holds
}

func (m *model) requestsOf(uid string) []modelRequest {
	var requests []modelRequest
	for _, w := range m.line {
		if w.uid == uid {
			requests = append(requests, w)
		}
	}
	return requests
}

func (r *modelRequest) askOf(key string) *holdfast.Ask {
	i := slices.IndexFunc(r.asks, func(ask holdfast.Ask) bool { return ask.Key == key })
	if i < 0 {
		return nil
	}
	return &r.asks[i]
}

// key gives the state of one key as the fast table shows it.
func (m *model) key(key string) KeyState {
	state := KeyState{Key: key, Holds: m.holdsOn(key)}
	for _, w := range m.line {
		if ask := w.askOf(key); ask != nil {
			state.Waiters = append(state.Waiters, Waiter{Place: w.place, UID: w.uid, Mode: ask.Mode, Limit: ask.Limit, Note: w.note})
		}
	}
	return state
}

// What is told.

func tellOfHold(what holdfast.EventType, h holdfast.Hold, exp time.Duration, reason string, out *Outcome) {
	out.Events = append(out.Events, holdfast.Event{Type: what, Key: h.Key, UID: h.UID, Mode: h.Mode, Limit: h.Limit,
		Version: h.Version, Exp: exp, Note: h.Note, Reason: reason})
}

func tellOfRequest(what holdfast.EventType, r modelRequest, out *Outcome) {
	for _, ask := range r.asks {
		out.Events = append(out.Events, holdfast.Event{Type: what, Key: ask.Key, UID: r.uid, Mode: ask.Mode, Limit: ask.Limit, Note: r.note})
	}
}
