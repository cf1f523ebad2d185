// Package keeper keeps the lock table in one process together with all that
// follows from its changes: the deadlines of holds, those who wait for a
// grant, and those who watch. What it leaves open is how a command gets to
// the table, at once or through a replicated log; that is the [Log], in which
// the stores that have a table differ.
package keeper

import (
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/feed"
	"holdfast/internal/lease"
	"holdfast/internal/stats"
	"holdfast/internal/table"
)

// Keeper is the state. All methods may be called at once from any number of
// goroutines, and none waits for anything but the others.
type Keeper struct {
	mu    sync.Mutex
	table *table.Table
	clock *lease.Clock     // nil while this process does not watch over time
	calls map[uint64]*call // who waits for a grant here, by place in line
	sieve sieve            // of what the clock watches over

	// unmet are grants to places at which nobody waits here, while such places
	// are kept; see KeepPlaces. It is nil otherwise.
	unmet []table.Grant

	armed time.Time     // when the clock's owner will look again; zero for never
	wake  chan struct{} // there is a deadline before armed

	feed   *feed.Feed
	counts *stats.Counts
}

// call is a place in line and the requests that wait at it: usually one, but
// the same owner may ask the same thing again before the first answer.
type call struct {
	place   uint64
	since   time.Time
	waiting int           // requests that wait here
	kept    int           // requests that leave later: their client may come back, see ErrLost, or they could not leave
	leaving int           // requests that are about to leave, and may be granted before they have
	over    chan struct{} // closed when the place is left, with a grant or without
	grant   *table.Grant  // once over is closed; nil if it was left without
	until   time.Time     // with grant: when the hold ends that ends first
}

func (c *call) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// Result is what a command did, in memory of its own.
type Result struct {
	Status   table.Status
	Tokens   []holdfast.Token
	Lost     []holdfast.Token
	Freed    []holdfast.Released
	Blockers []holdfast.Blocker // with what is left of their holds
	Cycle    []holdfast.Link

	OverLimit string // table.Limited: which limit, in words

	Exp time.Duration // of Tokens that are granted or extended: what is left of the hold that ends first

	call *call // table.InLine: where to wait. Refused: where the same request stands, to be left; or nil
}

// New gives a keeper of an empty table whose first version is greater than
// floor. It does not watch over time yet.
func New(floor uint64) *Keeper {
	return &Keeper{
		table: table.New(floor),
		calls: make(map[uint64]*call),
		wake:  make(chan struct{}, 1),
		feed:  feed.New(),

		counts: stats.NewCounts(),
	}
}

// Follow carries out a command that another process proposed, or one of an
// earlier life: nobody here waits for its result. Whom it lets in has to ask
// again if it waits here: for how long its hold lives is known where the
// command comes from.
func (k *Keeper) Follow(cmd *table.Command) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.apply(cmd, false)
}

// Finish carries out a command as Follow does, but somebody here waits for its
// result: this process has proposed it, and does not lead any more. It is not for
// Lock and Extend, whose result tells for how long a hold lives.
func (k *Keeper) Finish(cmd *table.Command) Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.result(cmd, k.apply(cmd, false))
}

// Apply carries out a command and all that follows from it. The result of a Lock
// or Extend must get to who asked, or to [Service.Abandon]: a grant of which its
// owner is not told is to be taken back, and a place at which nobody waits to be
// left.
func (k *Keeper) Apply(cmd *table.Command) Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.result(cmd, k.apply(cmd, true))
}

func (k *Keeper) apply(cmd *table.Command, own bool) *table.Outcome {
	before := k.table.Version()
	out := k.table.Apply(cmd)
	if k.clock != nil {
		k.clock.Follow(out.Events)
		k.rearm()
		k.count(cmd.Op, out, k.table.Version()-before)
	}
	k.feed.Publish(out.Events)
	for i := range out.Grants {
		grant := &out.Grants[i]
		if _, here := k.calls[grant.Place]; here && !own {
			k.leave(grant.Place, nil)
		} else {
			k.leave(grant.Place, grant)
		}
	}
	if cmd.Op == table.Cancel && !k.table.InLine(cmd.Place) {
		k.leave(cmd.Place, nil)
	}
	return out
}

// leave ends the call at a place in line.
func (k *Keeper) leave(place uint64, grant *table.Grant) {
	c, ok := k.calls[place]
	switch {
	case ok && grant != nil:
		copied := *grant
		c.grant = &copied
		for range c.waiting + c.kept + c.leaving {
			c.until = k.tell(grant.UID, grant.Tokens)
		}
	case grant != nil && k.unmet != nil:
		k.unmet = append(k.unmet, *grant)
		k.tell(grant.UID, grant.Tokens)
	}
	if ok {
		k.countWait(c)
		delete(k.calls, place)
		close(c.over)
	}
}

// SendAway tells whoever waits for a grant, or watches, to ask again, perhaps
// elsewhere. Their places in line stay.
func (k *Keeper) SendAway() {
	k.feed.Renew()
	k.mu.Lock()
	defer k.mu.Unlock()
	for place := range k.calls {
		k.leave(place, nil)
	}
}

func (k *Keeper) result(cmd *table.Command, out *table.Outcome) Result {
	r := Result{
		Status:   out.Status,
		Tokens:   slices.Clone(out.Tokens),
		Lost:     slices.Clone(out.Lost),
		Freed:    slices.Clone(out.Freed),
		Blockers: k.blockers(out.Blockers),
		Cycle:    out.Cycle,

		OverLimit: out.OverLimit,
	}
	if out.Status == table.Granted || cmd.Op == table.Extend {
		r.Exp = remaining(k.tell(cmd.UID, out.Tokens))
	}
	if out.Place != 0 {
		c, ok := k.calls[out.Place]
		if !ok {
			c = &call{place: out.Place, since: time.Now(), over: make(chan struct{})}
			k.calls[out.Place] = c
		}
		c.waiting++
		r.call = c
	}
	return r
}

// blockers gives a copy with what is left of their holds.
func (k *Keeper) blockers(blockers []holdfast.Blocker) []holdfast.Blocker {
	blockers = slices.Clone(blockers)
	for i := range blockers {
		if b := &blockers[i]; !b.Waiting {
			b.Exp, _ = k.leftOf(b.Key, b.UID)
		}
	}
	return blockers
}

func (k *Keeper) leftOf(key, uid string) (left, held time.Duration) {
	if k.clock == nil {
		return 0, 0
	}
	return k.clock.Left(key, uid)
}

// keep notes that the client of one of the requests at a call may come back:
// leave its place only when that has taken too long.
func (k *Keeper) keep(c *call) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.waiting--
	c.kept++
}

// giveUp notes that the client has not come back in time. Unless somebody else
// still has a use for the place, the request waits there again, to be taken
// away for good.
func (k *Keeper) giveUp(c *call) (last bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.kept--
	if k.calls[c.place] == c && c.waiting+c.kept > 0 {
		return false
	}
	c.waiting++
	return true
}

// detach takes one request from a call. If nobody waits there any more it
// gives the command that leaves the place, even if it is kept for another one
// of the same owner: that one is an earlier attempt. Otherwise blockers are
// who is in the way. Over says that the call was over before.
func (k *Keeper) detach(c *call) (cancel *table.Command, blockers []holdfast.Blocker, over bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.waiting--
	if k.calls[c.place] != c {
		return nil, nil, true
	}
	if c.waiting > 0 {
		return nil, k.blockers(k.table.Blockers(c.place)), false
	}
	c.leaving++
	return &table.Command{Op: table.Cancel, Place: c.place, Seen: k.table.Applied()}, nil, false
}

// detached ends what detach began: the place has been left; or its owner has
// come back to it meanwhile, and others wait there. If it could not be left it
// is kept, to be left later.
func (k *Keeper) detached(c *call, failed bool) (others, kept bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.leaving--
	others = k.calls[c.place] == c
	if kept = others && failed; kept {
		c.kept++
	}
	return others, kept
}

// tell notes that the owner hears of these holds, and gives the end of the one
// that ends first; the zero time if this process does not watch over time. If the
// answer cannot be given, undo must follow.
func (k *Keeper) tell(uid string, tokens []holdfast.Token) (until time.Time) {
	if k.clock == nil {
		return time.Time{}
	}
	return k.clock.Tell(uid, tokens)
}

// remaining is what is left until a hold ends, in whole milliseconds; nothing of
// the zero time, which has long passed.
func remaining(until time.Time) time.Duration {
	return max(0, time.Until(until).Truncate(time.Millisecond))
}

// undo gives the command that takes back what a grant made when its answer
// cannot be given, as far as its owner does not learn of it from another one
// (rule 9); nil if that is nothing.
func (k *Keeper) undo(uid string, tokens []holdfast.Token) *table.Command {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.clock == nil {
		return nil
	}
	unknown := k.clock.Doubt(uid, tokens)
	if len(unknown) == 0 {
		return nil
	}
	return &table.Command{Op: table.TakeBack, UID: uid, Tokens: unknown, Seen: k.table.Applied()}
}

// postpone notes that what undo gave could not be carried out: undo must follow
// again.
func (k *Keeper) postpone(uid string, tokens []holdfast.Token) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tell(uid, tokens)
}

// Replace goes on with another table: the one of a snapshot. Whoever waits
// for a grant of the old one is told to ask again.
func (k *Keeper) Replace(t *table.Table) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.table = t
	for place := range k.calls {
		k.leave(place, nil)
	}
	if k.clock != nil {
		k.startClock()
	}
}

// Snapshot takes a snapshot of the table, to be written out beside it.
func (k *Keeper) Snapshot() *table.Snapshot {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.table.Snapshot()
}

// Version is the last version granted.
func (k *Keeper) Version() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.table.Version()
}
