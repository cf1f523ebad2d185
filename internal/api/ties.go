package api

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
)

// elsewhere is how much later than reckoned a hold must end to count as
// extended by somebody else.
const elsewhere = 50 * time.Millisecond

// tie names a hold that is bound to a connection.
type tie struct {
	uid   string
	token holdfast.Token
}

// ties knows which holds end with a connection. A hold that was bound is tied
// to the connection that locked or extended it last; a request of its own ties
// it to none. So a client that comes back within the grace keeps it by
// extending it.
type ties struct {
	service holdfast.Service
	grace   time.Duration
	logger  *slog.Logger
	count   atomic.Int64 // of holds: who ties nothing pays nothing

	ctx context.Context // ends with close
	end context.CancelFunc

	mu    sync.Mutex
	holds map[tie]*stream
	work  sync.WaitGroup
}

func newTies(service holdfast.Service, options Options) *ties {
	t := &ties{service: service, grace: options.BindGrace, logger: options.Logger, holds: map[tie]*stream{}}
	t.ctx, t.end = context.WithCancel(context.Background())
	return t
}

// lives notes that holds were granted or extended, and live for exp at least: a
// life that began before may be longer.
func (t *ties) lives(from *stream, bind bool, uid string, tokens []holdfast.Token, exp time.Duration) {
	if !bind && t.count.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, token := range tokens {
		hold := tie{uid, token}
		before, was := t.holds[hold]
		if was {
			t.cut(before, hold)
		}
		if from != nil && (was || bind) {
			t.holds[hold] = from
			from.tied[hold] = now.Add(exp)
			t.count.Add(1)
		}
	}
	if from != nil && len(from.tied) > from.tidyAt {
		t.tidy(from)
	}
}

// tidy sees to it that holds are forgotten whose time has run out. It is called
// each time that as many again have come.
func (t *ties) tidy(s *stream) {
	var over []tie
	now := time.Now()
	for hold, end := range s.tied {
		if end.Before(now) {
			over = append(over, hold)
		}
	}
	s.tidyAt = max(1024, 2*len(s.tied))
	if len(over) > 0 && t.ctx.Err() == nil {
		t.work.Go(func() { t.sift(s, over) })
	}
}

// sift forgets those of some holds that are held no more. The others had a
// longer life already when they were bound.
func (t *ties) sift(s *stream, over []tie) {
	for _, hold := range over {
		left, held, err := t.leftOf(hold)
		if err != nil {
			break // until the next time
		}
		t.mu.Lock()
		_, tied := s.tied[hold]
		switch {
		case tied && held:
			s.tied[hold] = time.Now().Add(left)
		case tied:
			t.cut(s, hold)
		}
		t.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.tidyAt = max(1024, 2*len(s.tied))
}

// ended notes that holds are no more.
func (t *ties) ended(uid string, tokens []holdfast.Token) {
	if t.count.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, token := range tokens {
		if to, was := t.holds[tie{uid, token}]; was {
			t.cut(to, tie{uid, token})
		}
	}
}

func (t *ties) cut(from *stream, hold tie) {
	delete(t.holds, hold)
	delete(from.tied, hold)
	t.count.Add(-1)
}

// loosen notes that a connection has ended, and all its calls. What is tied to
// it is released when the grace is over.
func (t *ties) loosen(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(s.tied) > 0 && t.ctx.Err() == nil {
		t.work.Go(func() { t.release(s) })
	}
}

// release waits for the grace, and then releases what is tied to an ended
// connection, save for what somebody has extended meanwhile, if only at another
// server. While the store is out of reach it tries again each time that the
// grace has passed: the exp of a bound hold may be long.
func (t *ties) release(s *stream) {
	ends := map[tie]time.Time{} // as of an earlier look
	warned := false
	for {
		err := t.look(s, ends)
		if err != nil && !warned && t.ctx.Err() == nil {
			t.logger.Warn("holds of a lost connection cannot be released yet", "error", err)
			warned = true
		}
		if len(t.of(s)) == 0 {
			return
		}
		select {
		case <-time.After(t.grace):
		case <-t.ctx.Done():
			return
		}
	}
}

// look sees what has become of the holds that are tied to an ended connection
// since an earlier look, and releases those that nobody has extended.
func (t *ties) look(s *stream, ends map[tie]time.Time) error {
	var settled []tie
	over := map[string][]holdfast.Token{}
	defer func() { t.forget(s, settled) }()
	for _, hold := range t.of(s) {
		asked := time.Now()
		left, held, err := t.leftOf(hold)
		if err != nil {
			return err // somebody may have extended it
		}
		end := time.Now().Add(left) // or sooner, by as long as the answer took
		before, looked := ends[hold]
		before = before.Add(elsewhere)
		switch {
		case looked && held && end.Before(before):
			over[hold.uid] = append(over[hold.uid], hold.token)
		case !held, looked && asked.Add(left).After(before):
			settled = append(settled, hold)
		default: // the first look, or one that took too long to tell
			ends[hold] = end
		}
	}
	for uid, tokens := range over {
		for some := range slices.Chunk(tokens, holdfast.MaxKeys) {
			some = t.tiedStill(s, uid, some)
			if len(some) == 0 {
				continue
			}
			if _, err := t.service.Unlock(t.ctx, holdfast.UnlockRequest{UID: uid, Tokens: some}); err != nil {
				return err
			}
			for _, token := range some {
				settled = append(settled, tie{uid, token})
			}
		}
	}
	return nil
}

// forget notes that holds do not end with a connection any more.
func (t *ties) forget(s *stream, settled []tie) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, hold := range settled {
		if _, tied := s.tied[hold]; tied { // and not to another one by now
			t.cut(s, hold)
		}
	}
}

// tiedStill gives those of some holds that are tied to an ended connection still:
// to look at many takes a while, in which their owner may come back here.
func (t *ties) tiedStill(s *stream, uid string, tokens []holdfast.Token) []holdfast.Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(tokens, func(token holdfast.Token) bool {
		_, tied := s.tied[tie{uid, token}]
		return !tied
	})
}

// of gives the holds that are tied to a connection.
func (t *ties) of(s *stream) []tie {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(s.tied))
}

// leftOf is what is left of a hold, if it is held.
func (t *ties) leftOf(hold tie) (left time.Duration, held bool, err error) {
	state, err := t.service.Get(t.ctx, hold.token.Key)
	for _, holder := range state.Holders {
		if holder.UID == hold.uid && holder.Version == hold.token.Version {
			return holder.Exp, true, err
		}
	}
	return 0, false, err
}

// close leaves all holds to their exp.
func (t *ties) close() {
	t.mu.Lock()
	t.end()
	t.mu.Unlock()
	t.work.Wait()
}
