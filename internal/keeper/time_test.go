package keeper

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// Only who does not come back loses the place: not one who waits there again,
// and one who has come and gone has none to lose.
func TestOnlyEmptyPlacesAreLeft(t *testing.T) {
	for name, test := range map[string]struct {
		back        func(*place)
		left, still int
	}{
		"nobody comes back": {func(*place) {}, 1, 0},
		"one waits there":   {func(p *place) { p.ask(p.Context(), time.Hour) }, 0, 1},
		"one has been there": {func(p *place) {
			ctx, leave := context.WithCancel(p.Context())
			answer := p.ask(ctx, time.Hour)
			leave()
			<-answer
		}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				leaveEmpty := p.keeper.KeepPlaces()
				test.back(p)
				left := 0
				p.before(func(*table.Command) error { left++; return nil })
				leaveEmpty(t.Context(), p, keptFor)
				if left != test.left {
					t.Errorf("%d places are left, not %d", left, test.left)
				}
				p.wantInLine(test.still)
				p.Stop()
				p.Wait()
			})
		})
	}
}

// Who does not lead any more leaves no place, and gathers no grants.
func TestPlacesAreLeftToTheNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		leaveEmpty := p.keeper.KeepPlaces()
		p.before(func(cmd *table.Command) error { t.Errorf("it proposes %v", cmd.Op); return nil })
		ctx, end := context.WithCancel(t.Context())
		end()
		leaveEmpty(ctx, p, keptFor)
		p.keeper.Follow(freeing())
		if unmet := p.keeper.takeUnmet(); unmet != nil {
			t.Errorf("gathered: %v", unmet)
		}
	})
}

// Whoever becomes the one that watches over time gives every hold its full life,
// also those of another table, and says so to who has waited or watched.
func TestEveryHoldLivesAnewHere(t *testing.T) {
	for name, begin := range map[string]func(*place){
		"it leads":               func(p *place) { p.keeper.StartClock() },
		"it has another table":   func(p *place) { p.keeper.Replace(newPlace(p.T).keeper.table) },
		"it leads after another": func(p *place) { p.keeper.clock = nil; p.keeper.StartClock() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				time.Sleep(time.Minute)
				before := p.keeper.table
				begin(p)
				if left, held := p.keeper.leftOf("x", "a"); left != time.Hour || held != 0 {
					t.Errorf("left %v, held %v", left, held)
				}
				if undo := p.keeper.undo("a", []holdfast.Token{{Key: "x", Version: 1}}); undo != nil {
					t.Errorf("it may be taken back: %v", undo)
				}
				if (p.keeper.table == before) != (name != "it has another table") {
					t.Error("it goes on with the wrong table")
				}
			})
		})
	}
}

// Who does not watch over time knows of no time, nor who was told of what. It
// goes on like that with another table.
func TestAFollowerHasNoClock(t *testing.T) {
	k := New(0)
	k.Follow(&table.Command{Op: table.Lock, UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	k.Follow(&table.Command{Op: table.Lock, UID: "b", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: true})
	lock := k.get("x")
	if len(lock.Waiters) != 1 || lock.Waiters[0].Waited != 0 {
		t.Errorf("%+v", lock)
	}
	if len(lock.Holders) != 1 || lock.Holders[0].Exp != 0 || lock.Holders[0].Held != 0 {
		t.Errorf("%+v", lock)
	}
	refused := k.Apply(&table.Command{Op: table.Lock, UID: "b", Keys: holdfast.Keys("x"), Exp: time.Hour})
	if len(refused.Blockers) != 1 || refused.Blockers[0].Exp != 0 {
		t.Errorf("%+v", refused.Blockers)
	}
	tokens := []holdfast.Token{{Key: "x", Version: 1}}
	if until, undo := k.tell("a", tokens), k.undo("a", tokens); remaining(until) != 0 || undo != nil {
		t.Errorf("%v are left, undo %v", remaining(until), undo)
	}
	k.Replace(table.New(7))
	if k.clock != nil || k.Version() != 7 {
		t.Errorf("clock %v, version %d", k.clock, k.Version())
	}
}

// Who watches over time writes nothing while nothing runs out, and all that has
// run out, however much that is.
func TestWhatRunsOutIsProposed(t *testing.T) {
	for _, many := range []int{0, 1, expireBatch, expireBatch + 1, 3 * expireBatch} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t)
			ctx, end := context.WithCancel(t.Context())
			defer end()
			for i := range many {
				p.keeper.Apply(&table.Command{Op: table.Lock, UID: "c", Keys: holdfast.Keys(fmt.Sprint(i)), Exp: time.Minute})
			}
			proposed := 0
			p.before(func(*table.Command) error { proposed++; return nil })
			go p.keeper.WatchOver(ctx, p)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if want := (many + expireBatch - 1) / expireBatch; proposed != want {
				t.Errorf("%d commands for %d holds, not %d", proposed, many, want)
			}
			if got := p.Stats().Holds; got != 1 {
				t.Errorf("%d holds of %d are left", got-1, many)
			}
		})
	}
}

// So does what another table holds, though nothing ran out before and nobody asks
// for anything.
func TestWhatAnotherTableHoldsRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		p.keeper.Replace(table.New(0))
		ctx, end := context.WithCancel(t.Context())
		defer end()
		go p.keeper.WatchOver(ctx, p)
		synctest.Wait()
		p.keeper.Replace(newPlace(t).keeper.table)
		time.Sleep(3 * time.Hour) // a's hour, and that of b, who is let in then
		if got := p.Stats().Holds; got != 0 {
			t.Errorf("%d holds are left", got)
		}
	})
}

// With another table, or another leader, whoever waits here asks again, and
// whoever watches comes back.
func TestWhoWaitsOrWatchesIsSentAway(t *testing.T) {
	for name, test := range map[string]struct {
		away              func(*place)
		waiters, watchers bool
	}{
		"another table":       {func(p *place) { p.keeper.Replace(newPlace(p.T).keeper.table) }, true, false},
		"it begins to lead":   {func(p *place) { p.keeper.StartClock() }, false, true},
		"it leads no more":    {func(p *place) { p.keeper.SendAway() }, true, true},
		"nothing has changed": {func(*place) {}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				ctx, end := context.WithCancel(t.Context())
				defer end()
				go p.Lock(ctx, holdfast.LockRequest{UID: "c", Keys: holdfast.Keys("x"), Wait: time.Minute})
				synctest.Wait()
				events, err := p.Watch(ctx, holdfast.WatchRequest{})
				if err != nil {
					t.Fatal(err)
				}
				watched := make(chan error, 9)
				go func() {
					for _, err := range events {
						watched <- err
					}
				}()
				var again atomic.Int32
				p.ask(ctx, time.Minute)
				p.before(func(cmd *table.Command) error {
					if cmd.Op == table.Lock {
						again.Add(1)
					}
					return nil
				})
				test.away(p)
				synctest.Wait()
				if want := map[bool]int32{true: 2}[test.waiters]; again.Load() != want {
					t.Errorf("%d of those who wait ask again, not %d", again.Load(), want)
				}
				if away := len(watched) == 1 && holdfast.ErrorCode(<-watched) == holdfast.CodeUnavailable; away != test.watchers {
					t.Errorf("who watches is sent away: %v", away)
				}
				p.Stop()
				p.Wait()
			})
		})
	}
}
