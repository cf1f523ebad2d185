package servicetest

import (
	"time"

	"holdfast"
)

// Rule 4. Shared to exclusive is an upgrade: it waits until you are alone,
// keeping the shared hold.
var upgrade = []proof{
	{"alone, it is granted at once, with a new version", upgradeAlone},
	{"it keeps the longer life, and the note unless it brings another", upgradeKeeps},
	{"beside others it waits until it is alone, keeping the shared hold", upgradeWaits},
	{"refused, it keeps the shared hold", upgradeRefused},
	{"in vain, it keeps the shared hold", upgradeInVain},
	{"out of the line again, it keeps the shared hold", upgradeLeaves},
	{"later readers stand behind it", upgradeBeforeReaders},
	{"it passes an earlier writer, who waits for its shared hold", upgradePassesWriter},
	{"of two upgrades one fails with a deadlock, and the other goes through", twoUpgrades},
	{"it may be part of a larger request", upgradeInPart},
	{"it drops the limit", upgradeDropsLimit},
}

// upgraded sees that a holds x exclusively, with a version newer than old.
func (c *scene) upgraded(old uint64) {
	c.t.Helper()
	c.heldBy("x", "a")
	h := c.holder("x", "a")
	if h.Version != c.version("a", "x") || h.Version <= old {
		c.t.Fatalf("a held x with version %d, was granted %d and now holds %d", old, c.version("a", "x"), h.Version)
	}
}

// notUpgraded sees that a still holds x with the version of its shared hold.
func (c *scene) notUpgraded() {
	c.t.Helper()
	h := c.holder("x", "a")
	if c.inMode(h.UID, h.Mode, h.Limit) != "a shared" || h.Version != c.version("a", "x") {
		c.t.Fatalf("a should hold x shared with version %d, but holds %+v", c.version("a", "x"), h)
	}
}

func upgradeAlone(c *scene) {
	shared := c.lock("a", "x shared")
	c.lock("a", "x")
	c.upgraded(shared.Tokens[0].Version)
	c.refused("b", "x shared").by("x a")
	equal(c, "unlocked with the shared hold's version", c.giveBack("a", shared.Tokens...), nil)
	c.unlock("a", "x")
	c.free("x")
}

func upgradeKeeps(c *scene) {
	c.note("first").exp(time.Hour).lock("a", "x shared", "y shared")
	for _, upgrade := range []struct {
		how       *scene
		key, note string
	}{
		{c.exp(time.Minute), "x", "first"},
		{c.exp(time.Minute).note("second"), "y", "second"},
	} {
		upgrade.how.lock("a", upgrade.key)
		h := c.holder(upgrade.key, "a")
		if h.Mode != holdfast.Exclusive || h.Exp <= time.Minute || h.Note != upgrade.note {
			c.t.Errorf("%s was upgraded to %+v", upgrade.key, h)
		}
	}
}

func upgradeWaits(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	c.lock("d", "x shared")
	a := c.waits("a", "x")
	c.notUpgraded()
	c.heldBy("x", "a shared", "b shared", "d shared")
	c.unlock("b", "x")
	a.stillWaits()
	c.notUpgraded()
	old := c.version("a", "x")
	c.unlock("d", "x")
	a.granted()
	c.upgraded(old)
	c.line("x")
}

func upgradeRefused(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	c.refused("a", "x").by("x b shared")
	c.notUpgraded()
	c.unlock("a", "x")
}

func upgradeInVain(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	c.wait(shortly).start("a", "x").inVain().by("x b shared")
	c.notUpgraded()
	c.unlock("b", "x")
	c.notUpgraded()
}

func upgradeLeaves(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	c.waits("a", "x").leaves()
	c.eventually("a has left the line", func() bool { return len(c.waiters("x")) == 0 })
	c.unlock("b", "x")
	c.notUpgraded()
}

func upgradeBeforeReaders(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	a := c.waits("a", "x")
	c.refused("r", "x shared").by("x a waiting")
	r := c.waits("r", "x shared")
	c.unlock("b", "x")
	a.granted()
	r.stillWaits()
	c.unlock("a", "x")
	r.granted()
}

func upgradePassesWriter(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	w := c.waits("w", "x")
	a := c.waits("a", "x")
	old := c.version("a", "x")
	c.unlock("b", "x")
	a.granted()
	w.stillWaits()
	c.upgraded(old)
	c.unlock("a", "x")
	w.granted()
}

func twoUpgrades(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	a := c.waits("a", "x")
	c.deadlock("b", "x").circle("b x", "a x")
	a.stillWaits()
	c.heldBy("x", "a shared", "b shared")
	c.line("x", "a")
	old := c.version("a", "x")
	c.unlock("b", "x")
	a.granted()
	c.upgraded(old)
}

func upgradeInPart(c *scene) {
	c.lock("a", "x shared", "y shared", "z")
	c.lock("b", "y shared")
	x, y, z := c.version("a", "x"), c.version("a", "y"), c.version("a", "z")
	c.refused("a", "x", "y", "z", "p").by("y b shared")
	c.heldBy("x", "a shared")
	c.free("p")
	c.lock("a", "x", "y shared", "z", "q")
	c.upgraded(x)
	if c.version("a", "y") != y || c.version("a", "z") != z || c.version("a", "q") != c.version("a", "x") {
		c.t.Fatalf("x %d, y %d, z %d became x %d, y %d, z %d, with q %d", x, y, z,
			c.version("a", "x"), c.version("a", "y"), c.version("a", "z"), c.version("a", "q"))
	}
}

func upgradeDropsLimit(c *scene) {
	c.lock("a", "x shared 2")
	old := c.version("a", "x")
	c.lock("a", "x")
	c.upgraded(old)
}
