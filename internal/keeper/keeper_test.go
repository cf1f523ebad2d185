package keeper

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// What a command answered does not change with the commands that follow.
func TestAResultStaysAsItIs(t *testing.T) {
	k := New(0)
	k.StartClock()
	lock := func(uid string, keys ...string) table.Command {
		return table.Command{Op: table.Lock, UID: uid, Keys: holdfast.Keys(keys...), Exp: time.Hour}
	}
	extend := func(uid string, tokens ...holdfast.Token) table.Command {
		return table.Command{Op: table.Extend, UID: uid, Tokens: tokens, Exp: time.Hour}
	}
	results, before := []Result{}, []Result{}
	for _, cmd := range []table.Command{
		lock("a", "x"), lock("b", "y"), lock("c", "x"), lock("c", "y"),
		extend("a", holdfast.Token{Key: "x", Version: 9}), extend("b", holdfast.Token{Key: "y", Version: 8}),
		{Op: table.Force, Key: "x"}, {Op: table.Force, Key: "y"},
	} {
		r := k.Apply(&cmd)
		results = append(results, r)
		r.Tokens, r.Lost = slices.Clone(r.Tokens), slices.Clone(r.Lost)
		r.Freed, r.Blockers = slices.Clone(r.Freed), slices.Clone(r.Blockers)
		before = append(before, r)
	}
	for i, r := range results {
		for _, pair := range [][2]any{{r.Tokens, before[i].Tokens}, {r.Lost, before[i].Lost}, {r.Freed, before[i].Freed}, {r.Blockers, before[i].Blockers}} {
			if reflect.ValueOf(pair[0]).Len() > 0 && !reflect.DeepEqual(pair[0], pair[1]) {
				t.Errorf("answer %d was %v, and is %v", i, pair[1], pair[0])
			}
		}
	}
}

// A server that stops leaves the place in line: who comes back has it still.
func TestAPlaceOutlivesItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		answer := p.ask(p.Context(), time.Minute)
		p.before(func(cmd *table.Command) error { t.Errorf("it proposes %v", cmd.Op); return nil })
		p.Stop()
		p.wantUnknown(<-answer)
		p.wantInLine(1)
		p.Wait()
	})
}

// Nor does it keep a grant to itself that is there already, or the place of a
// client that is gone.
func TestAServerThatStopsTellsOfAGrant(t *testing.T) {
	for name, test := range map[string]struct {
		before  func(p *place, end func())
		granted bool
	}{
		"it is granted":     {func(p *place, _ func()) { p.keeper.Apply(freeing()) }, true},
		"its client leaves": {func(_ *place, end func()) { end() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				ctx, end := context.WithCancel(t.Context())
				defer end()
				answer := p.ask(ctx, time.Minute)
				test.before(p, end)
				p.Stop()
				if a := <-answer; (a.err == nil && len(a.Tokens) == 1) != test.granted {
					t.Errorf("answer: %v, %v", a.Grant, a.err)
				}
				p.wantInLine(0)
				p.Wait()
			})
		})
	}
}

// Whoever watches is told that there are no more events; and Wait returns when
// nothing runs any more.
func TestAServerThatStopsEndsWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		events, err := p.Watch(t.Context(), holdfast.WatchRequest{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		p.late.Go(func() { time.Sleep(keptFor) })
		p.Stop()
		for e, err := range events {
			if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
				t.Errorf("saw %v, %v", e, err)
			}
		}
		if p.Wait(); time.Since(began) != keptFor {
			t.Errorf("it waited for %v", time.Since(began))
		}
	})
}

// noLog is a log that carries nothing out.
type noLog struct{ err error }

func (l noLog) Propose(context.Context, table.Command) (Result, error) { return Result{}, l.err }

func (l noLog) Verify(context.Context) error { return l.err }

// What the log cannot do is the answer, as it says it; who has gone, or asks for
// nothing that there is, does not get as far.
func TestEachCallSaysWhatWentWrong(t *testing.T) {
	noLeader := holdfast.Unavailable(nil, "no leader")
	errLeft := errors.New("the client is gone")
	s := NewService(New(0), noLog{noLeader}, keptFor)
	gone, leave := context.WithCancelCause(t.Context())
	leave(errLeft)
	for call, do := range map[string]func(ctx context.Context, name string) error{
		"Lock": func(ctx context.Context, name string) error {
			_, err := s.Lock(ctx, holdfast.LockRequest{UID: name, Keys: holdfast.Keys(name)})
			return err
		},
		"Unlock": func(ctx context.Context, name string) error {
			_, err := s.Unlock(ctx, holdfast.UnlockRequest{UID: name, Tokens: []holdfast.Token{{Key: name, Version: 1}}})
			return err
		},
		"Extend": func(ctx context.Context, name string) error {
			_, err := s.Extend(ctx, holdfast.ExtendRequest{UID: name})
			return err
		},
		"Force": func(ctx context.Context, name string) error {
			_, err := s.Force(ctx, holdfast.ForceRequest{Key: name})
			return err
		},
		"Check": func(ctx context.Context, name string) error {
			_, err := s.Check(ctx, []string{name})
			return err
		},
		"List": func(ctx context.Context, name string) error {
			_, err := s.List(ctx, holdfast.ListRequest{UID: name})
			return err
		},
		"Get": func(ctx context.Context, name string) error {
			_, err := s.Get(ctx, name)
			return err
		},
		"Watch": func(ctx context.Context, name string) error {
			_, err := s.Watch(ctx, holdfast.WatchRequest{UID: name})
			return err
		},
	} {
		if err := do(t.Context(), "a"); err != noLeader {
			t.Errorf("%s without a leader: %v", call, err)
		}
		if err := do(gone, "a"); err != errLeft {
			t.Errorf("%s of a client that is gone: %v", call, err)
		}
		if err := do(t.Context(), "\x00"); holdfast.ErrorCode(err) != holdfast.CodeInvalid {
			t.Errorf("%s of what is malformed: %v", call, err)
		}
	}
}
