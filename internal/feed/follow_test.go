package feed

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"holdfast"
)

func named(keys ...string) []holdfast.Event {
	events := make([]holdfast.Event, len(keys))
	for i, key := range keys {
		events[i] = holdfast.Event{Type: holdfast.EventGranted, Key: key}
	}
	return events
}

// A feed that follows another place keeps its IDs, leaves out what it knows,
// and shows a gap where something is missing.
func TestFollow(t *testing.T) {
	f := New()
	f.Interrupt()
	f.Resume(100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := f.Watch(ctx, holdfast.WatchRequest{})
	f.Follow(100, named("a", "b"))
	f.Follow(101, named("b", "c")) // again, and one more
	f.Follow(101, named("b"))
	var seen []string
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, fmt.Sprint(e.ID, e.Type, e.Key))
		switch e.ID {
		case 102:
			f.Interrupt()
			f.Resume(103) // nothing was missed
			f.Follow(103, named("d"))
		case 103:
			if e.Type != holdfast.EventGap {
				f.Follow(105, named("e"))
			}
		case 105:
			f.Interrupt()
			f.Resume(50) // another life of that place
			f.Follow(50, named("f"))
		case 50:
			f.Interrupt()
			f.Follow(40, named("g")) // and another one, of which it tells at once
		case 40:
			f.Follow(40, named("g"))
			f.Resume(90) // nothing was interrupted
			f.Follow(41, named("h"))
		case 41:
			cancel()
		}
	}
	want := []string{"100granteda", "101grantedb", "102grantedc", "103grantedd", "104gap", "105grantede", "49gap", "50grantedf",
		"39gap", "40grantedg", "41grantedh"}
	if !slices.Equal(seen, want) {
		t.Fatalf("seen %v\nwant %v", seen, want)
	}
	if f.Next() != 42 {
		t.Fatalf("next is %d", f.Next())
	}
}

func TestAnInterruptionInWhichNothingHappensForgetsNothing(t *testing.T) {
	f := New()
	f.Expect()
	first := f.Next()
	f.Follow(first, named("a"))
	f.Interrupt()
	f.Resume(first + 1)
	if got := take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: first - 1}), 1); got[0].Key != "a" {
		t.Errorf("%+v", got)
	}
}

// Whoever waits learns of a gap when it is known, not at the next event.
func TestAGapIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New()
		events := f.Watch(t.Context(), holdfast.WatchRequest{})
		gap := make(chan []holdfast.Event, 1)
		go func() { gap <- take(t, events, 1) }()
		synctest.Wait()
		f.Interrupt()
		f.Resume(f.Next() + 5)
		if got := <-gap; got[0].Type != holdfast.EventGap || got[0].ID != f.Next()-1 {
			t.Errorf("%+v", got)
		}
	})
}
