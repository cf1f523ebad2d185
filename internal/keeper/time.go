package keeper

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/internal/lease"
	"holdfast/internal/table"
)

// expireBatch is how many holds one command ends at most, so that very many
// that run out at once do not hold up anybody else for longer than that.
const expireBatch = 256

// leaveBatch is how many empty places are left at once, at most.
const leaveBatch = 256

// StartClock makes this process the owner of the lease clock: every hold
// begins with its full life. WatchOver has to follow.
func (k *Keeper) StartClock() {
	k.feed.Renew()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.startClock()
}

func (k *Keeper) startClock() {
	k.sieve.clear()
	k.clock = lease.New()
	k.clock.Began = k.sieve.began
	k.clock.Ended = func(key, uid string, held time.Duration) {
		k.sieve.ended(key, uid)
		k.counts.Held.Add(int64(held))
	}
	k.table.EachHold(func(h *holdfast.Hold) {
		k.clock.Begin(h.Key, h.UID, h.Version, h.Exp)
		k.clock.Know(h.Key, h.UID) // from an earlier leader, for all that can be said
	})
	k.armed = time.Time{}
	k.rearm()
}

// WatchOver ends what has run out until ctx ends, and then gives the lease
// clock up.
func (k *Keeper) WatchOver(ctx context.Context, log Log) {
	defer func() {
		k.mu.Lock()
		k.clock = nil
		k.mu.Unlock()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-k.wake:
		case <-ctx.Done():
			return
		}
		for k.expireSome(ctx, log) {
			runtime.Gosched() // whoever waits for the keeper goes first
		}
		k.mu.Lock()
		if k.armed = k.clock.Next(); !k.armed.IsZero() {
			timer.Reset(time.Until(k.armed))
		}
		k.mu.Unlock()
	}
}

// rearm wakes whoever watches over time if it would come too late.
func (k *Keeper) rearm() {
	if next := k.clock.Next(); !next.IsZero() && (k.armed.IsZero() || next.Before(k.armed)) {
		k.armed = next
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
}

// expireSome ends holds that have run out, and says whether there may be
// more of them.
func (k *Keeper) expireSome(ctx context.Context, log Log) bool {
	var ended []table.Owned
	k.mu.Lock()
	seen := k.table.Applied()
	k.clock.Due(expireBatch, func(key, uid string, version uint64) {
		ended = append(ended, table.Owned{UID: uid, Token: holdfast.Token{Key: key, Version: version}})
	})
	k.mu.Unlock()
	if len(ended) > 0 {
		// What fails is due again a little later.
		log.Propose(ctx, table.Command{Op: table.Expire, Ended: ended, Seen: seen})
	}
	return len(ended) == expireBatch
}

// KeepPlaces keeps the places in line at which nobody waits here, since their
// clients knew another leader: a client that comes back finds its old place. It
// must come before the first request. Then leaveEmpty waits for so long, leaves
// those that are still empty, and takes back what they were granted meanwhile
// (rule 9).
func (k *Keeper) KeepPlaces() (leaveEmpty func(ctx context.Context, log Log, keep time.Duration)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	places := k.table.Places()
	k.unmet = []table.Grant{}
	return func(ctx context.Context, log Log, keep time.Duration) { k.leaveEmpty(ctx, log, keep, places) }
}

func (k *Keeper) leaveEmpty(ctx context.Context, log Log, keep time.Duration, places []uint64) {
	for left := false; !left; {
		select {
		case <-time.After(keep):
			left = k.tryToLeave(ctx, log, places)
		case <-ctx.Done():
			k.takeUnmet()
			return
		}
	}
}

// tryToLeave leaves those places that are still empty, and takes back what they
// were granted. It says false if some of that has to be tried again.
func (k *Keeper) tryToLeave(ctx context.Context, log Log, places []uint64) bool {
	var again atomic.Bool
	atOnce(places, func(place uint64) {
		k.mu.Lock()
		_, attended := k.calls[place]
		cancel := table.Command{Op: table.Cancel, Place: place, Seen: k.table.Applied()}
		empty := !attended && k.table.InLine(place)
		k.mu.Unlock()
		if empty {
			if _, err := log.Propose(ctx, cancel); err != nil {
				again.Store(true)
			}
		}
	})
	if again.Load() {
		return false
	}
	atOnce(k.takeUnmet(), func(grant table.Grant) {
		if undo := k.undo(grant.UID, grant.Tokens); undo != nil {
			if _, err := log.Propose(ctx, *undo); err != nil {
				again.Store(true)
				k.putUnmet(table.Grant{UID: grant.UID, Tokens: undo.Tokens})
			}
		}
	})
	return !again.Load()
}

// atOnce does something with each of a list, with many of them at once: they may
// all go to the disk together.
func atOnce[T any](list []T, do func(T)) {
	for some := range slices.Chunk(list, leaveBatch) {
		var all sync.WaitGroup
		for _, one := range some {
			all.Go(func() { do(one) })
		}
		all.Wait()
	}
}

// takeUnmet ends the gathering of grants to empty places, and gives them.
func (k *Keeper) takeUnmet() []table.Grant {
	k.mu.Lock()
	defer k.mu.Unlock()
	unmet := k.unmet
	k.unmet = nil
	return unmet
}

// putUnmet puts one back that could not be taken back.
func (k *Keeper) putUnmet(grant table.Grant) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unmet = append(k.unmet, grant)
	k.tell(grant.UID, grant.Tokens)
}
