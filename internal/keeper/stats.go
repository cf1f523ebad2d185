package keeper

import (
	"time"

	"holdfast"
	"holdfast/internal/stats"
	"holdfast/internal/table"
)

// Stats gives the figures of the locks here. Things are counted while this
// process watches over time, so that on several nodes with the same log each
// is counted by one of them, and none again when a log is replayed.
func (k *Keeper) Stats() stats.Locks {
	k.mu.Lock()
	defer k.mu.Unlock()
	locks := stats.Locks{Counts: k.counts, Holds: k.table.Holds(), Waiters: k.table.Waiters()}
	k.table.EachPlace(func(place uint64) bool {
		c, waitsHere := k.calls[place]
		if waitsHere {
			locks.OldestWaiter = time.Since(c.since)
		}
		return !waitsHere // places are in the order in which they were taken
	})
	return locks
}

// count counts what a command did, which took so many new versions: each
// grant takes one.
func (k *Keeper) count(op table.Op, out *table.Outcome, versions uint64) {
	c := k.counts
	if versions > 0 && op != table.Raise {
		c.Grants.Add(versions)
	}
	if out.Status == table.Deadlock {
		c.Deadlocks.Add(1)
	}
	for i := range out.Events {
		switch out.Events[i].Type {
		case holdfast.EventExtended:
			c.Extensions.Add(1)
		case holdfast.EventReleased:
			c.Releases.Add(1)
		case holdfast.EventExpired:
			c.Expiries.Add(1)
		case holdfast.EventForced:
			c.Forced.Add(1)
		}
	}
}

// countWait counts for how long a call has waited that is over now.
func (k *Keeper) countWait(c *call) {
	if c.grant != nil {
		k.counts.Waited.Since(c.since)
	} else {
		k.counts.Left.Since(c.since)
	}
}

// Stats gives the figures of the locks here; see [Keeper.Stats].
func (s *Service) Stats() stats.Locks { return s.keeper.Stats() }
