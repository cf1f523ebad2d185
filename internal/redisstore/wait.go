package redisstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
)

// call is a place in line and the requests here that wait at it: usually one,
// but the same owner may ask the same thing again before the first answer.
type call struct {
	ask    string // uid and asks: by which a waiter is known
	ticket string // by which Redis knows the call

	claiming chan struct{} // holds one who claims the grant for all

	// Guarded by Store.mu.
	waiting int                    // requests that wait here
	place   string                 // in line; "" until it is known
	since   time.Time              // when the first of them came
	news    chan struct{}          // closed when it may have been let in
	over    bool                   // Redis need not know of the call any more …
	answer  []rueidis.RedisMessage // … because this grant was claimed; or nil
	sent    time.Time              // when the claim was
	undo    []string               // what takes the grant back, the uid aside; see undo.lua
	heard   int                    // requests that were told of the grant, or may be
}

// What can come of standing in line, beside a grant and a refusal.
const (
	wordGranted = "granted"
	wordWaiting = "waiting" // not let in so far
	wordGone    = "gone"    // Redis does not know that the request stands in line
)

// lockInLine asks, and waits if it has to.
func (s *Store) lockInLine(ctx context.Context, req holdfast.LockRequest, args []string) (holdfast.Grant, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return holdfast.Grant{}, errClosed()
	}
	s.requests.Add(1)
	s.mu.Unlock()
	defer s.requests.Done()

	deadline := time.Now().Add(req.Wait)
	over := time.NewTimer(req.Wait)
	defer over.Stop()
	ask := req.UID + "\x00" + strings.Join(args[beforeAsks:], "\x00")
	stood := false // it may have been let in by then, and its hold have run out
	for {
		c := s.join(ask)
		args[3] = s.id + " " + c.ticket + " " + millis(s.options.DeadAfter)
		sent := time.Now()
		answer, err := s.ask(args)
		if err != nil {
			s.quit(c)
			s.reconcileSoon() // it may stand in line all the same, now or in a moment
			if stood {
				err = holdfast.Unknown(err)
			}
			return holdfast.Grant{}, err
		}
		if status(answer) != wordWaiting {
			s.quit(c)
			return s.told(ctx, answer, req, sent)
		}
		stood = true
		if !s.standsAt(c, answer) {
			continue
		}
		word, answer, err := s.await(ctx, c, over.C)
		s.counts.waited(c.since, word)
		switch {
		case err != nil:
			return holdfast.Grant{}, err
		case word != wordGone:
			s.mu.Lock()
			sent := c.sent // by whichever of the requests that wait there
			s.mu.Unlock()
			return s.answered(answer, req, sent)
		case time.Until(deadline) <= 0: // ask without waiting
			args[3] = ""
			sent := time.Now()
			answer, err := s.ask(args)
			if err != nil {
				return holdfast.Grant{}, holdfast.Unknown(err)
			}
			return s.told(ctx, answer, req, sent)
		}
	}
}

// join gives the call of this ask, with one more request waiting.
func (s *Store) join(ask string) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.byAsk[ask]
	if !ok {
		s.tickets++
		c = &call{
			ask:      ask,
			ticket:   strconv.FormatUint(s.tickets, 36),
			since:    time.Now(),
			news:     make(chan struct{}),
			claiming: make(chan struct{}, 1),
		}
		s.byAsk[ask] = c
		s.byTicket[c.ticket] = c
	}
	c.waiting++
	return c
}

// quit takes a request away from its call.
func (s *Store) quit(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.waiting--
	if c.waiting == 0 {
		s.forget(c)
	}
}

// forget ends a call; s.mu is held. From now on the same ask is another call.
func (s *Store) forget(c *call) {
	c.over = true
	if s.byAsk[c.ask] == c {
		delete(s.byAsk, c.ask)
	}
	delete(s.byTicket, c.ticket)
}

// standsAt notes the place of a call. It says no, and takes the request away,
// if the call was over by then, and with another place: the request has to ask
// again.
func (s *Store) standsAt(c *call, answer []rueidis.RedisMessage) bool {
	place, _ := answer[1].ToString()
	if soon, err := answer[2].AsInt64(); err == nil {
		s.endsIn(soon)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.over && (c.place != place || c.answer == nil) {
		c.waiting--
		return false
	}
	c.place = place
	return true
}

// tell makes those who wait under a ticket look whether they were let in.
func (s *Store) tell(ticket string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.byTicket[ticket]; ok {
		c.tell()
	}
}

func (c *call) tell() {
	select {
	case <-c.news:
	default:
		close(c.news)
	}
}

// await waits until something comes of standing in line, and leaves the line
// in good order: without a request that nobody waits for any more, and with no
// hold that its owner does not hear of. The request does not belong to the
// call any more afterwards.
func (s *Store) await(ctx context.Context, c *call, over <-chan time.Time) (string, []rueidis.RedisMessage, error) {
	for {
		s.mu.Lock()
		news := c.news
		s.mu.Unlock()
		select {
		case <-news:
		case <-over:
			return s.leave(ctx, c, "over")
		case <-ctx.Done():
		case <-s.closing:
			s.quit(c) // its place is kept for as long as that of a server that died
			return "", nil, holdfast.Unknown(errClosed())
		}
		if ctx.Err() != nil {
			word, _, err := s.leave(ctx, c, "gone")
			if word == wordGranted {
				err = s.unheard(c)
			}
			if err != nil {
				return "", nil, holdfast.Unknown(context.Cause(ctx))
			}
			return "", nil, context.Cause(ctx)
		}
		word, answer, err := s.claim(ctx, c)
		switch {
		case ctx.Err() != nil:
			// goes on above
		case err != nil:
			s.leave(ctx, c, "gone")
			return "", nil, holdfast.Unknown(err)
		case word != wordWaiting:
			s.mu.Lock()
			c.heard++
			s.mu.Unlock()
			s.quit(c)
			return word, answer, nil
		}
	}
}

// claim takes the grant of c, once for all requests that wait there. It comes
// before the answer to the client: what has been claimed is not taken back.
func (s *Store) claim(ctx context.Context, c *call) (string, []rueidis.RedisMessage, error) {
	select {
	case c.claiming <- struct{}{}:
		defer func() { <-c.claiming }()
	case <-ctx.Done():
		return "", nil, context.Cause(ctx)
	}
	s.mu.Lock()
	if c.over {
		defer s.mu.Unlock()
		return c.outcome()
	}
	c.news = make(chan struct{})
	place := c.place
	s.mu.Unlock()
	sent := time.Now()
	// To its end whatever becomes of this client, for the sake of the others.
	answer, err := s.run(context.WithoutCancel(ctx), s.scripts.claim, place, s.id, c.ticket)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		c.tell() // the others shall try
		return "", nil, err
	}
	switch word := status(answer); {
	case word == wordGranted:
		c.granted(answer, sent)
		s.claims.add(c.ticket)
		s.forget(c)
	case word == wordWaiting || c.place != place: // or it was asked again in the meantime
		return wordWaiting, nil, nil
	default:
		s.forget(c)
	}
	c.tell()
	return c.outcome()
}

// outcome is what a call that is over came to; the store's mu is held.
func (c *call) outcome() (string, []rueidis.RedisMessage, error) {
	if c.answer == nil {
		return wordGone, nil, nil
	}
	return wordGranted, c.answer, nil
}

// leave ends a request because its client has "gone" or its wait is "over". In
// the second case it may still be granted, or says who was in the way. If
// others wait at the same place, that stays as it is.
func (s *Store) leave(ctx context.Context, c *call, why string) (string, []rueidis.RedisMessage, error) {
	s.mu.Lock()
	c.waiting--
	if c.over {
		defer s.mu.Unlock()
		if why != "gone" {
			c.heard++
		}
		return c.outcome()
	}
	if c.waiting == 0 {
		s.forget(c)
	} else if why == "gone" {
		s.mu.Unlock()
		return wordGone, nil, nil
	} else {
		why = "look"
		c.heard++ // if it is granted now
	}
	place := c.place
	s.mu.Unlock()
	sent := time.Now()
	answer, err := s.run(context.WithoutCancel(ctx), s.scripts.leave, place, s.id, c.ticket, why)
	if err != nil {
		s.reconcileSoon() // perhaps it still stands there
		return "", nil, holdfast.Unknown(err)
	}
	if why == "look" && status(answer) == wordWaiting { // let in just now
		word, answer, err := s.claim(ctx, c)
		return word, answer, holdfast.Unknown(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case status(answer) == wordGranted:
		c.granted(answer, sent)
		s.claims.add(c.ticket)
		return wordGranted, c.answer, nil
	case why == "look":
		c.heard--
	}
	return status(answer), answer, nil
}
