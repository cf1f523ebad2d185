package table

import "fmt"

// Limits bound what a Lock command may lead to; zero is no limit. They are part
// of the command, so that machines with other settings come to the same state.
// What is held already, or waited for already, may be asked again whatever
// they say.
//
// A request in line counts as if it held all that it asks: once it is granted
// nothing is asked any more.
type Limits struct {
	Holds        int // holds, and keys that requests in line ask, of everybody
	HoldsOfUID   int // the same of one uid
	WaitersOfUID int // requests in line of one uid
	WaitersOfKey int // requests in line for one key
}

// The names of the limits, with which their messages begin.
const (
	LimitHolds        = "holds"
	LimitHoldsOfUID   = "holds of a uid"
	LimitWaitersOfUID = "waiters of a uid"
	LimitWaitersOfKey = "waiters of a key"
)

// Beyond is the message for who goes beyond the limit of that name; the uid or
// the key that it is of is owner.
func (l *Limits) Beyond(name, owner string) string {
	switch name {
	case LimitHolds:
		return fmt.Sprintf("%s: at most %d holds and keys waited for are allowed at once", name, l.Holds)
	case LimitHoldsOfUID:
		return fmt.Sprintf("%s: %q may hold and wait for at most %d keys at once", name, owner, l.HoldsOfUID)
	case LimitWaitersOfUID:
		return fmt.Sprintf("%s: %q may stand in line %d times at once", name, owner, l.WaitersOfUID)
	default:
		return fmt.Sprintf("%s: at most %d may stand in line for key %q", name, l.WaitersOfKey, owner)
	}
}

// tooMany says which limit r would go beyond if it were granted, or, with
// wait, if it joined the line; "" if none.
func (t *Table) tooMany(r *request, limits *Limits, wait bool) string {
	if *limits == (Limits{}) {
		return ""
	}
	more := 0
	for i := range r.asks {
		if wait || t.holdOf(r.uid, r.asks[i].Key) == nil {
			more++
		}
	}
	if more == 0 {
		return ""
	}
	if limits.Holds > 0 && t.Holds()+t.asked+more > limits.Holds {
		return limits.Beyond(LimitHolds, "")
	}
	if limits.HoldsOfUID > 0 && t.ofUID(r.uid)+more > limits.HoldsOfUID {
		return limits.Beyond(LimitHoldsOfUID, r.uid)
	}
	if !wait {
		return ""
	}
	if limits.WaitersOfUID > 0 && len(t.waitersOf(r.uid)) >= limits.WaitersOfUID {
		return limits.Beyond(LimitWaitersOfUID, r.uid)
	}
	for i := range r.asks {
		if l, ok := t.lines.Get(r.asks[i].Key); ok && limits.WaitersOfKey > 0 && l.length >= limits.WaitersOfKey {
			return limits.Beyond(LimitWaitersOfKey, r.asks[i].Key)
		}
	}
	return ""
}

// ofUID counts what a uid holds, and what it asks in line. The first who wants
// to know has all holds counted; from then on the count is kept.
func (t *Table) ofUID(uid string) int {
	if t.held == nil {
		t.held = make(map[string]int)
		t.byKey.Scan(func(h *hold) bool {
			if h != &nobody {
				t.held[h.UID]++
			}
			return true
		})
	}
	n := t.held[uid]
	for _, w := range t.waitersOf(uid) {
		n += len(w.asks)
	}
	return n
}

// count keeps the count, if somebody wants it.
func (t *Table) count(uid string, more int) {
	if t.held == nil {
		return
	}
	if t.held[uid] += more; t.held[uid] == 0 {
		delete(t.held, uid)
	}
}
