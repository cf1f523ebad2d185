package redisstore

import (
	"context"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast"
)

// watchers is the part of the store that hears of events. Redis sends them
// only while some server has a watcher, or had one lately.
type watchers struct {
	mu    sync.Mutex
	count int       // watchers now
	last  time.Time // when the last one went
	stop  context.CancelFunc
	live  chan struct{} // closed while the subscription is there; nil when nobody listens
	done  sync.WaitGroup

	followed bool   // the feed counts as Redis does
	floor    uint64 // ID that no event from now on may be below: others have had those
}

// Watch follows what happens.
func (s *Store) Watch(ctx context.Context, req holdfast.WatchRequest) (iter.Seq2[holdfast.Event, error], error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if err := s.hearEvents(ctx); err != nil {
		return nil, err
	}
	s.feed.Expect()
	if req, err = s.fromNowOn(ctx, req); err != nil {
		s.watcherGone()
		return nil, err
	}
	events := s.feed.Watch(ctx, req)
	gone := context.AfterFunc(ctx, s.watcherGone)
	return func(yield func(holdfast.Event, error) bool) {
		defer func() {
			if gone() {
				s.watcherGone()
			}
		}()
		events(yield)
	}, nil
}

// hearEvents counts one watcher more, and comes back when the feed follows.
func (s *Store) hearEvents(ctx context.Context) error {
	w := &s.watch
	w.mu.Lock()
	if err := s.enter(ctx); err != nil { // in the meantime
		w.mu.Unlock()
		return err
	}
	w.count++
	if w.live == nil {
		run, stop := context.WithCancel(context.Background())
		w.stop, w.live = stop, make(chan struct{})
		w.done.Go(func() {
			s.subscribe(run, s.root[1], func() {
				w.mu.Lock()
				s.raiseFloor() // before the feed goes on from somewhere else
				w.mu.Unlock()
				s.feed.Interrupt()
				w.done.Go(func() { s.joinEvents(run) })
			}, s.hearMessage)
		})
	}
	live := w.live
	w.mu.Unlock()
	timer := time.NewTimer(s.options.Timeout)
	defer timer.Stop()
	var err error
	select {
	case <-live:
		return nil
	case <-timer.C:
		err = holdfast.Unavailable(s.Ready(ctx), "Redis does not answer")
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.closing:
		err = errClosed()
	}
	s.watcherGone()
	return err
}

// fromNowOn waits until the feed has come to where Redis is: what happened
// before the call is not yielded, even if it is still on its way here.
func (s *Store) fromNowOn(ctx context.Context, req holdfast.WatchRequest) (holdfast.WatchRequest, error) {
	id, err := s.lastEvent(ctx)
	if err != nil {
		return req, err
	}
	deadline := time.Now().Add(s.options.Timeout)
	for pause := 100 * time.Microsecond; s.feed.Next() <= id && time.Now().Before(deadline); pause *= 2 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return req, context.Cause(ctx)
		}
	}
	if req.After == 0 {
		req.After = id
	}
	return req, nil
}

// lastEvent makes Redis send events for a while longer, and gives the ID of the
// last one.
func (s *Store) lastEvent(ctx context.Context) (uint64, error) {
	keep, floor := s.watchSettings()
	answer, err := s.run(ctx, s.scripts.tick, s.id, millis(s.options.DeadAfter), "0", keep, strconv.FormatUint(floor, 10), "1", "0")
	if err != nil {
		return 0, err
	}
	if len(answer) < 5 {
		return 0, answerError(answer)
	}
	f := fields{answer[3:]}
	s.counts.Expiries.Add(uint64(f.number()))
	return uint64(f.number()), nil
}

// joinEvents makes Redis send events, and the feed go on where they are now,
// once the subscription has begun.
func (s *Store) joinEvents(ctx context.Context) {
	for ctx.Err() == nil {
		if id, err := s.lastEvent(ctx); err == nil {
			s.feed.Resume(id + 1)
			w := &s.watch
			w.mu.Lock()
			defer w.mu.Unlock()
			if ctx.Err() != nil {
				return // nobody watches any more, or a newer subscription does
			}
			w.followed = true
			select {
			case <-w.live:
			default:
				close(w.live)
			}
			return
		}
		select {
		case <-time.After(resubscribe):
		case <-ctx.Done():
		}
	}
}

func (s *Store) watcherGone() {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.count--
	s.watch.last = time.Now()
}

// watchSettings are what tick tells Redis about watchers here: for how many ms
// events should be sent from now on, and from which ID on.
func (s *Store) watchSettings() (keep string, floor uint64) {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.live == nil {
		return "0", 0
	}
	if w.count == 0 && time.Since(w.last) > linger {
		w.stop()
		w.live = nil
		return "0", 0
	}
	s.raiseFloor()
	return millis(10 * beat), w.floor
}

// raiseFloor notes which events are known here; the mu of watch is held.
func (s *Store) raiseFloor() {
	if w := &s.watch; w.followed {
		w.floor = max(w.floor, s.feed.Next())
	}
}

// unwatch ends the subscription for good.
func (s *Store) unwatch() {
	s.watch.mu.Lock()
	if s.watch.live != nil {
		s.watch.stop()
	}
	s.watch.mu.Unlock()
	s.watch.done.Wait()
}

// hearMessage takes in the events of one script.
func (s *Store) hearMessage(message string) {
	if first, events := readEvents(message); len(events) > 0 {
		s.feed.Follow(first, events)
	}
}

// readEvents reads what finish in keys.lua sends: the ID of the first event, a
// blank, and nine fields of each event, each as its length, a colon and itself.
func readEvents(message string) (first uint64, events []holdfast.Event) {
	id, rest, _ := strings.Cut(message, " ")
	first, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return 0, nil
	}
	next := func() string {
		length, behind, _ := strings.Cut(rest, ":")
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(behind) {
			rest = ""
			return ""
		}
		rest = behind[n:]
		return behind[:n]
	}
	for rest != "" {
		e := holdfast.Event{Type: holdfast.EventType(next()), Key: next(), UID: next()}
		if next() == "s" {
			e.Mode = holdfast.Shared
		}
		e.Limit, _ = strconv.Atoi(next())
		e.Version, _ = strconv.ParseUint(next(), 10, 64)
		exp, _ := strconv.ParseInt(next(), 10, 64)
		e.Exp = time.Duration(exp) * time.Millisecond
		e.Note, e.Reason = next(), next()
		events = append(events, e)
	}
	return first, events
}
