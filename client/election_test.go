package client_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/client"
)

func (w *world) campaign(e *client.Election) *client.Held {
	w.t.Helper()
	held, err := e.Campaign(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { held.Unlock(context.Background()) })
	return held
}

func TestOneLeadsAndThenTheNext(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		one, two := w.client.Election("x", client.Note("one")), w.client.Election("x", client.Note("two"))
		first := w.campaign(one)
		if again := w.campaign(one); again != first {
			t.Fatal("who leads was elected again")
		}
		next := make(chan *client.Held)
		go func() { next <- w.campaign(two) }()
		time.Sleep(time.Hour)
		select {
		case <-next:
			t.Fatal("there are two leaders")
		default:
		}
		if err := two.Resign(t.Context()); err != nil { // does not lead, nor disturb the campaign
			t.Fatal(err)
		}
		if leader, err := two.Leader(t.Context()); err != nil || leader.Note != "one" || leader.UID != first.UID() {
			t.Fatalf("leader: %+v, %v", leader, err)
		}
		if err := one.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := <-next
		overBecause(t, first, client.ErrUnlocked)
		w.live(second)
		if second.Token("x").Version <= first.Token("x").Version {
			t.Fatalf("versions %v and %v", first.Tokens(), second.Tokens())
		}
		if err := two.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if leader, err := one.Leader(t.Context()); err != nil || leader != (client.Leader{}) {
			t.Fatalf("leader: %+v, %v", leader, err)
		}
	})
}

func TestACampaignEndsWithItsContext(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.hold()
		election := w.client.Election("x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		results := make(chan error)
		for range 2 {
			go func() {
				_, err := election.Campaign(ctx)
				results <- err
			}()
		}
		for range 2 {
			if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		if _, err := w.client.Election("x", client.Wait(0)).Campaign(t.Context()); holdfast.ErrorCode(err) != holdfast.CodeLocked {
			t.Errorf("without waiting: %v", err)
		}
	})
}

// Somebody who was late to hear that its leadership was over resigns, when it
// has long been elected again: that ends nothing.
func TestALateUnlockDoesNotEndTheNextLeadership(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		election := w.client.Election("x", client.Exp(time.Minute))
		first := w.campaign(election)
		client.Suspend(time.Minute) // of this machine, not of the server's
		overBecause(t, first, client.ErrNotExtended)
		second := w.campaign(election)
		if err := first.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.live(second)
	})
}

func TestACampaignAfterTheEndOfAnEarlierOnesContext(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		election := w.client.Election("x")
		ctx, cancel := context.WithCancel(t.Context())
		first, err := election.Campaign(ctx)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		second := w.campaign(election)
		if !errors.Is(first.Err(), client.ErrUnlocked) {
			t.Fatalf("the first: %v", first.Err())
		}
		time.Sleep(time.Minute)
		w.live(second)
	})
}

// laggard carries requests, save that one to unlock arrives only when it is
// told to: its client has long given up.
type laggard struct {
	http.RoundTripper
	late chan struct{}
}

func (l laggard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/unlock" || r.URL.Host != "one" {
		return l.RoundTripper.RoundTrip(r)
	}
	go func() {
		<-l.late
		response, err := l.RoundTripper.RoundTrip(r.WithContext(context.Background()))
		if err == nil {
			response.Body.Close()
		}
	}()
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// A campaign was won as its ctx ended, and what gives the key back is stuck in
// one server. The next campaign, at another one, must not win what it will end.
func TestALateUnlockDoesNotEndTheNextCampaign(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.network.serve(t, "two", w.store)
		late := make(chan struct{})
		w.client = connectWith(t, client.Options{Transport: laggard{w.network.transport(t), late}, Plain: true}, "one", "two")
		election := w.client.Election("x")
		w.network.slow(time.Second)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(500*time.Millisecond, func() { cancel(errEnough) }) // granted, and not answered
		if _, err := election.Campaign(ctx); err != errEnough {
			t.Fatal(err)
		}
		w.network.slow(0)
		if w.holder() == "" {
			t.Fatal("it was not granted, or given back")
		}
		next := make(chan *client.Held, 1)
		go func() { next <- w.campaign(election) }()
		synctest.Wait()
		close(late)
		time.Sleep(time.Second)
		w.live(<-next)
	})
}

// observe follows the election for a key. What it returns sees that the notes
// of the leaders so far, by now, are these.
func (w *world) observe(key string) (seen func(want ...string)) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var got []string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for leader, err := range w.client.Election(key).Observe(ctx) {
			if err != nil {
				w.t.Error(err)
			}
			got = append(got, leader.Note)
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-ended
	})
	return func(want ...string) {
		w.t.Helper()
		synctest.Wait()
		if !slices.Equal(got, want) {
			w.t.Fatalf("seen %q, not %q", got, want)
		}
	}
}

func TestAnObserverSeesEachChangeAtOnce(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		seen := w.observe("x")
		seen("")
		one, two := w.client.Election("x", client.Note("one")), w.client.Election("x", client.Note("two"))
		w.campaign(one)
		seen("", "one")
		time.Sleep(time.Hour) // it is extended meanwhile
		w.campaign(w.client.Election("xy", client.Note("of something else")))
		seen("", "one")
		one.Resign(t.Context())
		seen("", "one", "")
		w.campaign(two)
		seen("", "one", "", "two")
		w.store.Force(t.Context(), holdfast.ForceRequest{Key: "x"})
		seen("", "one", "", "two", "")
		w.observe("x")("")
		w.campaign(one)
		w.observe("x")("one")
	})
}

func TestAnObserverGoesOnWhenItsConnectionIsLost(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		seen := w.observe("x")
		seen("")
		w.network.setCut(true)
		_, err := w.store.Lock(t.Context(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour, Note: "one"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second)
		seen("")
		w.network.setCut(false)
		time.Sleep(time.Minute)
		seen("", "one")
		w.store.Force(t.Context(), holdfast.ForceRequest{Key: "x"})
		seen("", "one", "")
	})
}

func TestAnObserverIsToldThatNobodyAnswers(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		var errs []error
		w.network.setCut(true)
		for _, err := range w.client.Election("x").Observe(t.Context()) {
			errs = append(errs, err)
		}
		if len(errs) != 1 || holdfast.ErrorCode(errs[0]) != holdfast.CodeUnavailable {
			t.Errorf("got %v", errs)
		}
		w.network.setCut(false)
		synctest.Wait()
	})
}
