package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// place is a process that leads, with the key x held by a, and b in line for
// it since before: nobody waits here.
type place struct {
	*testing.T
	*Service
	first atomic.Pointer[func(*table.Command) error] // see before
}

const keptFor = 5 * time.Second

func newPlace(t *testing.T) *place {
	p := &place{T: t}
	p.Service = NewService(New(0), p, keptFor)
	p.keeper.Follow(&table.Command{Op: table.Lock, UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	p.keeper.Follow(&table.Command{Op: table.Lock, UID: "b", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: true})
	p.keeper.StartClock()
	return p
}

func (p *place) Propose(_ context.Context, cmd table.Command) (Result, error) {
	if do := p.first.Load(); do != nil {
		if err := (*do)(&cmd); err != nil {
			return Result{}, err
		}
	}
	return p.keeper.Apply(&cmd), nil
}

// before has something done before each command from now on; its error is that
// of the command.
func (p *place) before(do func(*table.Command) error) { p.first.Store(&do) }

func (p *place) Verify(context.Context) error { return nil }

func (p *place) wantInLine(n int) {
	p.Helper()
	synctest.Wait()
	if got := p.Stats().Waiters; got != n {
		p.Errorf("%d in line, not %d", got, n)
	}
}

// freeing lets go of the key.
func freeing() *table.Command {
	return &table.Command{Op: table.Unlock, UID: "a", Tokens: []holdfast.Token{{Key: "x", Version: 1}}}
}

type answered struct {
	holdfast.Grant
	err error
}

// ask asks for the key for b.
func (p *place) ask(ctx context.Context, wait time.Duration) chan answered {
	answer := make(chan answered, 1)
	go func() {
		grant, err := p.Lock(ctx, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: wait})
		answer <- answered{grant, err}
	}()
	synctest.Wait()
	return answer
}

// lost ends a request as if the server that passed it on were gone.
func lost() (context.Context, func()) {
	ctx, end := context.WithCancelCause(context.Background())
	return ctx, func() { end(ErrLost); synctest.Wait() }
}

func (p *place) wantLocked(a answered) {
	p.Helper()
	refusal, ok := errors.AsType[*holdfast.Error](a.err)
	if !ok || refusal.Code != holdfast.CodeLocked || len(refusal.Blockers) != 1 || refusal.Blockers[0].UID != "a" {
		p.Errorf("answer: %v, %v", a.Grant, a.err)
	}
}

func (p *place) wantUnknown(a answered) {
	p.Helper()
	refusal, ok := errors.AsType[*holdfast.Error](a.err)
	if !ok || refusal.Code != holdfast.CodeUnavailable || !refusal.OutcomeUnknown {
		p.Errorf("answer: %v, %v", a.Grant, a.err)
	}
}

// Who is refused is not granted anything afterwards: what an earlier attempt
// of the same request had in line with another leader is left first.
func TestARefusalIsTheLastWord(t *testing.T) {
	errGone := holdfast.Unavailable(nil, "gone")
	for name, test := range map[string]func(*place){
		"nobody waits there": func(p *place) {
			p.wantLocked(<-p.ask(p.Context(), 0))
			p.wantInLine(0)
		},
		"the same owner waits there": func(p *place) {
			first := p.ask(p.Context(), time.Minute)
			p.wantLocked(<-p.ask(p.Context(), 0))
			p.wantInLine(1)
			p.keeper.Apply(freeing())
			if a := <-first; a.err != nil {
				p.Error(a.err)
			}
		},
		"the same owner comes meanwhile": func(p *place) {
			var first chan answered
			p.before(func(cmd *table.Command) error {
				if cmd.Op == table.Cancel {
					p.first.Store(nil)
					first = make(chan answered, 1)
					r := p.keeper.Apply(&table.Command{Op: table.Lock, UID: "b", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: true})
					go func() {
						grant, _, err := p.await(p.Context(), r.call, time.Now().Add(time.Minute))
						first <- answered{grant, err}
					}()
				}
				return nil
			})
			p.wantLocked(<-p.ask(p.Context(), 0))
			p.wantInLine(1)
			p.keeper.Apply(freeing())
			if a := <-first; a.err != nil {
				p.Error(a.err)
			}
		},
		"an attempt that was lost is kept there": func(p *place) {
			ctx, lose := lost()
			first := p.ask(ctx, time.Minute)
			lose()
			if a := <-first; a.err != ErrLost {
				p.Error(a.err)
			}
			p.wantInLine(1)
			p.wantLocked(<-p.ask(p.Context(), 0))
			p.wantInLine(0)
			time.Sleep(2 * keptFor)
		},
		"it is granted before it is left": func(p *place) {
			p.before(func(cmd *table.Command) error {
				if cmd.Op == table.Cancel {
					p.keeper.Apply(freeing())
				}
				return nil
			})
			if a := <-p.ask(p.Context(), 0); a.err != nil || a.Tokens[0].Version != 2 || a.Exp == 0 {
				p.Errorf("answer: %v, %v", a.Grant, a.err)
			}
		},
		"everybody is sent away, and it is granted, before it is left": func(p *place) {
			answer := p.ask(p.Context(), time.Second)
			p.before(func(cmd *table.Command) error {
				if cmd.Op == table.Cancel {
					p.keeper.SendAway()
					p.keeper.Apply(freeing())
				}
				return nil
			})
			if a := <-answer; a.err != nil || a.Tokens[0].Version != 2 || a.Exp == 0 {
				p.Errorf("answer: %v, %v", a.Grant, a.err)
			}
		},
		"it cannot be left": func(p *place) {
			p.before(func(cmd *table.Command) error {
				if cmd.Op == table.Cancel {
					return errGone
				}
				return nil
			})
			p.wantUnknown(<-p.ask(p.Context(), 0))
		},
		"the wait is over when everybody is sent away": func(p *place) {
			answer := p.ask(p.Context(), time.Second)
			p.before(func(*table.Command) error { return errGone })
			time.Sleep(time.Second) // wakes before the one who waits
			p.keeper.SendAway()
			p.wantUnknown(<-answer)
		},
		"the wait is over at the next leader": func(p *place) {
			answer := p.ask(p.Context(), time.Second)
			p.before(func(cmd *table.Command) error {
				if cmd.Op == table.Lock {
					time.Sleep(2 * time.Second)
				}
				return nil
			})
			p.keeper.SendAway()
			p.wantLocked(<-answer)
			p.wantInLine(0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				test(p)
				p.Stop()
				p.Wait()
			})
		})
	}
}

// A place is kept for the one that was lost last, and no longer.
func TestAPlaceIsKeptFromTheLastLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		first, loseFirst := lost()
		p.ask(first, time.Minute)
		loseFirst()
		time.Sleep(keptFor - 2*time.Second)
		second, loseSecond := lost()
		p.ask(second, time.Minute)
		loseSecond()
		time.Sleep(keptFor - time.Second)
		p.wantInLine(1)
		time.Sleep(2 * time.Second)
		p.wantInLine(0)
		p.Stop()
		p.Wait()
	})
}

// Nor is a grant to a place at which nobody waits kept for longer than the
// place, however early it comes.
func TestAGrantToAnEmptyPlaceIsTakenBack(t *testing.T) {
	for name, back := range map[string]bool{"nobody comes back": false, "its client does": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				leaveEmpty := p.keeper.KeepPlaces()
				p.keeper.Apply(freeing())
				want := 0
				if back {
					want = 1
					if a := <-p.ask(t.Context(), 0); a.err != nil {
						t.Error(a.err)
					}
				}
				leaveEmpty(t.Context(), p, keptFor)
				if got := p.Stats().Holds; got != want {
					t.Errorf("%d holds, not %d", got, want)
				}
			})
		})
	}
}

// Many empty places are left together: one after the other would keep the line
// waiting for as many writes to the disk.
func TestManyEmptyPlacesAreLeftTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		const many = 3 * leaveBatch
		for i := range many {
			p.keeper.Follow(&table.Command{Op: table.Lock, UID: fmt.Sprint(i), Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: true})
		}
		leaveEmpty := p.keeper.KeepPlaces()
		for i := range many {
			key := holdfast.Keys(fmt.Sprint("y", i))
			p.keeper.Follow(&table.Command{Op: table.Lock, UID: "a", Keys: key, Exp: time.Hour})
			p.keeper.Follow(&table.Command{Op: table.Lock, UID: "b", Keys: key, Exp: time.Hour, Wait: true})
			p.keeper.Follow(&table.Command{Op: table.Force, Key: key[0].Key})
		}
		const write = 10 * time.Millisecond
		p.before(func(*table.Command) error { time.Sleep(write); return nil })
		began := time.Now()
		leaveEmpty(t.Context(), p, keptFor)
		if took := time.Since(began) - keptFor; took > 10*write {
			t.Errorf("it took %v", took)
		}
		if got := p.Stats(); got.Waiters != 0 || got.Holds != 1 {
			t.Errorf("%d in line, and %d holds", got.Waiters, got.Holds)
		}
	})
}

// Whom another process lets in does not hear of it here: for how long the hold
// still lives is known there.
func TestAGrantOfAnotherLeaderIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		answer := p.ask(p.Context(), time.Minute)
		p.before(func(*table.Command) error { return holdfast.Unavailable(nil, "no leader") })
		p.keeper.Follow(freeing())
		synctest.Wait()
		if len(answer) == 0 {
			t.Error("it waits on")
		}
		p.wantUnknown(<-answer)
		p.Stop()
		p.Wait()
	})
}

// Who is told that the server stops is told as well whether its place in line
// may be there still.
func TestWhoseServerStopsLearnsWhetherItMayBeGranted(t *testing.T) {
	errGone := holdfast.Unavailable(nil, "gone")
	for name, test := range map[string]struct {
		stop    func(p *place, end func())
		unknown bool
	}{
		"it leaves": {func(p *place, end func()) { end() }, false},
		"it cannot leave": {func(p *place, end func()) {
			p.before(func(*table.Command) error { return errGone })
			end()
		}, true},
		"it is sent away at that moment": {func(p *place, end func()) {
			p.before(func(*table.Command) error { return errGone })
			p.keeper.SendAway()
			end()
		}, true},
		"it is let in before it has left": {func(p *place, end func()) {
			p.before(func(cmd *table.Command) error {
				if cmd.Op == table.Cancel {
					p.keeper.Apply(freeing())
				}
				return nil
			})
			end()
		}, false},
		"it is let in before it has left, which cannot be undone": {func(p *place, end func()) {
			p.before(func(cmd *table.Command) error {
				if cmd.Op == table.TakeBack {
					return errGone
				}
				p.keeper.Apply(freeing())
				return nil
			})
			end()
		}, true},
		"it is let in at that moment, which cannot be undone": {func(p *place, end func()) {
			p.before(func(*table.Command) error { return errGone })
			p.keeper.Apply(freeing())
			end()
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				ctx, end := context.WithCancelCause(t.Context())
				answer := p.ask(ctx, time.Minute)
				test.stop(p, func() { end(holdfast.Unavailable(nil, "the server is stopping")) })
				a := <-answer
				refusal, ok := errors.AsType[*holdfast.Error](a.err)
				switch {
				case a.err == nil && len(a.Tokens) == 1: // it heard of the grant before the end
				case !ok || refusal.Code != holdfast.CodeUnavailable || refusal.OutcomeUnknown != test.unknown:
					t.Errorf("answer: %v, %v", a.Grant, a.err)
				case !test.unknown:
					p.wantInLine(0)
					if held, _ := p.Get(t.Context(), "x"); slices.ContainsFunc(held.Holders, func(h holdfast.Holder) bool { return h.UID == "b" }) {
						t.Error("it holds what it did not hear of")
					}
				}
				p.Stop()
				p.Wait()
			})
		})
	}
}

// A grant whose answer is lost with the server in between is kept for its
// client to come back, and taken back only then.
func TestAGrantThatIsLostOnItsWayIsKeptForAWhile(t *testing.T) {
	for name, again := range map[string]bool{"nobody comes back": false, "its client does": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				defer func() { p.Stop(); p.Wait() }()
				ctx, end := context.WithCancelCause(t.Context())
				p.before(func(*table.Command) error {
					p.first.Store(nil)
					end(ErrLost)
					return nil
				})
				req := holdfast.LockRequest{UID: "c", Keys: holdfast.Keys("y"), Exp: time.Hour}
				if _, err := p.Lock(ctx, req); err != ErrLost {
					t.Error(err)
				}
				time.Sleep(keptFor - time.Millisecond)
				if got := p.Stats().Holds; got != 2 {
					t.Errorf("%d holds, not 2", got)
				}
				want := 1
				if again {
					want = 2
					if _, err := p.Lock(t.Context(), req); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if got := p.Stats().Holds; got != want {
					t.Errorf("%d holds in the end, not %d", got, want)
				}
			})
		})
	}
}

// Of two who ask the same, the one that leaves before the grant has no part in
// it, even if the grant comes before it has looked: undoing it would take the
// hold from the other one, who is told of it.
func TestWhoLeavesOneLikeItBehindHasNoPartInTheGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		again := &table.Command{Op: table.Lock, UID: "b", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: true}
		stays, goes := p.keeper.Apply(again), p.keeper.Apply(again)
		if _, sentAway, others, err := p.leave(t.Context(), goes.call); sentAway || !others || err != nil {
			t.Errorf("sent away: %v, others wait: %v, %v", sentAway, others, err)
		}
		p.keeper.Apply(freeing())
		grant, _, err := p.await(t.Context(), stays.call, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if undo := p.keeper.undo("b", grant.Tokens); undo == nil || len(undo.Tokens) != 1 {
			t.Errorf("it was told of more than once: %+v", undo)
		}
		if _, sentAway, others, _ := p.leave(t.Context(), stays.call); !sentAway || others {
			t.Errorf("after the grant: sent away: %v, others wait: %v", sentAway, others)
		}
	})
}

// Nor has the one that left as the last, if its owner came back before it was
// gone.
func TestWhoseOwnerComesBackHasNoPartInTheGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		again := &table.Command{Op: table.Lock, UID: "b", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: true}
		goes := p.keeper.Apply(again)
		p.before(func(cmd *table.Command) error {
			if cmd.Op == table.Cancel {
				p.keeper.Apply(again)
			}
			return nil
		})
		if _, sentAway, others, err := p.leave(t.Context(), goes.call); sentAway || !others || err != nil {
			t.Errorf("sent away: %v, others wait: %v, %v", sentAway, others, err)
		}
		p.keeper.Apply(freeing())
		if undo := p.keeper.undo("b", []holdfast.Token{{Key: "x", Version: 2}}); undo == nil {
			t.Error("it was told of more than once")
		}
	})
}

// Each attempt that is lost with the server in between has its part in the grant
// until its time is over: the hold goes with the last, unless one was answered.
func TestAnEarlierAttemptTakesNothingFromALaterOne(t *testing.T) {
	for name, test := range map[string]struct {
		lost, stay int
		want       int // holds in the end
	}{
		"one is answered":                      {0, 1, 1},
		"one is lost":                          {1, 0, 0},
		"two are lost":                         {2, 0, 0},
		"one is lost, one is answered":         {1, 1, 1},
		"three are lost, and two are answered": {3, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				for range test.lost {
					ctx, lose := lost()
					p.ask(ctx, time.Minute)
					lose()
				}
				var answers []chan answered
				for range test.stay {
					answers = append(answers, p.ask(p.Context(), time.Minute))
				}
				p.keeper.Apply(freeing())
				for _, answer := range answers {
					if a := <-answer; a.err != nil || a.Exp != time.Hour {
						t.Errorf("answer: %v, %v", a.Grant, a.err)
					}
				}
				time.Sleep(2 * keptFor)
				synctest.Wait()
				if got := p.Stats().Holds; got != test.want {
					t.Errorf("%d holds, not %d", got, test.want)
				}
				p.Stop()
				p.Wait()
			})
		})
	}
}

// Whose owner comes back just as the place that was kept for it is left is told
// of the grant, and of all its life.
func TestWhoComesBackAtTheLastMomentIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		ctx, lose := lost()
		p.ask(ctx, time.Minute)
		lose()
		var back Result
		p.before(func(cmd *table.Command) error {
			if cmd.Op == table.Cancel {
				back = p.keeper.Apply(&table.Command{Op: table.Lock, UID: "b", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: true})
			}
			return nil
		})
		time.Sleep(2 * keptFor)
		synctest.Wait()
		p.keeper.Apply(freeing())
		if grant, _, err := p.await(t.Context(), back.call, time.Now()); err != nil || grant.Exp != time.Hour {
			t.Errorf("answer: %v, %v", grant, err)
		}
		p.Stop()
		p.Wait()
	})
}
