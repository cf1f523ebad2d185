package servicetest

import "holdfast"

// Rule 1. One request locks all its keys in one step, or none.
var allOrNothing = []proof{
	{"one request locks all its keys", lockAll},
	{"a request that cannot have all its keys holds none", refusedHoldsNone},
	{"a request in line holds none of its keys, then all", waitingHoldsNone},
	{"a request that waited in vain holds none of its keys", inVainHoldsNone},
	{"a request that left the line holds none of its keys", leaverHoldsNone},
	{"one request may ask each key in its own mode", modesMixed},
	{"the same key twice is one key", twiceIsOnce},
	{"tokens stand in the order asked", tokensInOrder},
}

func lockAll(c *scene) {
	c.lock("a", "x", "y", "z")
	for _, key := range []string{"x", "y", "z"} {
		c.heldBy(key, "a")
		c.refused("b", key).by(key + " a")
	}
	c.unlock("a", "x", "y", "z")
	c.free("x", "y", "z")
}

func refusedHoldsNone(c *scene) {
	c.lock("a", "y")
	c.refused("b", "x", "y", "z").by("y a")
	c.free("x", "z")
	c.lock("c", "x", "z")
}

func waitingHoldsNone(c *scene) {
	c.lock("a", "y")
	b := c.waits("b", "x", "y", "z")
	c.heldBy("x")
	c.heldBy("y", "a")
	c.heldBy("z")
	c.unlock("a", "y")
	b.granted()
	for _, key := range []string{"x", "y", "z"} {
		c.heldBy(key, "b")
		c.line(key)
	}
}

func inVainHoldsNone(c *scene) {
	c.lock("a", "y")
	c.wait(shortly).start("b", "x", "y", "z").inVain().by("y a")
	c.free("x", "z")
	c.line("y")
	c.unlock("a", "y")
	c.free("y")
}

func leaverHoldsNone(c *scene) {
	c.lock("a", "y")
	b := c.waits("b", "x", "y", "z")
	b.leaves()
	c.eventually("b has left the line", func() bool { return len(c.waiters("y")) == 0 })
	c.free("x", "z")
	c.unlock("a", "y")
	c.free("y")
}

func modesMixed(c *scene) {
	c.lock("a", "x shared", "y", "z shared 2")
	c.heldBy("x", "a shared")
	c.heldBy("y", "a")
	c.heldBy("z", "a shared 2")

	// Were the modes one for the whole request, this would hold x.
	c.refused("b", "x shared", "y shared").by("y a")
	c.heldBy("x", "a shared")

	c.lock("b", "x shared", "z shared 2")
	c.refused("c", "z shared 2", "x shared").by("z a shared", "z b shared")
	c.unlock("a", "y", "z")
	c.lock("c", "z shared 2", "x shared", "y")
}

func twiceIsOnce(c *scene) {
	grant := c.lock("a", "x", "y", "x")
	if len(grant.Tokens) != 2 {
		c.t.Fatalf("two keys, one of them asked twice, gave %v", grant.Tokens)
	}
	c.lock("a", "z shared 2", "z shared 2")
	c.unlock("a", "x", "y", "z")
	c.free("x", "y", "z")
}

// tokensInOrder has nothing to look at: what every grant must look like,
// keep sees to.
func tokensInOrder(c *scene) {
	c.lock("a", "z", "x", "y")
	c.lock("b", "k9", "k10", "k1")
	holder := c.waits("c", "y", "k1", "x")
	ctx, cancel := c.soon()
	defer cancel()
	for uid, keys := range map[string][]string{"a": {"y", "z", "x"}, "b": {"k1", "k9", "k10"}} {
		req := holdfast.UnlockRequest{UID: c.name(uid)}
		for _, key := range keys {
			req.Tokens = append(req.Tokens, c.token(uid, key))
		}
		released, err := c.service().Unlock(ctx, req)
		c.must(err, "%s unlocks", uid)
		equal(c, "unlocked by "+uid, released, c.names(keys...))
	}
	holder.granted()
}
