package servicetest

// Rule 3, the exception. A waiter that itself waits, directly or through
// others, for something that this uid holds does not stand in its way; it
// could not go first anyway, and the line must never make a deadlock of its
// own.
var passing = []proof{
	{"who waits for this uid does not stand in its way", passesWhoWaitsForMe},
	{"nor who waits for one who waits for this uid", passesThroughHolder},
	{"nor who stands in line behind one who waits for this uid", passesThroughLine},
	{"nor through several others", passesThroughMany},
	{"who waits for somebody else stands in its way", othersStandInTheWay},
	{"who only stands behind this uid in line stands in its way", behindInLineIsNoHold},
	{"it holds for a request in line as well", passesInLine},
	{"it holds for readers and limits as well", passesShared},
	{"others do not pass", othersDoNotPass},
}

func passesWhoWaitsForMe(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x", "y")
	c.refused("c", "y").by("y b waiting")
	c.lock("a", "y")
	b.stillWaits()
	c.unlock("a", "x", "y")
	b.granted()
}

func passesThroughHolder(c *scene) {
	c.lock("a", "x")
	c.lock("m", "z")
	m := c.waits("m", "x")
	b := c.waits("b", "z", "y") // for m, who waits for a
	c.lock("a", "y")
	c.unlock("a", "x", "y")
	m.granted()
	c.unlock("m", "z")
	b.granted()
}

func passesThroughLine(c *scene) {
	c.lock("a", "x")
	m := c.waits("m", "x", "z")
	b := c.waits("b", "z", "y") // z is free, but m is ahead
	c.heldBy("z")
	c.lock("a", "y")
	c.unlock("a", "x", "y")
	m.granted()
	b.stillWaits()
	c.unlock("m", "z")
	b.granted()
}

func passesThroughMany(c *scene) {
	c.lock("a", "x")
	c.lock("m", "k1")
	m := c.waits("m", "x")
	n := c.waits("n", "k1", "k2") // for m's hold
	o := c.waits("o", "k2", "k3") // behind n in line
	p := c.waits("p", "k3", "y")  // behind o in line
	c.lock("a", "y")
	c.unlock("a", "x", "y")
	m.granted()
	c.unlock("m", "k1")
	n.granted()
	c.unlock("n", "k2")
	o.granted()
	c.unlock("o", "k3")
	p.granted()
}

func othersStandInTheWay(c *scene) {
	c.lock("a", "x")
	c.lock("d", "z")
	b := c.waits("b", "z", "y") // for d, who has nothing to do with a
	c.refused("a", "y").by("y b waiting")
	a := c.waits("a", "y")
	c.unlock("d", "z")
	b.granted()
	a.stillWaits()
	c.unlock("b", "y", "z")
	a.granted()
}

func behindInLineIsNoHold(c *scene) {
	c.lock("z", "p")
	c.lock("a", "h")
	w := c.waits("w", "h")      // waits for what a holds,
	a := c.waits("a", "p", "q") // which is not what
	b := c.waits("b", "q", "y") // b waits for: b is only behind a in line
	c.refused("a", "y").by("y b waiting")
	c.unlock("z", "p")
	a.granted()
	// Now b waits for what a holds.
	c.lock("a", "y")
	c.unlock("a", "y", "q")
	b.granted()
	w.stillWaits()
}

func passesInLine(c *scene) {
	c.lock("a", "x")
	c.lock("d", "y")
	b := c.waits("b", "x", "y")
	a := c.waits("a", "y")
	c.line("y", "b", "a")
	c.unlock("d", "y")
	a.granted()
	b.stillWaits()
	c.heldBy("y", "a")
	c.unlock("a", "x", "y")
	b.granted()
}

func passesShared(c *scene) {
	c.lock("a", "x shared")
	b := c.waits("b", "x", "y shared 1")
	c.refused("c", "y shared").by("y b shared waiting")
	c.lock("a", "y shared")
	c.unlock("a", "x")
	b.stillWaits()
	c.unlock("a", "y")
	b.granted()
}

func othersDoNotPass(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x", "y")
	d := c.waits("d", "y")
	a := c.lock("a", "y")
	c.line("y", "b", "d")
	equal(c, "unlocked by a", c.giveBack("a", a.Tokens...), []string{"y"})
	b.stillWaits()
	d.stillWaits()
	c.heldBy("y")
	c.unlock("a", "x")
	b.granted()
	d.stillWaits()
	c.unlock("b", "y")
	d.granted()
}
