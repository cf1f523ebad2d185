package servicetest

import "fmt"

// Rule 2. Exclusive shares with nobody. Shared shares with shared; a request
// with limit n also needs fewer than n shared holders on that key at that
// moment.
var compatible = []proof{
	{"exclusive shares with nobody", exclusiveAlone},
	{"shared shares with shared", sharedTogether},
	{"a limit lets in so many and no more", limitReached},
	{"a limit counts every shared holder, whatever it asked", limitCountsAll},
	{"a limit binds who asks, not who comes after", limitBindsAsker},
	{"a limit does not count the asker's own hold", limitWithoutSelf},
	{"different keys have nothing to do with each other", keysAreFlat},
	{"different uids are different owners", uidsAreExact},
}

func exclusiveAlone(c *scene) {
	c.lock("a", "x")
	c.refused("b", "x").by("x a")
	c.refused("b", "x shared").by("x a")
	c.refused("b", "x shared 5").by("x a")

	c.lock("r1", "y shared")
	c.lock("r2", "y shared 3")
	c.refused("b", "y").by("y r1 shared", "y r2 shared")
	c.unlock("r1", "y")
	c.refused("b", "y").by("y r2 shared")
	c.unlock("r2", "y")
	c.lock("b", "y")
}

func sharedTogether(c *scene) {
	for i := range 10 {
		c.lock(fmt.Sprint("r", i), "x shared")
	}
	c.heldBy("x", "r0 shared", "r1 shared", "r2 shared", "r3 shared", "r4 shared",
		"r5 shared", "r6 shared", "r7 shared", "r8 shared", "r9 shared")
}

func limitReached(c *scene) {
	c.lock("a", "x shared 3")
	c.lock("b", "x shared 3")
	c.lock("c", "x shared 3")
	c.refused("d", "x shared 3").by("x a shared", "x b shared", "x c shared")
	c.unlock("b", "x")
	c.lock("d", "x shared 3")
	c.refused("b", "x shared 3").by("x a shared", "x c shared", "x d shared")
}

func limitCountsAll(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared 7")
	c.refused("c", "x shared 2").by("x a shared", "x b shared")
	c.refused("c", "x shared 1").by("x a shared", "x b shared")
	c.lock("c", "x shared 3")
}

func limitBindsAsker(c *scene) {
	c.lock("a", "x shared 1")
	c.refused("b", "x shared 1").by("x a shared")
	c.lock("b", "x shared")
	c.lock("c", "x shared 3")
	c.heldBy("x", "a shared 1", "b shared", "c shared 3")
}

func limitWithoutSelf(c *scene) {
	c.lock("a", "x shared 1")
	version := c.version("a", "x")
	c.lock("a", "x shared 1")
	if c.version("a", "x") != version {
		c.t.Fatalf("asking again for a full key gave version %d instead of %d", c.version("a", "x"), version)
	}
	c.heldBy("x", "a shared 1")
}

func keysAreFlat(c *scene) {
	for i, key := range []string{"x", "X", "x/", "x/y", "x//y", "/x", "x.", "xx", "x%2Fy", "x*"} {
		uid := fmt.Sprint("a", i)
		c.lock(uid, key)
		c.heldBy(key, uid)
	}
}

func uidsAreExact(c *scene) {
	c.lock("a", "x")
	for _, uid := range []string{"A", "a ", "aa", "a/", "á"} {
		c.refused(uid, "x").by("x a")
		equal(c, "unlocked by "+uid, c.giveBack(uid, c.token("a", "x")), nil)
	}
	c.heldBy("x", "a")
}
