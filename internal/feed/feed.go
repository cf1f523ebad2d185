// Package feed hands events from a store to any number of watchers. The last
// few thousand are kept, so that a watcher can resume; one that is slower
// than that is told of the gap, and never holds up the store.
//
// Whoever resumes has watched before, or is expected. So while nobody watches,
// and nobody has for as many events as are kept, none are: they are only counted.
package feed

import (
	"context"
	"iter"
	"strings"
	"sync"
	"time"

	"holdfast"
)

// Kept is how many events a feed keeps for those who resume or are slow.
const Kept = 1 << 14

// batch is how many events a watcher looks at for each time it stops the
// feed.
const batch = 256

// Feed is a sequence of events with growing IDs. It is safe for concurrent
// use.
type Feed struct {
	mu    sync.Mutex
	ring  []holdfast.Event // the event with ID i stands at (i-first) % Kept
	first uint64           // ID of the first event that was put into the ring; without one it says nothing
	next  uint64           // ID of the next event

	watchers int // how many there are
	spare    int // how many events to keep although nobody watches

	news chan struct{} // closed at the next event; nil while nobody waits

	interrupted bool // see Interrupt

	renewed chan struct{} // closed by Renew, for those who watched before

	closed   chan struct{}
	closeOne sync.Once
}

// New gives a feed whose IDs begin with the microseconds of the wall clock,
// so that they grow over a restart as well.
func New() *Feed {
	return &Feed{next: uint64(time.Now().UnixMicro()), renewed: make(chan struct{}), closed: make(chan struct{})}
}

// Publish adds events and gives them their IDs. It copies them and does not
// wait for any watcher.
func (f *Feed) Publish(events []holdfast.Event) {
	if len(events) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == 0 {
		if f.spare <= 0 {
			f.ring = nil
			f.next += uint64(len(events))
			return
		}
		f.spare -= len(events)
	}
	if len(f.ring) == 0 {
		f.first = f.next
	}
	for _, e := range events {
		e.ID = f.next
		f.next++
		if len(f.ring) < Kept {
			f.ring = append(f.ring, e)
			continue
		}
		f.ring[(e.ID-f.first)%Kept] = e
	}
	if f.news != nil {
		close(f.news)
		f.news = nil
	}
}

// Renew forgets all events, goes on with IDs beyond those of any feed that
// another process has had until now, and ends all watchers: whoever comes back
// with an ID of old sees a gap.
func (f *Feed) Renew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring, f.next = nil, max(f.next, uint64(time.Now().UnixMicro()))
	close(f.renewed)
	f.renewed = make(chan struct{})
}

// Close ends all watchers, who learn that the service is not available.
func (f *Feed) Close() { f.closeOne.Do(func() { close(f.closed) }) }

// Expect keeps events from now on for somebody who is about to watch, and has
// yet to find out from where on.
func (f *Feed) Expect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spare = Kept
}

// Watch follows the events that req asks for: those after the moment of the
// call, or after the one with the ID req.After. See [holdfast.Service].
func (f *Feed) Watch(ctx context.Context, req holdfast.WatchRequest) iter.Seq2[holdfast.Event, error] {
	f.mu.Lock()
	f.watchers++
	after := req.After
	if after == 0 {
		after = f.next - 1
	}
	renewed := f.renewed
	f.mu.Unlock()
	leave := sync.OnceFunc(f.leave)
	unhook := context.AfterFunc(ctx, leave) // also when nobody ever ranges over it
	return func(yield func(holdfast.Event, error) bool) {
		defer leave()
		defer unhook()
		var found []holdfast.Event
		for {
			select {
			case <-renewed:
				yield(holdfast.Event{}, holdfast.Unavailable(nil, "another server tells of what happens now"))
				return
			default:
			}
			var news <-chan struct{}
			found, after, news = f.read(found[:0], after, req)
			for _, e := range found {
				if ctx.Err() != nil || !yield(e, nil) {
					return
				}
			}
			if news == nil {
				continue
			}
			select {
			case <-news:
			case <-renewed:
			case <-ctx.Done():
				return
			case <-f.closed:
				yield(holdfast.Event{}, holdfast.Unavailable(nil, "the service is shutting down"))
				return
			}
		}
	}
}

// leave is the end of a watcher, who may come back.
func (f *Feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers--
	f.spare = Kept
}

// read appends what req asks of the events after the one with ID after. It
// gives the ID of the last one it looked at; and, if that is the last there
// is, a channel that is closed when there are more.
func (f *Feed) read(found []holdfast.Event, after uint64, req holdfast.WatchRequest) ([]holdfast.Event, uint64, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	oldest := f.next - uint64(len(f.ring))
	if after+1 < oldest || after >= f.next {
		// Events are gone; or the ID is of another life of this service.
		found = append(found, holdfast.Event{ID: oldest - 1, Type: holdfast.EventGap})
		after = oldest - 1
	}
	for n := 0; n < batch && after+1 < f.next; n++ {
		after++
		e := &f.ring[(after-f.first)%Kept]
		if strings.HasPrefix(e.Key, req.Prefix) && (req.UID == "" || e.UID == req.UID) {
			found = append(found, *e)
		}
	}
	if after+1 < f.next {
		return found, after, nil
	}
	if f.news == nil {
		f.news = make(chan struct{})
	}
	return found, after, f.news
}
