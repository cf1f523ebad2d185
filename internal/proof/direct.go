package proof

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"

	"holdfast"
)

// direct asks a history the questions that need no order of the calls.
func direct(history []Op) []string {
	d := &directly{
		ops:   slices.Clone(history),
		asked: map[owned][]*Op{}, byOwner: map[owned][]*Op{}, byHolder: map[owned][]*confirmed{},
		holds:  map[holdfast.Token]*confirmed{},
		owners: map[uint64]string{},
	}
	slices.SortStableFunc(d.ops, func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
	for i := range d.ops {
		d.index(&d.ops[i])
	}
	for i := range d.ops {
		d.wellFormed(&d.ops[i])
		d.unique(&d.ops[i])
	}
	d.versionsGrow()
	d.noOverlap()
	d.limits()
	d.heldAlready()
	d.inLine()
	d.inOrder()
	d.register()
	return d.problems
}

type directly struct {
	ops      []Op                   // by call
	asked    map[owned][]*Op        // lock calls
	byOwner  map[owned][]*Op        // those that may have happened
	byHolder map[owned][]*confirmed // holds
	holds    map[holdfast.Token]*confirmed
	owners   map[uint64]string       // by version
	lives    map[string][]*confirmed // by key, by their beginning
	problems []string
}

// owned is an owner and a key.
type owned struct{ uid, key string }

// confirmed is a hold of which its owner was told. Whatever else is the case,
// it was there from from to to: from the first answer about it, to the earliest
// moment at which it can have ended.
type confirmed struct {
	holdfast.Token
	uid      string
	mode     holdfast.Mode
	from, to int64
}

func (d *directly) problem(format string, args ...any) {
	d.problems = append(d.problems, fmt.Sprintf(format, args...))
}

// index notes a call. Calls come in the order in which they were made.
func (d *directly) index(op *Op) {
	if op.Kind == Lock {
		for _, ask := range op.Asks {
			o := owned{op.UID, ask.Key}
			d.asked[o] = append(d.asked[o], op)
			if op.Outcome != Nothing {
				d.byOwner[o] = append(d.byOwner[o], op)
			}
		}
	}
	told := op.Outcome == Done && (op.Kind == Lock || op.Kind == Extend)
	for i, token := range op.Held {
		if !told {
			break
		}
		h := d.holds[token]
		if h == nil {
			h = &confirmed{Token: token, uid: op.UID, mode: holdfast.Shared, from: math.MaxInt64, to: math.MinInt64}
			d.holds[token] = h
			d.byHolder[owned{h.uid, h.Key}] = append(d.byHolder[owned{h.uid, h.Key}], h)
		}
		if op.Kind == Lock && i < len(op.Asks) && op.Asks[i].Mode == holdfast.Exclusive {
			h.mode = holdfast.Exclusive
		}
		h.from = min(h.from, op.Return)
		h.to = max(h.to, op.Call+op.Exp*1e6)
	}
}

// ended cuts the time for which holds are certain where their owners may have
// given them back, or changed a shared one for an exclusive one.
func (d *directly) ended() {
	for i := range d.ops {
		op := &d.ops[i]
		switch {
		case op.Kind == Unlock && (op.Outcome == Done || op.Outcome == Open):
			for _, token := range op.Tokens {
				if h := d.holds[token]; h != nil && h.uid == op.UID {
					h.to = min(h.to, op.Call)
				}
			}
		case op.Kind == Lock && op.Outcome != Nothing:
			for _, ask := range op.Asks {
				if ask.Mode == holdfast.Shared {
					continue
				}
				for _, h := range d.byHolder[owned{op.UID, ask.Key}] {
					if h.mode == holdfast.Shared {
						h.to = min(h.to, op.Call)
					}
				}
			}
		}
	}
}

// wellFormed is what can be said of an answer alone.
func (d *directly) wellFormed(op *Op) {
	if op.Kind == Unlock && op.Error != "" && op.Outcome == Done {
		d.problem("%s: %s", op.Error, op)
	}
	if op.Kind == Extend && op.Outcome == Done && !op.All && !sameTokens(op.Tokens, slices.Concat(op.Held, op.Lost)) {
		d.problem("the answer is not about the tokens that were shown: %s", op)
	}
	if op.Kind != Lock {
		return
	}
	switch op.Outcome {
	case Done:
		if len(op.Held) != len(op.Asks) {
			d.problem("%d tokens for %d keys: %s", len(op.Held), len(op.Asks), op)
			return
		}
		for i, token := range op.Held {
			if token.Key != op.Asks[i].Key {
				d.problem("the tokens are not in the order asked: %s", op)
			}
			if token.Version == 0 || token.Version >= holdfast.VersionEnd {
				d.problem("a version that is none: %s", op)
			}
		}
	case Locked:
		if len(op.Blockers) == 0 && op.Wait == 0 {
			d.problem("refused, and nobody is in the way: %s", op)
		}
		for _, b := range op.Blockers {
			i := slices.IndexFunc(op.Asks, func(a holdfast.Ask) bool { return a.Key == b.Key })
			switch {
			case i < 0:
				d.problem("a key that was not asked for is in the way: %s", op)
			case b.UID == op.UID:
				d.problem("an owner is in its own way: %s", op)
			case !b.Waiting && b.Mode == holdfast.Shared && op.Asks[i].Mode == holdfast.Shared && !op.full(op.Asks[i]):
				d.problem("shared is in the way of shared: %s", op)
			}
		}
	case Deadlock:
		if len(op.Cycle) < 2 || op.Cycle[0].UID != op.UID || !op.asks(op.Cycle[0].Key) {
			d.problem("a circle that does not begin with what was asked: %s", op)
		}
	}
}

// full says whether a refusal names as many who share a key as the limit is.
func (op *Op) full(ask holdfast.Ask) bool {
	sharing := 0
	for _, b := range op.Blockers {
		if b.Key == ask.Key && !b.Waiting {
			sharing++
		}
	}
	return ask.Limit > 0 && (sharing >= ask.Limit || len(op.Blockers) >= holdfast.MaxBlockers)
}

func (op *Op) asks(key string) bool {
	return slices.ContainsFunc(op.Asks, func(ask holdfast.Ask) bool { return ask.Key == key })
}

// sameTokens says whether two lists hold the same, in any order.
func sameTokens(a, b []holdfast.Token) bool {
	sorted := func(tokens []holdfast.Token) []holdfast.Token {
		return slices.SortedFunc(slices.Values(tokens), func(a, b holdfast.Token) int {
			return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Version, b.Version))
		})
	}
	return slices.Equal(sorted(a), sorted(b))
}

// unique is that a version is given once: to one owner.
func (d *directly) unique(op *Op) {
	if op.Outcome != Done || op.Kind != Lock && op.Kind != Extend {
		return
	}
	for _, token := range op.Held {
		if owner, ok := d.owners[token.Version]; ok && owner != op.UID {
			d.problem("version %d was given to %s and to %s: %s", token.Version, owner, op.UID, op)
		}
		d.owners[token.Version] = op.UID
	}
}

// seen is the newest version of all answers up to a moment.
type seen struct {
	at      int64
	version uint64
}

// newest gives what was seen, answer by answer.
func newest(ops []Op) []seen {
	var all []seen
	for i := range ops {
		if op := &ops[i]; op.Kind == Lock && op.Outcome == Done {
			for _, token := range op.Held {
				all = append(all, seen{op.Return, token.Version})
			}
		}
	}
	slices.SortFunc(all, func(a, b seen) int { return cmp.Compare(a.at, b.at) })
	for i := 1; i < len(all); i++ {
		all[i].version = max(all[i].version, all[i-1].version)
	}
	return all
}

// versionsGrow is rule 5 in real time, over all keys: what was granted after
// another grant was answered has a newer version.
func (d *directly) versionsGrow() {
	newest := newest(d.ops)
	for i := range d.ops {
		op := &d.ops[i]
		if op.Kind != Lock || op.Outcome != Done {
			continue
		}
		for _, token := range op.Held {
			n := sort.Search(len(newest), func(i int) bool { return newest[i].version > token.Version })
			if n == len(newest) || newest[n].at >= op.Call {
				continue
			}
			// It was granted before that moment, to an earlier request; perhaps to
			// one that was refused in the end, when its grant, of which its client
			// never heard, had run out on another of its keys.
			if !slices.ContainsFunc(d.byOwner[owned{op.UID, token.Key}], func(o *Op) bool {
				return o.Call <= newest[n].at && (o.mayHave(op) || o.Again && o.Outcome == Locked || o.Outcome == Done && slices.Contains(o.Held, token))
			}) {
				d.problem("%d had been granted when this was asked for: %s", newest[n].version, op)
			}
		}
	}
}

// mayHave says whether a lock call may have brought about, without an answer
// that says so, what another call found after that was made.
func (op *Op) mayHave(found *Op) bool {
	return op.Outcome == Open || op.Again && op.Outcome != Done && (op.Left || op.Return >= found.Call)
}

// noOverlap is rule 2: two holds that exclude each other are never there at
// the same moment.
func (d *directly) noOverlap() {
	d.ended()
	d.lives = d.byKey()
	for _, holds := range d.lives {
		var there []*confirmed
		for _, h := range holds {
			if h.to <= h.from {
				continue
			}
			there = slices.DeleteFunc(there, func(o *confirmed) bool { return o.to <= h.from })
			for _, o := range there {
				if o.uid != h.uid && (o.mode == holdfast.Exclusive || h.mode == holdfast.Exclusive) {
					d.problem("key %s: %s holds version %d for certain from %.3f to %.3f ms, and %s version %d from %.3f to %.3f ms", h.Key,
						o.uid, o.Version, float64(o.from)/1e6, float64(o.to)/1e6, h.uid, h.Version, float64(h.from)/1e6, float64(h.to)/1e6)
				}
			}
			there = append(there, h)
		}
	}
}

// byKey gives the confirmed holds of each key by their beginning.
func (d *directly) byKey() map[string][]*confirmed {
	byKey := map[string][]*confirmed{}
	for _, h := range d.holds {
		byKey[h.Key] = append(byKey[h.Key], h)
	}
	for _, holds := range byKey {
		slices.SortFunc(holds, func(a, b *confirmed) int {
			return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.Version, b.Version))
		})
	}
	return byKey
}

// limits is the other half of rule 2: a request with a limit was let in while
// fewer than so many others shared the key.
func (d *directly) limits() {
	for i := range d.ops {
		op := &d.ops[i]
		if op.Kind != Lock || op.Outcome != Done || len(op.Held) != len(op.Asks) {
			continue
		}
		for i, ask := range op.Asks {
			earlier := slices.ContainsFunc(d.byOwner[owned{op.UID, ask.Key}], func(o *Op) bool {
				return o != op && o.Call <= op.Return && (o.mayHave(op) || slices.Contains(o.Held, op.Held[i]))
			})
			if ask.Limit == 0 || earlier {
				continue
			}
			sharing := 0
			for _, h := range d.lives[ask.Key] {
				if h.uid != op.UID && h.from < op.Call && op.Return < h.to {
					sharing++
				}
			}
			if sharing >= ask.Limit {
				d.problem("%d others shared the key all the while: %s", sharing, op)
			}
		}
	}
}

// register is what package fence promises: the register never goes back, and
// refuses nobody who holds.
func (d *directly) register() {
	last := map[string]*Op{}
	var writes []*Op
	for i := range d.ops {
		op := &d.ops[i]
		if op.Kind != Write {
			continue
		}
		if op.Outcome == Done {
			writes = append(writes, op)
		}
		for _, token := range op.Tokens {
			h := d.holds[token]
			if op.Outcome == Stale && len(op.Tokens) == 1 && h != nil && h.from < op.Call && op.Return < h.to {
				d.problem("the register has seen a newer version than that of its holder: %s", op)
			}
		}
	}
	slices.SortFunc(writes, func(a, b *Op) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, op := range writes {
		for _, token := range op.Tokens {
			if before := last[token.Key]; before != nil && versionOf(before, token.Key) > token.Version {
				d.problem("the register took version %d after %d: %s", token.Version, versionOf(before, token.Key), op)
			}
			last[token.Key] = op
		}
	}
}

func versionOf(op *Op, key string) uint64 {
	for _, token := range op.Tokens {
		if token.Key == key {
			return token.Version
		}
	}
	return 0
}
