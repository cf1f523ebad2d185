package servicetest

import "holdfast"

// Force releases all holds on a key; whoever stands in line moves up.
var forcing = []proof{
	{"it releases all holds on the key, in the order of uid", forceAll},
	{"whoever stands in line moves up", forceMovesUp},
	{"the owner's other holds stay", forceKeepsOthers},
	{"a forced hold is lost to its owner", forcedIsLost},
	{"a key that nobody holds releases nothing", forceNobody},
	{"who only waits stays in line", forceKeepsLine},
	{"an upgrade whose shared hold was forced waits on", forceUpgrading},
}

func forceAll(c *scene) {
	for _, uid := range []string{"d", "b", "a"} {
		c.lock(uid, "x shared")
	}
	equal(c, "released by force", c.force("x"), []string{"a", "b", "d"})
	c.free("x")
	c.lock("a", "y")
	equal(c, "released by force", c.force("y"), []string{"a"})
	c.free("y")
}

func forceMovesUp(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x")
	d := c.waits("d", "x")
	equal(c, "released by force", c.force("x"), []string{"a"})
	b.granted()
	d.stillWaits()
	c.heldBy("x", "b")
	c.line("x", "d")
	equal(c, "released by force", c.force("x"), []string{"b"})
	d.granted()
	c.heldBy("x", "d")
}

func forceKeepsOthers(c *scene) {
	c.lock("a", "x", "y")
	c.lock("b", "z")
	c.force("x")
	c.heldBy("y", "a")
	c.heldBy("z", "b")
	c.unlock("a", "y")
}

func forcedIsLost(c *scene) {
	c.lock("a", "x")
	c.force("x")
	equal(c, "unlocked", c.giveBack("a", c.token("a", "x")), nil)
	equal(c, "lost", c.extend("a", c.token("a", "x")).Lost, c.newest("a", "x"))
	c.lock("b", "x")
	equal(c, "unlocked", c.giveBack("a", c.token("a", "x")), nil)
	c.heldBy("x", "b")
	if c.version("b", "x") <= c.version("a", "x") {
		c.t.Fatalf("after a's hold %d was forced, b was granted %d", c.version("a", "x"), c.version("b", "x"))
	}
}

func forceNobody(c *scene) {
	equal(c, "released by force", c.force("x"), nil)
	c.lock("a", "x")
	c.unlock("a", "x")
	equal(c, "released by force", c.force("x"), nil)
	c.free("x")
}

func forceKeepsLine(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x", "y")
	equal(c, "released by force", c.force("y"), nil)
	b.stillWaits()
	c.line("y", "b")
	c.unlock("a", "x")
	b.granted()
}

// forceUpgrading ends the shared hold that an upgrade stands on: what is left
// is a request for the key like any other.
func forceUpgrading(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	c.lock("d", "y")
	a := c.waits("a", "x", "y")
	equal(c, "released by force", c.force("x"), []string{"a", "b"})
	a.stillWaits()
	c.heldBy("x")
	c.refused("e", "x").by("x a waiting")
	ctx, cancel := c.soon()
	defer cancel()
	// The reason may be left out.
	released, err := c.service().Force(ctx, holdfast.ForceRequest{Key: c.name("y")})
	c.must(err, "force y")
	if len(released) != 1 {
		c.t.Fatalf("force released %v", released)
	}
	a.granted()
	c.heldBy("x", "a")
	c.heldBy("y", "a")
}
