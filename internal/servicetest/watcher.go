package servicetest

import (
	"context"
	"fmt"
	"time"

	"holdfast"
)

// watcher follows events for a case.
type watcher struct {
	c      *scene
	cancel context.CancelFunc
	events chan holdfast.Event
	done   chan struct{} // closed when what follows is set
	err    error
	last   uint64
}

// watch follows the events under the scene's prefix from now on.
func (c *scene) watch() *watcher {
	c.t.Helper()
	return c.watchFor(holdfast.WatchRequest{})
}

// watchFor follows events. The prefix and the uid are short names.
func (c *scene) watchFor(req holdfast.WatchRequest) *watcher {
	c.t.Helper()
	req.Prefix = c.name(req.Prefix)
	if req.UID != "" {
		req.UID = c.name(req.UID)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	events, err := c.home.Watch(ctx, req)
	if err != nil {
		cancel()
		c.must(err, "watch %+v", req)
	}
	w := &watcher{
		c: c, cancel: cancel, last: req.After,
		events: make(chan holdfast.Event, 1<<14), // holds all events of any case
		done:   make(chan struct{}),
	}
	c.calls.Go(func() {
		defer close(w.done)
		for event, err := range events {
			if err != nil {
				w.err = err
				return
			}
			w.events <- event
		}
	})
	return w
}

// next waits for the next event, and sees that its ID is larger than the one
// before.
func (w *watcher) next() holdfast.Event {
	w.c.t.Helper()
	var event holdfast.Event
	select {
	case event = <-w.events:
	case <-w.done:
		w.c.t.Fatalf("the watch is over: %v", w.err)
	case <-time.After(patience):
		w.c.t.Fatalf("no event came within %v", patience)
	}
	if event.ID <= w.last {
		w.c.t.Fatalf("event %d came after event %d: %+v", event.ID, w.last, event)
	}
	w.last = event.ID
	return event
}

// sees waits for exactly these events, in this order: "granted a x",
// "waiting b x", … It gives them back, for a closer look.
func (w *watcher) sees(want ...string) []holdfast.Event {
	w.c.t.Helper()
	var events []holdfast.Event
	var got []string
	for range want {
		event := w.next()
		events = append(events, event)
		got = append(got, fmt.Sprintf("%s %s %s", event.Type, w.c.short(event.UID), w.c.short(event.Key)))
		equal(w.c, "events", got, want[:len(got)])
	}
	return events
}

// ends ends the watch, and sees that it ends without an error.
func (w *watcher) ends() {
	w.c.t.Helper()
	w.cancel()
	select {
	case <-w.done:
	case <-time.After(patience):
		w.c.t.Fatalf("the watch did not end within %v of the end of its ctx", patience)
	}
	w.c.must(w.err, "the watch, when its ctx ended")
}
