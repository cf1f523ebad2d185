package keeper

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// A place that could not be left, since the log took nothing at that moment, is
// left later; what it was granted meanwhile is taken back.
func TestAPlaceThatCannotBeLeftIsLeftLater(t *testing.T) {
	for name, test := range map[string]struct {
		leave     func(p *place, end func())
		meanwhile func(p *place)
		holds     int
	}{
		"its time has run out":                    {func(*place, func()) { time.Sleep(time.Second) }, func(*place) {}, 1},
		"its client is gone":                      {func(_ *place, end func()) { end() }, func(*place) {}, 1},
		"it is let in before it can be left":      {func(_ *place, end func()) { end() }, func(p *place) { p.keeper.Apply(freeing()) }, 0},
		"its client comes back and is let in":     {func(_ *place, end func()) { end() }, (*place).comeBack, 1},
		"it cannot be left at the next time, too": {func(_ *place, end func()) { end() }, func(p *place) { time.Sleep(keptFor + time.Second) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				ctx, end := context.WithCancel(t.Context())
				answer := p.ask(ctx, time.Second)
				p.before(func(cmd *table.Command) error {
					if cmd.Op == table.Cancel {
						return holdfast.Unavailable(nil, "it takes nothing")
					}
					return nil
				})
				test.leave(p, end)
				<-answer
				p.wantInLine(1)
				test.meanwhile(p)
				p.first.Store(nil)
				time.Sleep(2 * keptFor)
				p.wantInLine(0)
				if got := p.Stats().Holds; got != test.holds {
					t.Errorf("%d holds, not %d", got, test.holds)
				}
				p.Stop()
				p.Wait()
			})
		})
	}
}

// comeBack has the client in line come back, and be let in.
func (p *place) comeBack() {
	answer := p.ask(p.Context(), time.Second)
	p.keeper.Apply(freeing())
	if a := <-answer; a.err != nil {
		p.Error(a.err)
	}
}

// A grant that could not be taken back, since the log took nothing at that moment,
// is taken back later, unless its owner has heard of it by then.
func TestAGrantThatCannotBeTakenBackIsTakenBackLater(t *testing.T) {
	for name, back := range map[string]bool{"nobody comes back": false, "its client does": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				defer func() { p.Stop(); p.Wait() }()
				ctx, end := context.WithCancelCause(t.Context())
				p.before(func(cmd *table.Command) error {
					end(holdfast.Unavailable(nil, "the server is stopping"))
					if cmd.Op == table.TakeBack {
						return holdfast.Unavailable(nil, "it takes nothing")
					}
					return nil
				})
				req := holdfast.LockRequest{UID: "c", Keys: holdfast.Keys("y"), Exp: time.Hour}
				grant, err := p.Lock(ctx, req)
				p.wantUnknown(answered{grant, err})
				time.Sleep(keptFor + time.Second) // it takes nothing then, either
				p.first.Store(nil)
				want := 1
				if back {
					want = 2
					if _, err := p.Lock(t.Context(), req); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(2 * keptFor)
				synctest.Wait()
				if got := p.Stats().Holds; got != want {
					t.Errorf("%d holds in the end, not %d", got, want)
				}
			})
		})
	}
}

// Nobody has heard of a hold from an extension whose answer could not be given.
func TestAnExtensionThatIsNotHeardTellsNothing(t *testing.T) {
	for name, told := range map[string]bool{"the grant was not heard either": false, "the grant was heard": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				lock := &table.Command{Op: table.Lock, UID: "c", Keys: holdfast.Keys("y"), Exp: time.Hour}
				extend := &table.Command{Op: table.Extend, UID: "c", Exp: time.Hour}
				granted := p.keeper.Apply(lock)
				want := 2
				if told {
					p.Abandon(extend, p.keeper.Apply(extend))
				} else {
					want = 1
					p.before(func(*table.Command) error { // it is extended before it can be taken back
						p.first.Store(nil)
						p.Abandon(extend, p.keeper.Apply(extend))
						return nil
					})
					p.Abandon(lock, granted)
				}
				if got := p.Stats().Holds; got != want {
					t.Errorf("%d holds, not %d", got, want)
				}
			})
		})
	}
}

// So it is with the places that a new leader finds, and with what they were
// granted.
func TestAnEmptyPlaceThatCannotBeLeftIsLeftLater(t *testing.T) {
	for _, refused := range []table.Op{table.Cancel, table.TakeBack} {
		t.Run(refused.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				p.keeper.Follow(&table.Command{Op: table.Lock, UID: "c", Keys: holdfast.Keys("y"), Exp: time.Hour})
				p.keeper.Follow(&table.Command{Op: table.Lock, UID: "d", Keys: holdfast.Keys("y"), Exp: time.Hour, Wait: true})
				leaveEmpty := p.keeper.KeepPlaces()
				p.keeper.Apply(freeing())
				p.before(func(cmd *table.Command) error {
					if cmd.Op == refused {
						return holdfast.Unavailable(nil, "it takes nothing")
					}
					return nil
				})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go leaveEmpty(ctx, p, keptFor)
				time.Sleep(3*keptFor + time.Second)
				p.first.Store(nil)
				p.keeper.Apply(&table.Command{Op: table.Force, Key: "y"}) // lets d in, if it is still there
				time.Sleep(keptFor)
				p.wantInLine(0)
				if got := p.Stats().Holds; got != 0 {
					t.Errorf("%d holds are left", got)
				}
			})
		})
	}
}

// Whose client comes back before it is tried again keeps it.
func TestAGrantThatCannotBeTakenBackMayBeHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		leaveEmpty := p.keeper.KeepPlaces()
		p.keeper.Apply(freeing())
		p.before(func(cmd *table.Command) error {
			if cmd.Op == table.TakeBack {
				return holdfast.Unavailable(nil, "it takes nothing")
			}
			return nil
		})
		go leaveEmpty(t.Context(), p, keptFor)
		time.Sleep(keptFor + time.Second)
		if a := <-p.ask(t.Context(), 0); a.err != nil {
			t.Error(a.err)
		}
		p.first.Store(nil)
		time.Sleep(2 * keptFor)
		if got := p.Stats().Holds; got != 1 {
			t.Errorf("%d holds, not 1", got)
		}
	})
}

// A grant that comes before its place could be left is told, and not taken back
// later: the place has no other use for it.
func TestAGrantThatIsToldIsNotTakenBackLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		defer func() { p.Stop(); p.Wait() }()
		p.before(func(cmd *table.Command) error {
			if cmd.Op != table.Cancel {
				return nil
			}
			p.keeper.Apply(freeing())
			return holdfast.Unavailable(nil, "it takes nothing")
		})
		if a := <-p.ask(t.Context(), 0); a.err != nil || len(a.Tokens) != 1 {
			t.Errorf("answer: %v, %v", a.Grant, a.err)
		}
		p.first.Store(nil)
		time.Sleep(2 * keptFor)
		synctest.Wait()
		if got := p.Stats().Holds; got != 1 {
			t.Errorf("%d holds, not 1", got)
		}
	})
}

// A grant that nobody can take back, since the process that made it does not lead
// any more, or leads anew, is not told to have come to nothing.
func TestAGrantThatNobodyTakesBackMayStand(t *testing.T) {
	for name, change := range map[string]func(*Keeper){
		"it does not lead any more": func(k *Keeper) { k.clock = nil },
		"it leads anew":             (*Keeper).StartClock,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				r := p.keeper.Apply(&table.Command{Op: table.Lock, UID: "c", Keys: holdfast.Keys("y"), Exp: time.Hour})
				ctx, end := context.WithCancelCause(t.Context())
				end(holdfast.Unavailable(nil, "the server is stopping"))
				change(p.keeper)
				p.wantUnknown(answered{err: p.unheard(ctx, "c", r.Tokens)})
				if got := p.Stats().Holds; got != 2 {
					t.Errorf("%d holds, not 2", got)
				}
			})
		})
	}
}

// Who is granted while he leaves the line hears of it when that has been carried
// out, and for how long his hold lives from then on.
func TestAGrantThatIsToldLateTellsWhatIsLeft(t *testing.T) {
	for _, test := range []struct{ late, left time.Duration }{
		{0, time.Hour},
		{time.Millisecond, time.Hour - time.Millisecond},
		{10*time.Second + time.Microsecond, time.Hour - 10*time.Second - time.Millisecond},
		{time.Hour, time.Hour},     // nothing was left: it is asked again
		{2 * time.Hour, time.Hour}, // nor is there any hold
	} {
		t.Run(test.late.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				defer func() { p.Stop(); p.Wait() }()
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go p.keeper.WatchOver(ctx, p)
				answer := p.ask(p.Context(), time.Second)
				p.before(func(cmd *table.Command) error {
					if cmd.Op == table.Cancel {
						p.first.Store(nil)
						p.keeper.Apply(freeing())
						time.Sleep(test.late)
					}
					return nil
				})
				a := <-answer
				if left, _ := p.keeper.leftOf("x", "b"); a.err != nil || a.Exp != test.left || left != test.left {
					t.Errorf("answer: %v, %v; it has %v left, and should have %v", a.Grant, a.err, left, test.left)
				}
			})
		})
	}
}

// What it was granted first, and of which nothing was left, has not been told.
func TestAGrantThatIsAskedForAgainIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		defer func() { p.Stop(); p.Wait() }()
		ctx, end := context.WithCancelCause(t.Context())
		answer := p.ask(ctx, time.Second)
		p.before(func(cmd *table.Command) error {
			switch cmd.Op {
			case table.Cancel:
				p.keeper.Apply(freeing())
				time.Sleep(time.Hour)
			case table.Lock:
				p.first.Store(nil)
				end(holdfast.Unavailable(nil, "the server is stopping"))
			}
			return nil
		})
		a := <-answer
		if got := p.Stats().Holds; a.err == nil || got != 0 {
			t.Errorf("answer: %v, %v; %d holds", a.Grant, a.err, got)
		}
	})
}
