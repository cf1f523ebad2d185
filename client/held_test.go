package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/memory"
)

// world is a server, its store and a client, in virtual time.
type world struct {
	t       *testing.T
	network *network
	store   *memory.Store
	client  *client.Client
}

// within runs a test in a world of its own.
func within(t *testing.T, run func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, network: newNetwork(), store: store(t)}
		w.network.serve(t, "one", w.store)
		w.client = w.network.client(t, "one")
		run(t, w)
		w.network.slow(0) // what a server says as it stops must not outlast the test
	})
}

func (w *world) hold(options ...client.Option) *client.Held {
	w.t.Helper()
	held, err := w.client.Hold(w.t.Context(), holdfast.Keys("x"), options...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { held.Unlock(context.Background()) })
	return held
}

// holder is who holds the key, as the store knows.
func (w *world) holder() string {
	w.t.Helper()
	state, err := w.store.Get(w.t.Context(), "x")
	if err != nil {
		w.t.Fatal(err)
	}
	if len(state.Holders) == 0 {
		return ""
	}
	return state.Holders[0].UID
}

// live sees that the hold is what everybody takes it for.
func (w *world) live(held *client.Held) {
	w.t.Helper()
	if held.Err() != nil || held.Context().Err() != nil || w.holder() != held.UID() {
		w.t.Fatalf("hold: %v, context: %v, holder: %q", held.Err(), held.Context().Err(), w.holder())
	}
}

// overBecause sees that the hold is over on this side.
func overBecause(t *testing.T, held *client.Held, reason error) {
	t.Helper()
	select {
	case <-held.Context().Done():
	default:
		t.Fatal("the context goes on")
	}
	if !errors.Is(held.Err(), reason) || !errors.Is(context.Cause(held.Context()), reason) {
		t.Fatalf("over because of %v, cause %v; want %v", held.Err(), context.Cause(held.Context()), reason)
	}
	if held.Context().Err() != context.Canceled {
		t.Fatalf("context: %v", held.Context().Err())
	}
}

func TestAHoldLastsUntilItIsUnlocked(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		held := w.hold(client.Exp(3 * time.Second))
		for range 100 {
			time.Sleep(time.Second)
			w.live(held)
		}
		if err := held.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		overBecause(t, held, client.ErrUnlocked)
		if w.holder() != "" {
			t.Fatal("the key is still held")
		}
	})
}

func TestAHoldIsExtendedWhenAThirdOfItsExpHasPassed(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		events, err := w.store.Watch(t.Context(), holdfast.WatchRequest{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		w.hold(client.Exp(30 * time.Second))
		extended := 0
		for event, err := range events {
			if err != nil {
				t.Fatal(err)
			}
			if event.Type != holdfast.EventExtended {
				continue
			}
			extended++
			if at := time.Since(began); at != time.Duration(extended)*10*time.Second {
				t.Fatalf("extension %d came after %v", extended, at)
			}
			if extended == 5 {
				return
			}
		}
	})
}

// When nobody answers any more, the context ends while the hold still lives
// on the server, and not much sooner than it must.
func TestTheContextEndsBeforeTheHold(t *testing.T) {
	for _, exp := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second, time.Hour} {
		within(t, func(t *testing.T, w *world) {
			held := w.hold(client.Exp(exp))
			time.Sleep(10 * exp)
			w.live(held)
			w.network.setCut(true)
			cut := time.Now()
			<-held.Context().Done()
			lasted := time.Since(cut)
			if w.holder() != held.UID() {
				t.Errorf("exp %v: the hold ended before its context", exp)
			}
			if lasted < exp/2 || lasted >= exp {
				t.Errorf("exp %v: the context ended after %v", exp, lasted)
			}
			overBecause(t, held, client.ErrLost)
			overBecause(t, held, client.ErrNotExtended)
			if errors.Is(held.Err(), client.ErrEnded) || !strings.Contains(held.Err().Error(), "could not be extended in time: ") {
				t.Errorf("the error does not say why: %v", held.Err())
			}
			time.Sleep(exp)
			if w.holder() != "" {
				t.Error("it is extended all the same")
			}
			w.network.setCut(false)
		})
	}
}

// The life of a hold begins before its owner hears of it.
func TestTheContextEndsBeforeTheHoldThoughAnswersAreSlow(t *testing.T) {
	for _, held := range []time.Duration{0, 100 * time.Millisecond, 5 * time.Second, time.Minute, time.Minute + time.Second} {
		within(t, func(t *testing.T, w *world) {
			w.network.slow(1500 * time.Millisecond)
			hold := w.hold(client.Exp(10 * time.Second))
			time.Sleep(held)
			w.live(hold)
			w.network.setCut(true)
			<-hold.Context().Done()
			if w.holder() != hold.UID() {
				t.Errorf("after %v: the hold ended before its context", held)
			}
			w.network.setCut(false)
		})
	}
}

func TestAHoldOutlastsAShortCut(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		held := w.hold(client.Exp(10 * time.Second))
		for range 10 {
			time.Sleep(5 * time.Second)
			w.network.setCut(true)
			time.Sleep(4 * time.Second)
			w.network.setCut(false)
			time.Sleep(5 * time.Second)
			w.live(held)
		}
	})
}

// Something in between has forgotten the connections, and drops what comes on
// them: the only server there is can be reached on a new one.
func TestAHoldOutlastsItsConnection(t *testing.T) {
	for _, exp := range []time.Duration{time.Second, 10 * time.Second, time.Hour} {
		within(t, func(t *testing.T, w *world) {
			held := w.hold(client.Exp(exp))
			for range 3 {
				time.Sleep(2 * exp)
				w.network.sever()
				time.Sleep(2 * exp)
				w.live(held)
			}
		})
	}
}

// So it does over plain HTTP, where as many connections lie idle as there once
// were calls at a time.
func TestAHoldOutlastsIdleConnections(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		transport := w.network.transport(t)
		transport.MaxIdleConnsPerHost = 100
		w.client = connectWith(t, client.Options{Transport: transport, Plain: true}, "one")
		held := w.hold(client.Exp(10 * time.Second))
		w.network.slow(time.Millisecond)
		together(t, 20, func(int) error {
			_, err := w.client.Check(t.Context(), []string{"x"})
			return err
		})
		w.network.sever()
		time.Sleep(time.Minute)
		w.live(held)
	})
}

// Left counts down to the end of the context, and each extension begins it
// anew. Trouble says what keeps the next one from doing so.
func TestWhatIsLeftOfAHold(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.client = connectWith(t, client.Options{Transport: w.network.transport(t), Plain: true}, "one") // a stream stays cut for longer
		held := w.hold(client.Exp(30 * time.Second))
		after := func(d, want time.Duration, trouble bool) {
			t.Helper()
			time.Sleep(d)
			if left := held.Left(); left != want || (held.Trouble() != nil) != trouble {
				t.Fatalf("%v is left, not %v; trouble: %v", left, want, held.Trouble())
			}
		}
		after(0, 27*time.Second, false)
		after(9*time.Second, 18*time.Second, false)
		after(2*time.Second, 26*time.Second, false) // it was extended at 10 s
		w.network.setCut(true)
		after(9*time.Second-1, 17*time.Second+1, false)
		after(6*time.Second+2, 11*time.Second-1, true) // an attempt from 20 to 26 s has failed
		w.network.setCut(false)
		after(3*time.Second-1, 25*time.Second, false) // the next one, at 27 s, has not
		held.Unlock(t.Context())
		after(0, 0, false)
	})
}

// Who loses a hold hears what the servers said, not only that it took too long.
func TestItIsSaidWhyAHoldCouldNotBeExtended(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		transport := &leaderless{RoundTripper: w.network.transport(t)}
		w.client = connectWith(t, client.Options{Transport: transport, Plain: true}, "one")
		held := w.hold(client.Exp(10 * time.Second))
		transport.lost.Store(true)
		<-held.Context().Done()
		if err := held.Err(); !errors.Is(err, client.ErrNotExtended) || !strings.Contains(err.Error(), "there is no leader") {
			t.Errorf("over because of %v", err)
		}
		transport.lost.Store(false)
	})
}

// leaderless answers by itself, while it is lost, as a node without a leader.
type leaderless struct {
	http.RoundTripper
	lost atomic.Bool
}

func (l *leaderless) RoundTrip(r *http.Request) (*http.Response, error) {
	if !l.lost.Load() {
		return l.RoundTripper.RoundTrip(r)
	}
	const body = `{"error":"unavailable","message":"there is no leader"}`
	return &http.Response{StatusCode: 503, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// The machine sleeps: the monotonic clock stands still, and no timer fires.
func TestAHoldEndsWhileTheMachineIsSuspended(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		held := w.hold(client.Exp(10 * time.Second))
		synctest.Wait() // what extends it has seen how much time there is
		client.Suspend(8 * time.Second)
		w.live(held)
		client.Suspend(time.Second)
		if held.Context().Err() == nil {
			t.Fatal("the context goes on")
		}
		overBecause(t, held, client.ErrLost)

		held.Unlock(t.Context())
		held = w.hold(client.Exp(10 * time.Second))
		client.Suspend(time.Hour)
		overBecause(t, held, client.ErrNotExtended) // Done looks as well

		// Who does not look is told before long.
		held.Unlock(t.Context())
		held = w.hold(client.Exp(10 * time.Second))
		done := held.Context().Done()
		time.Sleep(100 * time.Millisecond)
		client.Suspend(time.Hour)
		woke := time.Now()
		<-done
		if took := time.Since(woke); took > 2*time.Second {
			t.Fatalf("it took %v", took)
		}
	})
}

func TestAForcedReleaseIsNoticedAtTheNextExtension(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		held := w.hold(client.Exp(9 * time.Second))
		w.store.Force(t.Context(), holdfast.ForceRequest{Key: "x"})
		time.Sleep(3*time.Second + time.Millisecond)
		overBecause(t, held, client.ErrLost)
		overBecause(t, held, client.ErrEnded)
		if errors.Is(held.Err(), client.ErrNotExtended) || held.Left() != 0 {
			t.Errorf("%v, and %v is left", held.Err(), held.Left())
		}
		if !strings.Contains(held.Err().Error(), `"x"`) {
			t.Errorf("the error does not name the key: %v", held.Err())
		}
		if err := held.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		overBecause(t, held, client.ErrLost) // and not unlocked
	})
}

// A hold on two keys is one: with either of them it is over.
func TestAForcedReleaseOfOneKeyEndsTheHold(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		held, err := w.client.Hold(t.Context(), holdfast.Keys("x", "y"), client.Exp(9*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		defer held.Unlock(context.Background())
		w.store.Force(t.Context(), holdfast.ForceRequest{Key: "y"})
		time.Sleep(3*time.Second + time.Millisecond)
		overBecause(t, held, client.ErrEnded)
		if !strings.Contains(held.Err().Error(), `"y"`) {
			t.Errorf("the error does not name the key: %v", held.Err())
		}
	})
}

// Who has stood in line does not know when it was granted: its life is
// reckoned from an extension.
func TestAfterALongWaitTheWholeExpIsThere(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		first := w.hold(client.Exp(6 * time.Second))
		time.AfterFunc(time.Minute, func() { first.Unlock(context.Background()) })
		second := w.hold(client.Exp(6 * time.Second))
		w.live(second)
		time.Sleep(time.Minute)
		w.live(second)
		if second.UID() == first.UID() || second.Token("x").Version <= first.Token("x").Version {
			t.Fatalf("%s %v, then %s %v", first.UID(), first.Tokens(), second.UID(), second.Tokens())
		}
	})
}

// Such as with Exp(30), which is 30 ns and not 30 s.
func TestAHoldThatIsOverBeforeItIsKnownIsAnError(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.network.slow(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		held, err := w.client.Hold(ctx, holdfast.Keys("x"), client.Exp(30))
		if held != nil || !errors.Is(err, client.ErrEnded) {
			t.Errorf("got %v, %v", held, err)
		}
	})
}

func TestHoldStandsInLineAsLongAsAsked(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		first := w.hold(client.Note("nightly"))
		for _, wait := range []time.Duration{0, 5 * time.Second} {
			began := time.Now()
			held, err := w.client.Hold(t.Context(), holdfast.Keys("x"), client.Wait(wait))
			refusal, ok := errors.AsType[*holdfast.Error](err)
			if held != nil || !ok || refusal.Code != holdfast.CodeLocked ||
				refusal.Blockers[0].UID != first.UID() || refusal.Blockers[0].Note != "nightly" {
				t.Fatalf("got %v, %v", held, err)
			}
			if took := time.Since(began); took != wait {
				t.Fatalf("a wait of %v took %v", wait, took)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := w.client.Hold(ctx, holdfast.Keys("x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("at the end of ctx: %v", err)
		}
		if state, _ := w.store.Get(t.Context(), "x"); len(state.Waiters) > 0 {
			t.Fatalf("left in line: %v", state.Waiters)
		}
	})
}

// A server lets nobody stand in line for longer than a day at once.
func TestHoldStandsInLineForDays(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		first := holdfast.LockRequest{UID: "first", Keys: holdfast.Keys("x"), Exp: holdfast.MaxExp}
		if _, err := w.store.Lock(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		for _, after := range []time.Duration{20 * time.Hour, 40 * time.Hour} {
			time.AfterFunc(after, func() { w.store.Lock(context.Background(), first) }) // lives for another day
		}
		began := time.Now()
		held := w.hold()
		w.live(held)
		if took := time.Since(began); took.Round(time.Minute) != 64*time.Hour {
			t.Errorf("it took %v", took)
		}
	})
}

var errEnough = errors.New("enough")

func TestTheContextEndsWithThatOfTheCaller(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancelCause(t.Context())
		held, err := w.client.Hold(ctx, holdfast.Keys("x"))
		if err != nil {
			t.Fatal(err)
		}
		cancel(errEnough)
		if held.Context().Err() == nil || context.Cause(held.Context()) != errEnough {
			t.Fatalf("cause: %v", context.Cause(held.Context()))
		}
		time.Sleep(time.Minute) // what has been begun may need the keys to its end
		if held.Err() != nil || w.holder() != held.UID() {
			t.Fatalf("hold: %v, holder: %q", held.Err(), w.holder())
		}
		if err := held.Unlock(ctx); err != nil {
			t.Fatalf("with the ctx that has ended: %v", err)
		}
		if w.holder() != "" {
			t.Fatal("the key is still held")
		}
	})
}

func TestUnlockIsHarmless(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		var none *client.Held
		if err := none.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		held := w.hold()
		for range 3 {
			go held.Unlock(t.Context())
		}
		for range 3 {
			if err := held.Unlock(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		again := w.hold(client.UID(held.UID()), client.Exp(time.Hour))
		if err := held.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.live(again)
		w.network.setCut(true)
		if err := held.Unlock(t.Context()); err != nil {
			t.Fatalf("what is unlocked is unlocked: %v", err)
		}
		w.network.setCut(false)
	})
}

func TestAnUnlockThatFailedCanBeRepeated(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		held := w.hold(client.Exp(time.Hour))
		w.network.setCut(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := held.Unlock(ctx); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
			t.Fatalf("nobody answers, but unlock says %v", err)
		}
		overBecause(t, held, client.ErrUnlocked)
		w.network.setCut(false)
		if err := held.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if w.holder() != "" {
			t.Fatal("the key is still held")
		}
	})
}

func TestTokens(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		held, err := w.client.Hold(t.Context(), []holdfast.Ask{{Key: "b"}, {Key: "a", Mode: holdfast.Shared, Limit: 3}})
		if err != nil {
			t.Fatal(err)
		}
		defer held.Unlock(context.Background())
		tokens := held.Tokens()
		if len(tokens) != 2 || tokens[0].Key != "b" || tokens[1].Key != "a" || tokens[0].Version == 0 {
			t.Fatalf("tokens: %v", tokens)
		}
		if held.Token("a") != tokens[1] || held.Token("b") != tokens[0] || held.Token("c") != (holdfast.Token{}) {
			t.Fatal("a token by its key is another one")
		}
		tokens[0].Version = 0
		if held.Tokens()[0].Version == 0 {
			t.Fatal("the caller can change the tokens")
		}
	})
}

func TestAMalformedHoldIsRefusedAtOnce(t *testing.T) {
	c := connect(t, "http://127.0.0.1:1") // nobody is there
	for _, keys := range [][]holdfast.Ask{nil, holdfast.Keys("")} {
		if _, err := c.Hold(t.Context(), keys); holdfast.ErrorCode(err) != holdfast.CodeInvalid {
			t.Errorf("keys %v: %v", keys, err)
		}
	}
	if _, err := c.Hold(t.Context(), holdfast.Keys("x"), client.Exp(-1)); holdfast.ErrorCode(err) != holdfast.CodeInvalid {
		t.Errorf("exp -1: %v", err)
	}
}

// What is gone by then was released by the first attempt, as far as anybody knows.
func TestARepeatedUnlockIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{lines: []line{isGranted, isReset, {status: 200, body: `{"unlocked":[]}`}}}
		c := connectWith(t, client.Options{Transport: s, Plain: true, Patience: -1}, "a")
		held, err := c.Hold(t.Context(), holdfast.Keys("x"))
		if err != nil {
			t.Fatal(err)
		}
		if held.Unlock(t.Context()) == nil {
			t.Fatal("the first one had an answer")
		}
		if err := held.Unlock(t.Context()); err != nil || held.Err() != client.ErrUnlocked {
			t.Errorf("%v, %v", err, held.Err())
		}
	})
}
