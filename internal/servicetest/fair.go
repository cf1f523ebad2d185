package servicetest

import "fmt"

// Rule 3. A request is granted if and only if it would still be compatible
// were every earlier waiter on its keys already a holder. So arrival order
// rules, nobody starves, nobody barges (a request with no wait included), and
// requests that do not conflict pass each other. There is no herd: a release
// wakes exactly those whom it lets in.
var fair = []proof{
	{"arrival order rules", arrivalOrder},
	{"nobody barges, a request with no wait included", noBarging},
	{"a waiter keeps even a free key from who comes later", waiterKeepsFreeKeys},
	{"readers do not starve a writer", writerNotStarved},
	{"small requests do not starve a large one", largeNotStarved},
	{"who comes back stands at the end", backAtTheEnd},
	{"requests that do not conflict pass each other", noConflictPasses},
	{"a release wakes exactly those whom it lets in", noHerd},
	{"a release of a place lets in one", onePlaceLetsInOne},
	{"a later comer does not fill the limit of an earlier waiter", laterDoesNotFill},
	{"a waiter ahead counts against the limit of a later comer", waiterCountsAsHolder},
	{"a waiter that holds the key already is not counted twice", coveredWaiterCountsOnce},
	{"a request with several keys stands in all their lines", manyLines},
}

func arrivalOrder(c *scene) {
	const n = 16
	c.lock("first", "x")
	var calls []*call
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint("w", i))
		calls = append(calls, c.waits(want[i], "x"))
	}
	c.line("x", want...)
	c.unlock("first", "x")
	last := c.version("first", "x")
	for i, w := range calls {
		w.granted()
		c.heldBy("x", want[i])
		c.line("x", want[i+1:]...)
		for _, later := range calls[i+1:] {
			later.stillWaits()
		}
		if version := c.version(want[i], "x"); version <= last {
			c.t.Fatalf("%s was granted version %d after version %d", want[i], version, last)
		} else {
			last = version
		}
		c.unlock(want[i], "x")
	}
}

func noBarging(c *scene) {
	c.lock("a", "x shared")
	b := c.waits("b", "x")
	// Compatible with the holder, but not with b.
	c.refused("c", "x shared").by("x b waiting")
	c.refused("c", "x").by("x a shared", "x b waiting")
	d := c.waits("d", "x shared")
	c.refused("c", "x shared").by("x b waiting")
	c.unlock("a", "x")
	b.granted()
	d.stillWaits()
	c.heldBy("x", "b")
	c.refused("c", "x shared").by("x b")
	c.unlock("b", "x")
	d.granted()
	c.lock("c", "x shared")
}

func waiterKeepsFreeKeys(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x", "y")
	c.heldBy("y")
	c.refused("c", "y").by("y b waiting")
	c.refused("c", "y shared").by("y b waiting")
	d := c.waits("d", "y")
	c.unlock("a", "x")
	b.granted()
	d.stillWaits()
	c.unlock("b", "y")
	d.granted()
	c.heldBy("x", "b")
}

func writerNotStarved(c *scene) {
	c.lock("r1", "x shared")
	c.lock("r2", "x shared")
	w := c.waits("w", "x")
	r3 := c.waits("r3", "x shared")
	c.unlock("r1", "x")
	r4 := c.waits("r4", "x shared")
	w.stillWaits()
	c.heldBy("x", "r2 shared")
	c.unlock("r2", "x")
	w.granted()
	r3.stillWaits()
	r4.stillWaits()
	c.heldBy("x", "w")
	c.unlock("w", "x")
	r3.granted()
	r4.granted()
}

func largeNotStarved(c *scene) {
	keys := []string{"k0", "k1", "k2", "k3"}
	for _, key := range keys {
		c.lock("small "+key, key)
	}
	large := c.waits("large", keys...)
	var after []*call
	for _, key := range keys {
		after = append(after, c.waits("later "+key, key))
		c.unlock("small "+key, key)
		if key != keys[len(keys)-1] {
			c.heldBy(key) // free, but kept for the large one
		}
	}
	large.granted()
	for i, key := range keys {
		after[i].stillWaits()
		c.heldBy(key, "large")
	}
	c.unlock("large", keys...)
	for _, w := range after {
		w.granted()
	}
}

func backAtTheEnd(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x")
	d := c.waits("d", "x")
	c.unlock("a", "x")
	b.granted()
	a := c.waits("a", "x")
	c.line("x", "d", "a")
	c.unlock("b", "x")
	d.granted()
	a.stillWaits()
	c.unlock("d", "x")
	a.granted()
}

func noConflictPasses(c *scene) {
	c.lock("a", "x")
	c.lock("b", "y")
	w := c.waits("w", "x", "s shared")
	v := c.waits("v", "y")

	c.lock("c", "z")        // another key
	c.lock("d", "s shared") // the same key, in a mode that goes with w's
	c.unlock("b", "y")      // v came later than w, and goes first
	v.granted()
	w.stillWaits()
	c.heldBy("y", "v")
	c.unlock("a", "x")
	w.granted()
	c.heldBy("s", "d shared", "w shared")
}

func noHerd(c *scene) {
	c.lock("a", "x")
	r1 := c.waits("r1", "x shared")
	r2 := c.waits("r2", "x shared")
	r3 := c.waits("r3", "x shared")
	w := c.waits("w", "x")
	r4 := c.waits("r4", "x shared")
	c.unlock("a", "x")
	for _, r := range []*call{r1, r2, r3} {
		r.granted()
	}
	c.heldBy("x", "r1 shared", "r2 shared", "r3 shared")
	if c.version("r1", "x") >= c.version("r2", "x") || c.version("r2", "x") >= c.version("r3", "x") {
		c.t.Fatalf("those who were let in together got the versions %d, %d and %d, first come first",
			c.version("r1", "x"), c.version("r2", "x"), c.version("r3", "x"))
	}
	c.line("x", "w", "r4 shared")
	w.stillWaits()
	r4.stillWaits()

	c.unlock("r1", "x")
	c.unlock("r3", "x")
	c.line("x", "w", "r4 shared")
	c.unlock("r2", "x")
	w.granted()
	c.heldBy("x", "w")
	c.line("x", "r4 shared")
	c.unlock("w", "x")
	r4.granted()
}

func onePlaceLetsInOne(c *scene) {
	c.lock("a", "x shared 2")
	c.lock("b", "x shared 2")
	var calls []*call
	for i := range 4 {
		calls = append(calls, c.waits(fmt.Sprint("w", i), "x shared 2"))
	}
	c.unlock("a", "x")
	calls[0].granted()
	c.heldBy("x", "b shared 2", "w0 shared 2")
	c.line("x", "w1 shared 2", "w2 shared 2", "w3 shared 2")
	c.unlock("b", "x")
	calls[1].granted()
	c.line("x", "w2 shared 2", "w3 shared 2")
	c.unlock("w1", "x")
	calls[2].granted()
	calls[3].stillWaits()
	c.heldBy("x", "w0 shared 2", "w2 shared 2")
}

func laterDoesNotFill(c *scene) {
	c.lock("z", "y")
	c.lock("a", "x shared")
	w := c.waits("w", "x shared 2", "y")
	// With r beside a, w would have to wait for one of them.
	c.refused("r", "x shared").by("x w shared waiting")
	v := c.waits("v", "p shared 3", "y")
	c.lock("r", "p shared") // two places of three are left for v
	c.unlock("z", "y")
	w.granted()
	c.lock("r", "x shared") // a limit binds only on the way in
	v.stillWaits()
}

func waiterCountsAsHolder(c *scene) {
	c.lock("z", "y")
	c.lock("a", "x shared")
	w := c.waits("w", "x shared", "y")
	c.refused("r", "x shared 2").by("x w shared waiting")
	c.lock("r", "x shared 3")
	c.unlock("z", "y")
	w.granted()
	c.heldBy("x", "a shared", "r shared 3", "w shared")
}

func coveredWaiterCountsOnce(c *scene) {
	c.lock("z", "y")
	c.lock("w", "x shared")
	w := c.waits("w", "x shared", "y")
	c.lock("r", "x shared 2")
	c.refused("s", "x shared 2").by("x r shared", "x w shared")
	c.unlock("z", "y")
	w.granted()
	c.heldBy("x", "r shared 2", "w shared")
}

func manyLines(c *scene) {
	c.lock("a", "x")
	c.lock("b", "y")
	w := c.waits("w", "x", "y")
	c.line("x", "w")
	c.line("y", "w")
	c.unlock("a", "x")
	w.stillWaits()
	c.heldBy("x")
	c.line("x", "w")
	c.unlock("b", "y")
	w.granted()
	c.line("x")
	c.line("y")
}
