package feed

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"

	"holdfast"
)

func event(key, uid string) []holdfast.Event {
	return []holdfast.Event{{Type: holdfast.EventGranted, Key: key, UID: uid}}
}

// take gives the next n events.
func take(t *testing.T, events iter.Seq2[holdfast.Event, error], n int) []holdfast.Event {
	t.Helper()
	var taken []holdfast.Event
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if taken = append(taken, e); len(taken) == n {
			break
		}
	}
	return taken
}

func TestAWatcherSeesWhatComesAfterItsCall(t *testing.T) {
	f := New()
	f.Publish(event("before", "a"))
	events := f.Watch(t.Context(), holdfast.WatchRequest{})
	f.Publish(event("x", "a"))
	f.Publish(event("y", "b"))
	got := take(t, events, 2)
	if got[0].Key != "x" || got[1].Key != "y" || got[1].ID != got[0].ID+1 {
		t.Fatalf("%+v", got)
	}
}

func TestAWatcherSeesOnlyWhatItAsksFor(t *testing.T) {
	f := New()
	events := f.Watch(t.Context(), holdfast.WatchRequest{Prefix: "job/", UID: "b"})
	f.Publish(event("job/1", "a"))
	f.Publish(event("file/1", "b"))
	f.Publish(event("job/2", "b"))
	if got := take(t, events, 1); got[0].Key != "job/2" {
		t.Fatalf("%+v", got)
	}
}

func TestResume(t *testing.T) {
	f := New()
	all := f.Watch(t.Context(), holdfast.WatchRequest{})
	for i := range 10 {
		f.Publish(event(fmt.Sprint(i), "a"))
	}
	first := take(t, all, 4)
	rest := take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: first[3].ID}), 6)
	if rest[0].Key != "4" || rest[5].Key != "9" {
		t.Fatalf("%+v", rest)
	}
}

// At the limit: exactly as many as are kept can be resumed over; one more,
// and the gap is told.
func TestAGapIsTold(t *testing.T) {
	f := New()
	f.Publish(event("seen", "a"))
	seen := take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: f.next - 2}), 1)[0].ID
	for range Kept {
		f.Publish(event("x", "a"))
	}
	if got := take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: seen}), Kept); got[0].Type != holdfast.EventGranted || got[0].ID != seen+1 {
		t.Fatalf("%+v", got[0])
	}
	f.Publish(event("one more", "a"))
	got := take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: seen}), 2)
	if got[0].Type != holdfast.EventGap || got[1].ID != seen+2 {
		t.Fatalf("%+v", got)
	}
	// So it is for an ID of another life of the service.
	got = take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: f.next + 1000}), 1)
	if got[0].Type != holdfast.EventGap {
		t.Fatalf("%+v", got)
	}
	got = take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: 1}), 1)
	if got[0].Type != holdfast.EventGap {
		t.Fatalf("%+v", got)
	}
}

func TestASlowWatcherHoldsNobodyUp(t *testing.T) {
	f := New()
	slow := f.Watch(t.Context(), holdfast.WatchRequest{})
	f.Publish(event("first", "a"))
	n := 0
	for e, err := range slow {
		if err != nil {
			t.Fatal(err)
		}
		switch n++; {
		case n == 1:
			for range 3 * Kept {
				f.Publish(event("x", "a")) // while the watcher is busy
			}
		case e.Type != holdfast.EventGap:
			t.Fatal("the gap was not told")
		default:
			return
		}
	}
}

func TestAWatcherEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan int)
		go func() {
			n := 0
			for range f.Watch(ctx, holdfast.WatchRequest{}) {
				n++
			}
			ended <- n
		}()
		synctest.Wait()
		f.Publish(event("x", "a"))
		synctest.Wait()
		cancel()
		if n := <-ended; n != 1 {
			t.Fatalf("%d events", n)
		}
	})
}

func TestAWatcherEndsWithTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New()
		ended := make(chan error)
		go func() {
			for _, err := range f.Watch(t.Context(), holdfast.WatchRequest{}) {
				ended <- err
			}
			close(ended)
		}()
		synctest.Wait()
		f.Close()
		f.Close()
		if err := <-ended; holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
			t.Fatal(err)
		}
		<-ended
	})
}
