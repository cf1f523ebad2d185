package servicetest

import (
	"time"

	"holdfast"
)

// Rule 6. Only the same uid with the same key and version releases; anything
// else is ignored and absent from the answer.
var exactUnlock = []proof{
	{"the same uid, key and version release", unlockReleases},
	{"anything else releases nothing", unlockElseNothing},
	{"what is exact among the tokens is released, in their order", unlockExactAmong},
	{"a token given twice is released once", unlockTwice},
	{"a token of an earlier hold releases nothing", unlockEarlier},
	{"a shared holder releases only its own hold", unlockShared},
	{"some of the keys of a grant may be released alone", unlockInPart},
	{"who only waits releases nothing", unlockByWaiter},
}

func unlockReleases(c *scene) {
	c.lock("a", "x")
	c.unlock("a", "x")
	c.free("x")
	c.lock("b", "x")
}

func unlockElseNothing(c *scene) {
	c.lock("a", "x")
	c.lock("a", "y")
	c.lock("b", "z")
	x := c.token("a", "x")
	for _, wrong := range []struct {
		what, uid string
		token     holdfast.Token
	}{
		{"another uid", "b", x},
		{"a uid that holds nothing", "c", x},
		{"version 0", "a", holdfast.Token{Key: x.Key}},
		{"the next version", "a", holdfast.Token{Key: x.Key, Version: x.Version + 1}},
		{"the version before", "a", holdfast.Token{Key: x.Key, Version: x.Version - 1}},
		{"the largest version", "a", holdfast.Token{Key: x.Key, Version: holdfast.VersionEnd - 1}},
		{"the version of another key", "a", holdfast.Token{Key: x.Key, Version: c.version("a", "y")}},
		{"the version of another owner", "a", holdfast.Token{Key: x.Key, Version: c.version("b", "z")}},
		{"the key of another owner", "a", c.token("b", "z")},
		{"a key that nobody holds", "a", holdfast.Token{Key: c.name("nobody's"), Version: x.Version}},
		{"a key that begins the same", "a", holdfast.Token{Key: x.Key + "x", Version: x.Version}},
	} {
		equal(c, "unlocked with "+wrong.what, c.giveBack(wrong.uid, wrong.token), nil)
	}
	c.heldBy("x", "a")
	c.heldBy("y", "a")
	c.heldBy("z", "b")
	c.unlock("a", "x")
}

func unlockExactAmong(c *scene) {
	c.lock("a", "x", "y", "z")
	c.lock("b", "p")
	stale := c.token("a", "y")
	stale.Version--
	got := c.giveBack("a", c.token("a", "z"), stale, c.token("b", "p"), c.token("a", "x"))
	equal(c, "unlocked", got, []string{"z", "x"})
	c.free("x", "z")
	c.heldBy("y", "a")
	c.heldBy("p", "b")
}

func unlockTwice(c *scene) {
	c.lock("a", "x", "y")
	x := c.token("a", "x")
	equal(c, "unlocked", c.giveBack("a", x, c.token("a", "y"), x), []string{"x", "y"})
	equal(c, "unlocked again", c.giveBack("a", x), nil)
}

func unlockEarlier(c *scene) {
	c.lock("a", "x")
	unlocked := c.token("a", "x")
	c.unlock("a", "x")
	c.lock("a", "x")
	forced := c.token("a", "x")
	equal(c, "released by force", c.force("x"), []string{"a"})
	sent := time.Now()
	c.exp(shortly).lock("a", "x")
	expired := c.token("a", "x")
	c.eventually("the hold ends", func() bool { return len(c.holders("x")) == 0 })
	c.notBefore(sent, shortly, time.Now())
	equal(c, "unlocked with nothing held", c.giveBack("a", unlocked, forced, expired), nil)
	c.lock("a", "x")
	equal(c, "unlocked with earlier tokens", c.giveBack("a", unlocked, forced, expired), nil)
	c.heldBy("x", "a")
}

func unlockShared(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	equal(c, "unlocked with another's token", c.giveBack("a", c.token("b", "x")), nil)
	c.unlock("a", "x")
	c.heldBy("x", "b shared")
}

func unlockInPart(c *scene) {
	c.lock("a", "x", "y", "z")
	c.unlock("a", "y")
	c.heldBy("x", "a")
	c.free("y")
	c.heldBy("z", "a")
	c.lock("b", "y")
	c.unlock("a", "z", "x")
}

func unlockByWaiter(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x")
	equal(c, "unlocked by a waiter", c.giveBack("b", c.token("a", "x"), holdfast.Token{Key: c.name("x")}), nil)
	c.heldBy("x", "a")
	c.line("x", "b")
	b.stillWaits()
}
