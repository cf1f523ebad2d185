package feed

import (
	"context"
	"fmt"
	"slices"
	"testing"

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
			cancel()
		}
	}
	want := []string{"100granteda", "101grantedb", "102grantedc", "103grantedd", "104gap", "105grantede", "49gap", "50grantedf"}
	if !slices.Equal(seen, want) {
		t.Fatalf("seen %v\nwant %v", seen, want)
	}
	if f.Next() != 51 {
		t.Fatalf("next is %d", f.Next())
	}
}
