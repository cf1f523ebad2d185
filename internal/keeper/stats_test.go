package keeper_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/keeper"
	"holdfast/internal/memory"
	"holdfast/internal/stats"
	"holdfast/internal/table"
)

// told writes the counts that a test looks at.
func told(l stats.Locks) string {
	return fmt.Sprintf("grants %d extensions %d releases %d expiries %d forced %d deadlocks %d; holds %d waiters %d",
		l.Grants.Load(), l.Extensions.Load(), l.Releases.Load(), l.Expiries.Load(), l.Forced.Load(), l.Deadlocks.Load(), l.Holds, l.Waiters)
}

// Each thing that happens is counted once, and where it belongs.
func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		defer s.Close()
		lock := func(uid string, wait time.Duration, keys ...string) (holdfast.Grant, error) {
			return s.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(keys...), Exp: time.Hour, Wait: wait})
		}
		counts := func(want string) {
			t.Helper()
			synctest.Wait()
			all := s.Stats()
			if got := told(all); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			count, err := s.Count(t.Context())
			if want := (holdfast.Count{Holds: all.Holds, Waiters: all.Waiters}); err != nil || count != want {
				t.Errorf("counted %v, %v; want %v", count, err, want)
			}
		}
		counts("grants 0 extensions 0 releases 0 expiries 0 forced 0 deadlocks 0; holds 0 waiters 0")

		grant, err := lock("a", 0, "x", "y") // one grant of two holds
		if err != nil {
			t.Fatal(err)
		}
		lock("b", 0, "x") // a refusal is none
		counts("grants 1 extensions 0 releases 0 expiries 0 forced 0 deadlocks 0; holds 2 waiters 0")
		lock("a", 0, "x") // held already
		s.Extend(t.Context(), holdfast.ExtendRequest{UID: "a", Exp: time.Hour})
		counts("grants 1 extensions 3 releases 0 expiries 0 forced 0 deadlocks 0; holds 2 waiters 0")

		// One waits for ten seconds and is let in, one waits in vain.
		time.Sleep(20 * time.Second)
		go lock("b", time.Hour, "x")
		time.Sleep(time.Second)
		go lock("c", 3*time.Second, "y")
		time.Sleep(time.Second)
		counts("grants 1 extensions 3 releases 0 expiries 0 forced 0 deadlocks 0; holds 2 waiters 2")
		if got := s.Stats().OldestWaiter; got != 2*time.Second {
			t.Errorf("the oldest waiter is %v old", got)
		}
		time.Sleep(8 * time.Second)
		s.Unlock(t.Context(), holdfast.UnlockRequest{UID: "a", Tokens: grant.Tokens[:1]})
		counts("grants 2 extensions 3 releases 1 expiries 0 forced 0 deadlocks 0; holds 2 waiters 0")
		if got := s.Stats().OldestWaiter; got != 0 {
			t.Errorf("without waiters the oldest is %v old", got)
		}

		go lock("a", time.Hour, "x")
		synctest.Wait()
		if _, err := lock("b", time.Hour, "y"); holdfast.ErrorCode(err) != holdfast.CodeDeadlock {
			t.Errorf("got %v", err)
		}
		counts("grants 2 extensions 3 releases 1 expiries 0 forced 0 deadlocks 1; holds 2 waiters 1")
		s.Force(t.Context(), holdfast.ForceRequest{Key: "x"})
		counts("grants 3 extensions 3 releases 1 expiries 0 forced 1 deadlocks 1; holds 2 waiters 0")
		time.Sleep(2 * time.Hour)
		counts("grants 3 extensions 3 releases 1 expiries 2 forced 1 deadlocks 1; holds 0 waiters 0")

		got := s.Stats()
		for name, d := range map[string]struct {
			stats.Distribution
			count uint64
			sum   time.Duration
		}{
			"waited": {got.Waited.Read(), 2, 10 * time.Second}, // b, and a until the forced release
			"left":   {got.Left.Read(), 1, 3 * time.Second},
			// x of a and of b; then x and y of a, to their end
			"held": {got.Held.Read(), 4, 30*time.Second + 0 + time.Hour + time.Hour},
		} {
			if sum := time.Duration(d.Sum).Round(time.Second); d.Count() != d.count || sum != d.sum {
				t.Errorf("%s: %d, %v; want %d, %v", name, d.Count(), sum, d.count, d.sum)
			}
		}
	})
}

// What is replayed, or watched over by another, is not counted here.
func TestWhoDoesNotWatchOverTimeCountsNothing(t *testing.T) {
	k := keeper.New(1)
	lock := &table.Command{Op: table.Lock, UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour}
	k.Follow(lock)
	if got := told(k.Stats()); got != "grants 0 extensions 0 releases 0 expiries 0 forced 0 deadlocks 0; holds 1 waiters 0" {
		t.Errorf("got %s", got)
	}
	k.StartClock()
	k.Follow(&table.Command{Op: table.Raise, Floor: 1000}) // takes versions, but grants nothing
	k.Follow(lock)
	k.Follow(&table.Command{Op: table.Lock, UID: "a", Keys: holdfast.Keys("y"), Exp: time.Hour})
	if got := told(k.Stats()); got != "grants 1 extensions 1 releases 0 expiries 0 forced 0 deadlocks 0; holds 2 waiters 0" {
		t.Errorf("got %s", got)
	}
}

// Somebody else's waiters may be older.
func TestTheOldestWaiterIsOneWhoWaitsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keeper.New(0)
		ask := func(uid string) *table.Command {
			return &table.Command{Op: table.Lock, UID: uid, Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: true}
		}
		k.Follow(ask("a"))
		k.Follow(ask("b"))
		time.Sleep(time.Second)
		k.Apply(ask("c"))
		time.Sleep(time.Second)
		k.Apply(ask("d"))
		time.Sleep(time.Second)
		if got := k.Stats().OldestWaiter; got != 2*time.Second {
			t.Errorf("it is %v old", got)
		}
	})
}
