package redisstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/redistest"
)

// claiming is a request that is let in while the way to Redis is slow: the claim
// of its grant is on its way.
type claiming struct {
	s, other *Store
	call     *call
	goes     context.CancelCauseFunc // its client
	answer   chan error
	another  chan error // the answers to more of the same
}

var errGone = errors.New("the client has gone")

// claim lets b in to x, for which so many more of its requests wait there.
func claim(t *testing.T, more int, before func(*Store)) *claiming {
	t.Helper()
	server := redistest.Start(t)
	c := &claiming{answer: make(chan error, 1), another: make(chan error, 1)}
	c.s = openOver(t, "redis://"+slowly(t, server.Addr(), 100*time.Millisecond, 0))
	c.other = openOver(t, server.URL())
	before(c.other)
	a, err := c.other.Lock(t.Context(), sharing("a"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancelCause(t.Context())
	c.goes = leave
	go func() { c.answer <- c.ask(ctx) }()
	redistest.Eventually(t, "b stands in line", func() bool { return inLine(t, c.other, "b", "x") && c.s.knowsPlace("b") })
	c.s.mu.Lock()
	for _, c.call = range c.s.byTicket {
	}
	c.s.mu.Unlock()
	for range more {
		go func() { c.another <- c.ask(t.Context()) }()
	}
	redistest.Eventually(t, "all wait", func() bool {
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		return c.call.waiting == 1+more
	})
	time.Sleep(time.Duration(more) * 250 * time.Millisecond) // until they are told so
	unlock(t, c.other, "a", a.Tokens[0])
	redistest.Eventually(t, "b claims its grant", func() bool { return len(c.call.claiming) == 1 })
	return c
}

func (c *claiming) ask(ctx context.Context) error {
	_, err := c.s.Lock(ctx, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Exp: time.Minute, Wait: time.Minute})
	return err
}

func sharing(uid string) holdfast.LockRequest {
	return holdfast.LockRequest{UID: uid, Keys: []holdfast.Ask{{Key: "x", Mode: holdfast.Shared}}, Exp: time.Minute}
}

// leaves lets the client go, and sees what it is told.
func (c *claiming) leaves(t *testing.T) {
	t.Helper()
	c.goes(errGone)
	select {
	case err := <-c.answer:
		if !errors.Is(err, errGone) {
			t.Errorf("the answer to nobody: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no answer")
	}
}

func (c *claiming) holders(t *testing.T) []holdfast.Holder {
	t.Helper()
	state, err := c.other.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	return state.Holders
}

// A client that goes while its grant is claimed leaves no hold behind.
func TestWhoGoesWhileAGrantIsClaimedHoldsNothing(t *testing.T) {
	c := claim(t, 0, func(*Store) {})
	c.leaves(t)
	if holders := c.holders(t); len(holders) > 0 {
		t.Errorf("held by %+v", holders)
	}
}

// It keeps what it had before an upgrade.
func TestWhoGoesWhileAnUpgradeIsClaimedHoldsWhatItHeld(t *testing.T) {
	var grant holdfast.Grant
	c := claim(t, 0, func(s *Store) {
		var err error
		if grant, err = s.Lock(t.Context(), sharing("b")); err != nil {
			t.Fatal(err)
		}
	})
	c.leaves(t)
	if holders := c.holders(t); len(holders) != 1 || holders[0].Mode != holdfast.Shared || holders[0].Version != grant.Tokens[0].Version {
		t.Errorf("held by %+v, and not %+v", holders, grant)
	}
}

// What another client has heard of stays: one that waits at the same place, or
// asks through another server.
func TestWhoGoesWhileAGrantIsClaimedTakesNothingFromOthers(t *testing.T) {
	for name, more := range map[string]int{"here": 1, "elsewhere": 0} {
		t.Run(name, func(t *testing.T) {
			c := claim(t, more, func(*Store) {})
			if more == 0 {
				c.another <- (&claiming{s: c.other}).ask(t.Context())
			}
			c.leaves(t)
			soon(t, "another is granted", c.another)
			if holders := c.holders(t); len(holders) != 1 || holders[0].UID != "b" {
				t.Errorf("held by %+v", holders)
			}
		})
	}
}

// So does one that goes while it asks, and is granted at once.
func TestWhoGoesWhileItAsksHoldsNothing(t *testing.T) {
	server := redistest.Start(t)
	s, other := openOver(t, "redis://"+slowly(t, server.Addr(), 100*time.Millisecond, 0)), openOver(t, server.URL())
	one, two := holdfast.Keys("x"), holdfast.Keys("x", "y")
	share := sharing("b").Keys
	for name, test := range map[string]struct {
		before, asks []holdfast.Ask
		wait         time.Duration
		together     bool
	}{
		"one key":               {asks: one},
		"with others":           {asks: one, together: true},
		"several keys":          {asks: two},
		"with a wait":           {asks: one, wait: time.Minute},
		"shared":                {asks: share},
		"an upgrade":            {before: share, asks: one},
		"what it held before":   {before: one, asks: one},
		"beside what it held":   {before: one, asks: two},
		"beside it, and waits":  {before: one, asks: two, wait: time.Minute},
		"several, after others": {asks: two, together: true},
	} {
		t.Run(name, func(t *testing.T) {
			var held holdfast.Grant
			if test.before != nil {
				var err error
				if held, err = other.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: test.before, Exp: time.Minute}); err != nil {
					t.Fatal(err)
				}
			}
			if test.together {
				for i := range 4 * manyFlying {
					go s.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys(string(rune('0' + i))), Exp: time.Minute})
				}
				redistest.Eventually(t, "others ask", func() bool {
					s.many.mu.Lock()
					defer s.many.mu.Unlock()
					return s.many.flying > 0
				})
			}
			ctx, goes := context.WithCancelCause(t.Context())
			time.AfterFunc(20*time.Millisecond, func() { goes(errGone) })
			_, err := s.Lock(ctx, holdfast.LockRequest{UID: "b", Keys: test.asks, Exp: time.Minute, Wait: test.wait})
			if !errors.Is(err, errGone) {
				t.Errorf("the answer to nobody: %v", err)
			}
			for _, key := range []string{"x", "y"} {
				state, err := other.Get(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				var want []holdfast.Token
				if test.before != nil && key == "x" {
					want = held.Tokens
				}
				if len(state.Holders) != len(want) || len(want) == 1 && state.Holders[0].Version != want[0].Version {
					t.Errorf("%s is held by %+v, and not %v", key, state.Holders, want)
				}
				if _, err := other.Force(t.Context(), holdfast.ForceRequest{Key: key}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
