package servicetest

import (
	"context"
	"errors"
	"time"

	"holdfast"
)

// Rule 9. A waiter whose client closed its connection leaves the line at
// once. A waiter is known by uid and what it asks, so that the client that
// comes back finds its old place. (For a grant that could not be delivered,
// see atthemoment.go.)
var noGhosts = []proof{
	{"a waiter whose client has gone leaves the line", goneLeaves},
	{"those whom it kept out are let in", goneLetsIn},
	{"the others keep their places", goneKeepsOthers},
	{"its client's deadline counts the same", goneByDeadline},
	{"the end of ctx is answered with its cause", goneCause},
	{"a client that was gone before it asked gets nothing", goneBefore},
	{"a client that comes back finds its old place", comesBack},
	{"the place stays while one of two same requests is there", oneOfTwoStays},
	{"a request for something else is another place", elseIsAnotherPlace},
	{"who is gone keeps what it held before", goneKeepsHolds},
}

func goneLeaves(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x")
	b.leaves()
	c.eventually("b has left the line", func() bool { return len(c.waiters("x")) == 0 })
	c.heldBy("x", "a")
	c.unlock("a", "x")
	c.free("x")
}

func goneLetsIn(c *scene) {
	c.lock("a", "x shared")
	b := c.waits("b", "x", "y")
	r1 := c.waits("r1", "x shared")
	r2 := c.waits("r2", "x shared")
	d := c.waits("d", "y")
	b.leaves()
	r1.granted()
	r2.granted()
	d.granted()
	c.heldBy("x", "a shared", "r1 shared", "r2 shared")
	c.heldBy("y", "d")
}

func goneKeepsOthers(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x")
	d := c.waits("d", "x")
	e := c.waits("e", "x")
	d.leaves()
	c.eventually("d has left the line", func() bool { return len(c.waiters("x")) == 2 })
	c.line("x", "b", "e")
	c.unlock("a", "x")
	b.granted()
	e.stillWaits()
	c.unlock("b", "x")
	e.granted()
}

func goneByDeadline(c *scene) {
	c.lock("a", "x")
	ctx, cancel := context.WithTimeout(c.ctx, shortly)
	defer cancel()
	req := c.wait(time.Minute).asking("b", []string{"x"})
	sent := time.Now()
	grant, err := c.service().Lock(ctx, req)
	if !errors.Is(err, context.DeadlineExceeded) {
		c.t.Fatalf("at the end of its deadline b got %v, %v", grant, err)
	}
	if waited := time.Since(sent); waited > shortly+lateness {
		c.t.Fatalf("b was back %v after it asked, with a deadline of %v", waited, shortly)
	}
	c.eventually("b has left the line", func() bool { return len(c.waiters("x")) == 0 })
}

// goneCause asks everything with a ctx that has ended with a cause.
func goneCause(c *scene) {
	c.lock("a", "x")
	ctx, cancel := context.WithCancelCause(c.ctx)
	cancel(errGone)
	for what, ask := range map[string]func(holdfast.Service) error{
		"lock": func(s holdfast.Service) error {
			_, err := s.Lock(ctx, c.asking("b", []string{"y"}))
			return err
		},
		"unlock": func(s holdfast.Service) error {
			_, err := s.Unlock(ctx, holdfast.UnlockRequest{UID: c.name("b"), Tokens: []holdfast.Token{c.token("a", "x")}})
			return err
		},
		"extend": func(s holdfast.Service) error {
			_, err := s.Extend(ctx, holdfast.ExtendRequest{UID: c.name("a")})
			return err
		},
		"check": func(s holdfast.Service) error {
			_, err := s.Check(ctx, c.names("x"))
			return err
		},
		"list": func(s holdfast.Service) error {
			_, err := s.List(ctx, holdfast.ListRequest{Prefix: c.prefix})
			return err
		},
		"get": func(s holdfast.Service) error {
			_, err := s.Get(ctx, c.name("x"))
			return err
		},
		"force": func(s holdfast.Service) error {
			_, err := s.Force(ctx, holdfast.ForceRequest{Key: c.name("y")})
			return err
		},
	} {
		if err := ask(c.service()); !errors.Is(err, errGone) {
			c.t.Errorf("%s with a ctx that has ended: got %v; want its cause", what, err)
		}
	}
}

func goneBefore(c *scene) {
	c.lock("a", "x")
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	for _, asks := range [][]string{{"x"}, {"y"}, {"y", "x"}} {
		req := c.wait(time.Minute).asking("b", asks)
		if grant, err := c.service().Lock(ctx, req); !errors.Is(err, context.Canceled) {
			c.t.Fatalf("b, who was gone, asked for %q and got %v, %v", asks, grant, err)
		}
	}
	c.eventually("nothing of b is left", func() bool {
		return len(c.waiters("x")) == 0 && len(c.holders("y")) == 0 && len(c.waiters("y")) == 0
	})
	c.heldBy("x", "a")
}

// again sends w's request once more, and comes back when it is seen to have
// arrived: the place then shows the new note.
func (c *scene) again(w *call) *call {
	c.t.Helper()
	key := c.short(w.req.Keys[0].Key)
	note := time.Now().Format(time.RFC3339Nano)
	again := c.note(note).start(w.uid, w.asks...)
	c.eventually(w.uid+" has come back to its place", func() bool {
		for _, waiter := range c.get(key).Waiters {
			if waiter.UID == c.name(w.uid) && waiter.Note == note {
				return true
			}
		}
		return false
	})
	return again
}

func comesBack(c *scene) {
	c.lock("a", "x")
	b1 := c.waits("b", "x", "y")
	d := c.waits("d", "x")
	b2 := c.again(b1)
	c.line("x", "b", "d")
	c.line("y", "b")
	b1.leaves()
	c.line("x", "b", "d")
	c.unlock("a", "x")
	b2.granted()
	d.stillWaits()
	c.heldBy("x", "b")
}

func oneOfTwoStays(c *scene) {
	c.lock("a", "x")
	b1 := c.waits("b", "x")
	b2 := c.again(b1)
	b3 := c.again(b1)
	d := c.waits("d", "x")
	b2.leaves()
	c.line("x", "b", "d")
	b1.stillWaits()
	b3.leaves()
	c.line("x", "b", "d")
	c.unlock("a", "x")
	b1.granted()
	d.stillWaits()
	c.unlock("b", "x")
	d.granted()
}

func elseIsAnotherPlace(c *scene) {
	c.lock("a", "x shared")
	b1 := c.waits("b", "x", "y")
	d := c.waits("d", "x")
	b2 := c.waits("b", "x")
	c.line("x", "b", "d", "b")
	b1.leaves()
	c.eventually("b has left its first place", func() bool { return len(c.waiters("x")) == 2 })
	c.line("x", "d", "b")
	c.unlock("a", "x")
	d.granted()
	b2.stillWaits()
	c.unlock("d", "x")
	b2.granted()
}

func goneKeepsHolds(c *scene) {
	c.lock("a", "x")
	c.lock("b", "y", "z shared")
	c.waits("b", "y", "z shared", "x").leaves()
	c.eventually("b has left the line", func() bool { return len(c.waiters("x")) == 0 })
	c.heldBy("y", "b")
	c.heldBy("z", "b shared")
	c.unlock("b", "y", "z")
}
