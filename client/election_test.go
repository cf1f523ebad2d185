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

func TestAnObserverSeesEachChange(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		var seen []string
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for leader, err := range w.client.Election("x").Observe(ctx) {
				if err != nil {
					t.Error(err)
				}
				seen = append(seen, leader.Note)
			}
		}()
		for _, note := range []string{"one", "two"} {
			election := w.client.Election("x", client.Note(note))
			time.Sleep(time.Minute)
			w.campaign(election)
			time.Sleep(time.Minute)
			election.Resign(t.Context())
		}
		time.Sleep(time.Minute)
		cancel()
		<-ended
		if len(seen) != 5 || seen[0] != "" || seen[1] != "one" || seen[2] != "" || seen[3] != "two" || seen[4] != "" {
			t.Errorf("seen: %q", seen)
		}
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
