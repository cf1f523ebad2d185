package proof

import (
	"slices"
	"sort"
	"time"

	"holdfast"
)

// Rules 3, 4 and 8 as far as a history can tell without an order of its calls: who
// stood in line, and who was let in before whom.

// heldAlready is that nobody is refused what it holds (rule 4).
func (d *directly) heldAlready() {
	for i := range d.ops {
		op := &d.ops[i]
		if op.Kind != Lock || op.Outcome != Locked && op.Outcome != Deadlock {
			continue
		}
		lacks := slices.ContainsFunc(op.Asks, func(ask holdfast.Ask) bool {
			return !slices.ContainsFunc(d.byHolder[owned{op.UID, ask.Key}], func(h *confirmed) bool {
				return covers(h.mode, ask.Mode) && h.from < op.Call && op.Return < h.to
			})
		})
		if !lacks {
			d.problem("refused what its owner held all the while: %s", op)
		}
	}
}

// inLine is that whoever is said to stand in line has asked to.
func (d *directly) inLine() {
	for i := range d.ops {
		op := &d.ops[i]
		said := func(uid, key string) {
			if !d.mayWait(uid, key, op) {
				d.problem("%s does not stand in line for %s: %s", uid, key, op)
			}
		}
		switch op.Outcome {
		case Locked:
			for _, b := range op.Blockers {
				if b.Waiting {
					said(b.UID, b.Key)
				}
			}
		case Deadlock:
			for _, link := range op.Cycle {
				said(link.UID, link.Key)
			}
		case Done:
			for _, w := range op.Waiters {
				said(w.UID, op.Keys[0])
			}
		}
	}
}

// mayWait says whether an owner may stand in line for a key at some moment of a
// call.
func (d *directly) mayWait(uid, key string, during *Op) bool {
	return slices.ContainsFunc(d.asked[owned{uid, key}], func(o *Op) bool {
		return o.Wait > 0 && o.Call <= during.Return && (o.Outcome == Open || o.Left || o.Return >= during.Call)
	})
}

// inOrder is that nobody barges (rule 3). Where each request has an owner of its
// own and wants one key, whoever was seen in line ahead of another, or before the
// other had asked, is granted first.
func (d *directly) inOrder() {
	asked := map[string]int{}
	for i := range d.ops {
		if op := &d.ops[i]; op.Kind == Lock {
			asked[op.UID]++
		}
	}
	ended := map[owned]*Op{}      // who is granted in the end, or has waited in vain
	granted := map[string][]*Op{} // the first of these by key, by call
	for i := range d.ops {
		op := &d.ops[i]
		if op.Kind != Lock || len(op.Asks) != 1 || asked[op.UID] != 1 {
			continue
		}
		key := op.Asks[0].Key
		switch {
		case op.Outcome == Done && len(op.Held) == 1:
			ended[owned{op.UID, key}] = op
			granted[key] = append(granted[key], op)
		case op.Outcome == Locked:
			ended[owned{op.UID, key}] = op
		}
	}
	for i := range d.ops {
		look := &d.ops[i]
		if look.Kind != Get || look.Outcome != Done {
			continue
		}
		key := look.Keys[0]
		later := granted[key]
		first := sort.Search(len(later), func(i int) bool { return later[i].Call > look.Return })
		later = later[first:min(len(later), first+100)]
		var line []*Op // the last that was seen in line, and before it the earlier ones
		for _, w := range look.Waiters {
			op := ended[owned{w.UID, key}]
			if op == nil {
				continue
			}
			for _, ahead := range line {
				if d.overtook(op, ahead, look) {
					d.problem("%s stood in line behind %s and was granted first, as was seen at %.3f ms", op, ahead, float64(look.Return)/1e6)
				}
			}
			line = append(line, op)
		}
		for _, ahead := range line {
			for _, op := range later {
				if d.overtook(op, ahead, look) {
					d.problem("%s was asked when %s stood in line, as was seen at %.3f ms, and was granted first", op, ahead, float64(look.Return)/1e6)
				}
			}
		}
	}
}

// placeKept is for how long a server keeps the place in line of one that it
// does not hear of: the default of KEEP_PLACES.
const placeKept = 5 * time.Second

// overtook says whether op was granted a key before one who was seen in line
// ahead of it, and with whom it does not share. One who may have been away for too
// long has lost its place. And where a request is asked again on the way, the one
// ahead may have been granted the key without a word reaching it, and have come
// back when that hold had run out, to stand in line once more: then there was time
// for a hold, in which nobody else held the key.
func (d *directly) overtook(op, ahead, look *Op) bool {
	shares := ahead.Asks[0].Mode == holdfast.Shared
	switch {
	case op.Outcome != Done || shares && (op.Asks[0].Mode == holdfast.Shared || ahead.Again):
		return false
	case ahead.Outcome == Locked:
		// In vain: it did not leave before its wait was over. On the way that may
		// have been cut to whole milliseconds.
		return !ahead.Again && op.Return < ahead.Call+(ahead.Wait-1)*1e6
	case ahead.Held[0].Version < op.Held[0].Version || ahead.Return-ahead.Call >= int64(placeKept):
		return false
	}
	return !ahead.Again || d.longestFree(ahead.Asks[0].Key, look.Call, op.Return) < ahead.Exp*1e6
}

// longestFree is the longest time within a span for which nobody holds a key
// for certain.
func (d *directly) longestFree(key string, from, to int64) int64 {
	var longest int64
	for _, h := range d.lives[key] {
		if h.to <= h.from {
			continue
		}
		if h.from >= to {
			break
		}
		longest = max(longest, h.from-from)
		from = max(from, h.to)
	}
	return max(longest, to-from)
}
