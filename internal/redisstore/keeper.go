package redisstore

import (
	"cmp"
	"context"
	"errors"
	"math"
	"runtime"
	"strconv"
	"time"
)

// keep looks after Redis until the store is closed: it gives signs of life,
// ends what has run out, finds out whether Redis is there, and compares.
func (s *Store) keep(ctx context.Context) {
	regular := time.NewTicker(beat)
	defer regular.Stop()
	net := time.NewTicker(netPeriod)
	defer net.Stop()
	end := time.NewTimer(0)
	defer end.Stop()
	for {
		compare, turn := false, false
		select {
		case <-regular.C:
		case <-end.C:
		case <-s.sooner:
			end.Reset(s.untilEnd())
			continue
		case <-net.C:
			compare, turn = true, true
		case <-s.comparing:
			compare = true
		case <-ctx.Done():
			return
		}
		if s.look(ctx) != nil {
			continue // the regular one tries again
		}
		if compare && s.reconcile(ctx) && turn {
			s.mu.Lock()
			s.claims.turn()
			s.mu.Unlock()
		}
		end.Reset(s.untilEnd())
	}
}

// look finds out whether Redis is there, and does there what is due.
func (s *Store) look(ctx context.Context) error {
	full, err := s.tickAll(ctx)
	if err == nil || !errors.Is(ctx.Err(), context.Canceled) { // else the store is being closed
		s.found(cmp.Or(err, full))
	}
	return err
}

// tickAll does what is due until nothing is left. All of it can be done although
// Redis is full; then that is said as well.
func (s *Store) tickAll(ctx context.Context) (full, err error) {
	age := "0"
	if now := time.Now(); now.Sub(s.aged) >= beat {
		age, s.aged = "1", now
	}
	if s.client.Load() == nil {
		if err := s.reach(ctx); err != nil {
			return nil, err
		}
	}
	for {
		// Whoever sets it from now on is not overwritten below.
		s.nextEnd.Store(math.MaxInt64)
		done, soon, full, err := s.tick(ctx, age)
		if err != nil {
			return nil, err
		}
		s.endsIn(soon)
		if done < sweepMost || ctx.Err() != nil {
			return full, nil
		}
		runtime.Gosched() // much has run out: others first
	}
}

// tick runs the script of that name. It gives how much was ended, in how many ms
// the next hold ends, or -1, and what Redis says if it is full.
func (s *Store) tick(ctx context.Context, age string) (done, soon int64, full, err error) {
	s.mu.Lock()
	waiters := "0"
	if len(s.byTicket) > 0 {
		waiters = "1"
	}
	s.mu.Unlock()
	keepEvents, floor := s.watchSettings()
	answer, err := s.run(ctx, s.scripts.tick, s.id, millis(s.options.DeadAfter), waiters,
		keepEvents, strconv.FormatUint(floor, 10), strconv.Itoa(sweepMost), age)
	if err != nil {
		return 0, 0, nil, err
	}
	f := fields{answer}
	done, soon = f.number(), f.number()
	if f.number() == 0 {
		s.reconcileSoon() // Redis has lost its data, or took this server for dead
	}
	s.counts.Expiries.Add(uint64(f.number()))
	f.number() // the last event
	if text := f.text(); text != "" {
		full = errors.New(text)
	}
	return done, soon, full, nil
}

// endsIn says that a hold ends in so many ms.
func (s *Store) endsIn(ms int64) {
	if ms < 0 {
		return
	}
	at := int64(time.Since(s.start)) + ms*int64(time.Millisecond)
	for {
		next := s.nextEnd.Load()
		if at >= next {
			return
		}
		if s.nextEnd.CompareAndSwap(next, at) {
			break
		}
	}
	select {
	case s.sooner <- struct{}{}:
	default:
	}
}

// untilEnd is how long the keeper may sleep until a hold ends.
func (s *Store) untilEnd() time.Duration {
	next := s.nextEnd.Load()
	if next == math.MaxInt64 {
		return maxSleep
	}
	return max(time.Duration(next)-time.Since(s.start), minSleep)
}

const (
	minSleep = 500 * time.Microsecond // a clock that runs faster than Redis' must not make the keeper spin
	maxSleep = time.Hour
)

// reconcileSoon asks for a comparison with Redis.
func (s *Store) reconcileSoon() {
	select {
	case s.comparing <- struct{}{}:
	default:
	}
}

// reconcile compares what Redis says this server answers for with the calls
// that there are. Messages may have been lost, Redis may have lost its data or
// taken this server for dead, and a request of which nobody learned that it
// stands in line must not stand there for ever. It says whether it came to its
// end.
func (s *Store) reconcile(ctx context.Context) bool {
	strays, ok := s.strays(ctx)
	began := time.Now()
	for _, stray := range strays {
		if time.Since(began) > beat/2 {
			s.reconcileSoon() // the rest after a sign of life
			return false
		}
		var err error
		if stray.claimed {
			_, err = s.run(ctx, s.scripts.claim, stray.place, s.id, stray.ticket)
		} else {
			_, err = s.run(ctx, s.scripts.leave, stray.place, s.id, stray.ticket, "gone")
		}
		if err != nil {
			return false
		}
	}
	return ok
}

// stray is a place that this server answers for in Redis alone.
type stray struct {
	ticket, place string
	claimed       bool // its grant was claimed, of which Redis does not know
}

// strays gives the places for which no call is there any more, and makes the
// calls look whose grant they may not have heard of. It says no if it could not
// ask Redis, or the store is closed: those sent away keep their places.
func (s *Store) strays(ctx context.Context) (found []stray, ok bool) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, false
	}
	before := make(map[string]string, len(s.byTicket)) // ticket -> place, of those whose place is known
	for ticket, c := range s.byTicket {
		if c.place != "" {
			before[ticket] = c.place
		}
	}
	s.mu.Unlock()
	answer, err := s.run(ctx, s.scripts.mine, s.id)
	if err != nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false
	}
	for f := (fields{answer}); len(f.rest) > 0; {
		at, granted := stray{ticket: f.text(), place: f.text()}, f.text() == "1"
		c, known := s.byTicket[at.ticket]
		switch {
		case !known || c.place != "" && c.place != at.place:
			at.claimed = granted && s.claims.has(at.ticket)
			found = append(found, at)
		case granted:
			c.tell()
		}
		if before[at.ticket] == at.place {
			delete(before, at.ticket)
		}
	}
	for ticket, place := range before {
		// Redis does not know it: claiming will say so.
		if c, ok := s.byTicket[ticket]; ok && c.place == place {
			c.tell()
		}
	}
	return found, true
}
