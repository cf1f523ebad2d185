package feed

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

// At the limit: exactly as many as are kept can be resumed over, whether or
// not somebody else watched meanwhile; one more, and the gap is told.
func TestAGapIsTold(t *testing.T) {
	for name, others := range map[string]int{"nobody else": 0, "others": 2} {
		t.Run(name, func(t *testing.T) {
			f := New()
			for range others {
				f.Watch(t.Context(), holdfast.WatchRequest{})
			}
			events := f.Watch(t.Context(), holdfast.WatchRequest{})
			f.Publish(event("seen", "a"))
			seen := take(t, events, 1)[0].ID
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
			for _, other := range []uint64{1, f.next, f.next + 1000} {
				if got := take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: other}), 1); got[0].Type != holdfast.EventGap {
					t.Fatalf("%+v", got)
				}
			}
		})
	}
}

// The newest events take the place of the oldest, and come in their order.
func TestTheLastAreKept(t *testing.T) {
	f := New()
	f.Watch(t.Context(), holdfast.WatchRequest{})
	const all = 2*Kept + Kept/2
	for i := 0; i < all; i += 2 { // two at once, as one command may say
		f.Publish(append(event(strconv.Itoa(i), "a"), event(strconv.Itoa(i+1), "a")...))
	}
	oldest := f.Next() - Kept
	for i, e := range take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: oldest - 1}), Kept) {
		if e.ID != oldest+uint64(i) || e.Key != strconv.Itoa(all-Kept+i) {
			t.Fatalf("the event %d of those kept: %+v", i, e)
		}
	}
}

// Who has yet to find out from where on to watch misses nothing meanwhile, as
// long as that does not take more events than are kept.
func TestWhoIsExpectedMissesNothing(t *testing.T) {
	f := New()
	from := f.Next() - 1
	f.Expect()
	f.Publish(event("x", "a"))
	for range Kept - 1 {
		f.Publish(event("y", "a"))
	}
	if got := take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: from}), 1); got[0].Key != "x" {
		t.Errorf("%+v", got)
	}
	f = New()
	f.Expect()
	for range Kept + 1 {
		f.Publish(event("x", "a"))
	}
	if len(f.ring) != 0 {
		t.Errorf("%d are kept for nobody", len(f.ring))
	}
}

// However many there are already, a watcher is told of all before it waits for
// more; and whoever waits is told of the next.
func TestNoWatcherIsForgotten(t *testing.T) {
	for _, n := range []int{1, batch - 1, batch, batch + 1, 2*batch + 1} {
		synctest.Test(t, func(t *testing.T) {
			f := New()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			const watchers = 3
			var seen atomic.Int64
			for range watchers {
				events := f.Watch(ctx, holdfast.WatchRequest{})
				for range n {
					f.Publish(event("x", "a"))
				}
				go func() {
					for range events {
						seen.Add(1)
					}
				}()
				synctest.Wait() // and now it waits
			}
			want := int64(n * (1 + 2 + 3))
			for range 2 {
				if got := seen.Load(); got != want {
					t.Errorf("%d events, not %d", got, want)
				}
				f.Publish(event("x", "a"))
				synctest.Wait()
				want += watchers
			}
		})
	}
}

// Another process takes over: those who watched here are sent away, and who
// comes back with an ID of this one sees a gap.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, next := range map[string]uint64{"of long ago": 100, "ahead of the clock": uint64(time.Now().Add(time.Hour).UnixMicro())} {
			f := New()
			f.Interrupt()
			f.Resume(next)
			ended := make(chan error)
			busy := f.Watch(t.Context(), holdfast.WatchRequest{})
			f.Publish(event("x", "a"))
			go func() {
				for _, err := range f.Watch(t.Context(), holdfast.WatchRequest{}) {
					ended <- err
				}
				close(ended)
			}()
			synctest.Wait()
			f.Renew()
			if err := <-ended; holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
				t.Errorf("%s: a watcher that waits: %v", name, err)
			}
			if _, more := <-ended; more {
				t.Errorf("%s: a watcher goes on", name)
			}
			for e, err := range busy {
				if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
					t.Fatalf("%s: a watcher that is behind: %+v, %v", name, e, err)
				}
			}
			if want := max(next+1, uint64(time.Now().UnixMicro())); f.Next() != want {
				t.Errorf("%s: the next event is %d, not %d", name, f.Next(), want)
			}
			again := f.Watch(t.Context(), holdfast.WatchRequest{After: next - 1})
			f.Publish(event("y", "a"))
			if got := take(t, again, 2); got[0].Type != holdfast.EventGap || got[1].Key != "y" {
				t.Errorf("%s: %+v", name, got)
			}
			f.Renew() // once more, with nobody there
		}
	})
}

// What nobody can resume to is not kept: nothing before the first watcher, and
// nothing later than so long after the last one. Its IDs are counted all the
// same, so that the gap is told.
func TestNothingIsKeptForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New()
		before := f.Next()
		f.Publish(event("x", "a"))
		if len(f.ring) != 0 || f.Next() != before+1 {
			t.Fatalf("%d are kept, the next is %d after %d", len(f.ring), f.Next(), before)
		}
		if got := take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: before - 1}), 1); got[0].Type != holdfast.EventGap || got[0].ID != before {
			t.Fatalf("%+v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		f.Watch(ctx, holdfast.WatchRequest{}) // and never looks
		for range 3 * Kept {
			f.Publish(event("x", "a"))
		}
		cancel()
		synctest.Wait() // now it has left
		for range Kept {
			f.Publish(event("x", "a"))
		}
		if len(f.ring) != Kept {
			t.Fatalf("%d are kept", len(f.ring))
		}
		f.Publish(append(event("x", "a"), event("y", "a")...))
		if f.ring != nil {
			t.Fatalf("%d are kept", len(f.ring))
		}
		last := f.Next() - 1
		events := f.Watch(t.Context(), holdfast.WatchRequest{After: last}) // has missed nothing
		f.Publish(event("z", "a"))
		if got := take(t, events, 1); got[0].Key != "z" || got[0].ID != last+1 {
			t.Fatalf("%+v", got)
		}
		if got := take(t, f.Watch(t.Context(), holdfast.WatchRequest{After: last - 1}), 2); got[0].Type != holdfast.EventGap || got[1].Key != "z" {
			t.Fatalf("%+v", got)
		}
	})
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

func TestAWatcherEndsInTheMiddleOfWhatItHasFound(t *testing.T) {
	f := New()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := f.Watch(ctx, holdfast.WatchRequest{})
	f.Publish(named("x", "y"))
	n := 0
	for range events {
		n++
		cancel()
	}
	if n != 1 {
		t.Fatalf("%d events", n)
	}
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
