package servicetest

import (
	"time"

	"holdfast"
)

// Check and Get look at keys and change nothing.
var looking = []proof{
	{"check says whether anybody holds one of the keys", checkAny},
	{"check does not count those who wait", checkWaiters},
	{"check sees the end of a hold", checkEnds},
	{"get shows the holders in the order of uid", getHolders},
	{"get shows the line, first come first", getLine},
	{"get of a key that nobody holds or waits for has empty lists", getNobody},
	{"get shows all that is known of a hold and of a waiter", getEverything},
	{"looking changes nothing", lookingOnly},
}

// check asks whether one of the keys is held.
func (c *scene) check(keys ...string) bool {
	c.t.Helper()
	ctx, cancel := c.soon()
	defer cancel()
	locked, err := c.service().Check(ctx, c.names(keys...))
	c.must(err, "check %q", keys)
	return locked
}

// locked sees what check says of the keys.
func (c *scene) locked(want bool, keys ...string) {
	c.t.Helper()
	if c.check(keys...) != want {
		c.t.Fatalf("check %q says %v", keys, !want)
	}
}

func checkAny(c *scene) {
	c.locked(false, "x")
	c.lock("a", "x")
	c.lock("b", "y shared 2")
	c.locked(true, "x")
	c.locked(true, "y")
	c.locked(true, "n", "m", "y")
	c.locked(true, "x", "n")
	c.locked(true, "x", "x")
	c.locked(false, "n")
	c.locked(false, "n", "m", "xx")
}

func checkWaiters(c *scene) {
	c.lock("a", "x")
	c.waits("b", "x", "y")
	c.locked(false, "y")
}

func checkEnds(c *scene) {
	c.lock("a", "x", "y")
	c.unlock("a", "x")
	c.locked(false, "x")
	c.locked(true, "x", "y")
	c.force("y")
	c.locked(false, "x", "y")
	sent := time.Now()
	c.exp(shortly).lock("a", "z")
	c.eventually("z is not locked any more", func() bool { return !c.check("z") })
	c.notBefore(sent, shortly, time.Now())
}

func getHolders(c *scene) {
	for _, uid := range []string{"m", "b", "B", "b1", "é", "z", "a"} {
		c.lock(uid, "x shared")
	}
	c.heldBy("x", "B shared", "a shared", "b shared", "b1 shared", "m shared", "z shared", "é shared")
}

func getLine(c *scene) {
	c.lock("q", "x")
	for _, uid := range []string{"m", "b", "z", "a"} {
		c.waits(uid, "x")
	}
	c.line("x", "m", "b", "z", "a")
}

func getNobody(c *scene) {
	c.free("x")
	c.lock("a", "x")
	c.unlock("a", "x")
	c.free("x")
}

func getEverything(c *scene) {
	sent := time.Now()
	c.note("first").exp(time.Hour).lock("a", "x shared 3")
	c.note("second").waits("b", "x", "y")
	lock := c.get("x")
	took := time.Since(sent) + time.Millisecond // milliseconds may be rounded up
	if len(lock.Holders) != 1 || len(lock.Waiters) != 1 {
		c.t.Fatalf("one holds and one waits: %+v", lock)
	}
	h, w := lock.Holders[0], lock.Waiters[0]
	if h.Exp > time.Hour || h.Exp < time.Hour-took || h.Held < 0 || h.Held > took || w.Waited < 0 || w.Waited > took {
		c.t.Fatalf("the times are wrong %v after the lock: %+v", took, lock)
	}
	h.Exp, h.Held, w.Waited = 0, 0, 0
	equal(c, "holders", []holdfast.Holder{h}, []holdfast.Holder{{
		UID: c.name("a"), Version: c.version("a", "x"), Mode: holdfast.Shared, Limit: 3, Note: "first",
	}})
	equal(c, "waiters", []holdfast.Waiter{w}, []holdfast.Waiter{{UID: c.name("b"), Note: "second"}})
}

func lookingOnly(c *scene) {
	c.exp(shortly).lock("a", "x")
	sent := time.Now()
	for time.Since(sent) < 2*shortly {
		c.check("x", "y")
		c.get("x")
		c.get("y")
		c.list(holdfast.ListRequest{UID: "a"})
	}
	// Looking did not keep the hold alive, nor leave anything of y.
	c.freed("x")
	if locks := c.list(holdfast.ListRequest{}).Locks; len(locks) > 0 {
		c.t.Fatalf("looking left %+v", locks)
	}
}
