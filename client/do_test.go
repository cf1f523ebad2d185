package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/client"
)

func TestDoHoldsTheKeysWhileTheWorkRuns(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for _, want := range []error{nil, errEnough} {
			err := w.client.Do(t.Context(), holdfast.Keys("x", "y"), func(ctx context.Context, tokens []holdfast.Token) error {
				time.Sleep(time.Hour)
				if w.holder() == "" || ctx.Err() != nil || len(tokens) != 2 || tokens[0].Key != "x" {
					t.Errorf("holder %q, ctx %v, tokens %v", w.holder(), ctx.Err(), tokens)
				}
				return want
			})
			if err != want {
				t.Errorf("got %v, want %v", err, want)
			}
			if w.holder() != "" {
				t.Error("the key is still held")
			}
		}
	})
}

func TestDoGivesTheKeysBackWhateverHappens(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			w.client.Do(t.Context(), holdfast.Keys("x"), func(context.Context, []holdfast.Token) error { panic("oh") })
		}()
		if w.holder() != "" {
			t.Error("after a panic the key is still held")
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		err := w.client.Do(ctx, holdfast.Keys("x"), func(ctx context.Context, _ []holdfast.Token) error {
			cancel(errEnough)
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if err != errEnough || w.holder() != "" {
			t.Errorf("after the end of ctx: %v, holder %q", err, w.holder())
		}
	})
}

func TestDoDoesNotWorkWithoutTheKeys(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.hold()
		err := w.client.Do(t.Context(), holdfast.Keys("x"), func(context.Context, []holdfast.Token) error {
			t.Error("it worked")
			return nil
		}, client.Wait(time.Second))
		if holdfast.ErrorCode(err) != holdfast.CodeLocked {
			t.Error(err)
		}
	})
}

func TestDoSaysThatTheHoldWasLost(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for _, own := range []error{nil, errEnough} {
			err := w.client.Do(t.Context(), holdfast.Keys("x"), func(ctx context.Context, _ []holdfast.Token) error {
				w.store.Force(t.Context(), holdfast.ForceRequest{Key: "x"})
				<-ctx.Done()
				return own
			})
			if !errors.Is(err, client.ErrLost) || own != nil && !errors.Is(err, own) {
				t.Errorf("the work returned %v, Do %v", own, err)
			}
		}
	})
}

// The work ends before the next extension would have told.
func TestDoLearnsAtTheEndThatTheHoldWasLost(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for _, own := range []error{nil, errEnough} {
			err := w.client.Do(t.Context(), holdfast.Keys("w", "x"), func(context.Context, []holdfast.Token) error {
				w.store.Force(t.Context(), holdfast.ForceRequest{Key: "x"})
				return own
			})
			if !errors.Is(err, client.ErrEnded) || own != nil && !errors.Is(err, own) {
				t.Errorf("the work returned %v, Do %v", own, err)
			}
		}
	})
}

// The keys are free, and nobody can tell who has released them.
func TestDoDoesNotTakeALostAnswerForALostHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		isEmpty := line{status: 200, body: `{"unlocked":[]}`}
		isLate := isEmpty
		isLate.after = 2 * time.Second
		for name, lines := range map[string][]line{
			"no answer":   {isGranted, isReset, isEmpty},
			"late answer": {isGranted, isLate},
		} {
			c := connectWith(t, client.Options{Transport: &script{lines: lines}, Plain: true}, "a")
			err := c.Do(t.Context(), holdfast.Keys("x"), func(context.Context, []holdfast.Token) error { return nil }, client.Exp(time.Second))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
