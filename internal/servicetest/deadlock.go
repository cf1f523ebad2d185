package servicetest

import "fmt"

// Rule 8. If the request would close a circle of owners, each waiting for
// what the next one holds, it fails at once with deadlock and the circle. An
// owner that holds nothing and waits for nothing else cannot close one.
var deadlock = []proof{
	{"two owners who wait for each other", circleOfTwo},
	{"three owners in a circle", func(c *scene) { circleOf(c, 3) }},
	{"five owners in a circle", func(c *scene) { circleOf(c, 5) }},
	{"twenty owners in a circle", func(c *scene) { circleOf(c, 20) }},
	{"a circle through one key among several", circleAmongMany},
	{"a circle through one of several readers", circleThroughReader},
	{"a circle through readers who wait", circleOfReaders},
	{"a full limit is a circle only if none of its holders can go on", circleThroughLimit},
	{"who asks without waiting is refused instead", noWaitNoDeadlock},
	{"who holds nothing closes no circle", newcomerNoDeadlock},
	{"a chain is no circle", chainNoDeadlock},
	{"who has left the line is no part of a circle", leaverNoDeadlock},
	{"it changes nothing", deadlockChangesNothing},
	{"it is over when one of them gives back", deadlockResolved},
}

func circleOfTwo(c *scene) {
	c.lock("a", "x")
	c.lock("b", "y")
	a := c.waits("a", "y")
	c.deadlock("b", "x").circle("b x", "a y")
	a.stillWaits()
	c.unlock("b", "y")
	a.granted()
}

// circleOf makes n owners, each of whom waits for what the next one holds.
func circleOf(c *scene, n int) {
	var calls []*call
	var circle []string
	for i := range n {
		c.lock(fmt.Sprint("a", i), fmt.Sprint("k", i))
	}
	for i := range n {
		key := fmt.Sprint("k", (i+1)%n)
		circle = append(circle, fmt.Sprintf("a%d %s", i, key))
		if i < n-1 {
			calls = append(calls, c.waits(fmt.Sprint("a", i), key))
		}
	}
	// The last one closes it, and the circle begins with who asked.
	last := fmt.Sprint("a", n-1)
	c.deadlock(last, "k0").circle(append(circle[n-1:], circle[:n-1]...)...)
	c.unlock(last, fmt.Sprint("k", n-1))
	for i := n - 2; i >= 0; i-- {
		calls[i].granted()
		c.unlock(fmt.Sprint("a", i), fmt.Sprint("k", i+1), fmt.Sprint("k", i))
	}
}

func circleAmongMany(c *scene) {
	c.lock("a", "p", "x")
	c.lock("b", "y")
	c.lock("d", "q")
	a := c.waits("a", "r", "y")
	// d stands in the way too, but can go on.
	c.deadlock("b", "q", "x", "s").circle("b x", "a y")
	c.free("s")
	c.line("q")
	c.line("x")
	c.unlock("b", "y")
	a.granted()
	c.unlock("d", "q")
	c.lock("b", "q", "s")
}

func circleThroughReader(c *scene) {
	c.lock("r1", "x shared")
	c.lock("r2", "x shared")
	c.lock("w", "y")
	r2 := c.waits("r2", "y")
	// r1 can go on, but that does not help: r2 never will.
	c.deadlock("w", "x").circle("w x", "r2 y")
	c.unlock("w", "y")
	r2.granted()
}

func circleOfReaders(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "y shared")
	a := c.waits("a", "y")
	c.deadlock("b", "x").circle("b x", "a y")
	c.lock("b", "x shared") // this one is compatible
	c.unlock("b", "y", "x")
	a.granted()
}

func circleThroughLimit(c *scene) {
	c.lock("p1", "s shared 2")
	c.lock("p2", "s shared 2")
	c.lock("a", "y", "z")
	p1 := c.waits("p1", "y")
	a := c.waits("a", "s shared 2") // p2 can make room
	c.unlock("p2", "s")
	a.granted()
	c.unlock("a", "s")

	c.lock("p2", "s shared 2")
	p2 := c.waits("p2", "z")
	r := c.deadlock("a", "s shared 2") // neither can
	if len(r.Cycle) != 2 || r.Cycle[0].UID != c.name("a") || r.Cycle[0].Key != c.name("s") {
		c.t.Fatalf("the circle is %v", r.Cycle)
	}
	c.unlock("a", "y", "z")
	p1.granted()
	p2.granted()
}

func noWaitNoDeadlock(c *scene) {
	c.lock("a", "x")
	c.lock("b", "y")
	a := c.waits("a", "y")
	c.refused("b", "x").by("x a")
	a.stillWaits()
}

func newcomerNoDeadlock(c *scene) {
	c.lock("a", "x")
	c.lock("b", "y")
	a := c.waits("a", "y")
	n := c.waits("n", "x", "y")
	m := c.waits("m", "y", "x")
	c.unlock("b", "y")
	a.granted()
	c.unlock("a", "x", "y")
	n.granted()
	c.unlock("n", "x", "y")
	m.granted()
}

func chainNoDeadlock(c *scene) {
	c.lock("a", "k0")
	c.lock("b", "k1")
	c.lock("d", "k2")
	b := c.waits("b", "k0")
	d := c.waits("d", "k1")
	e := c.waits("e", "k2", "k0")
	c.unlock("a", "k0")
	b.granted()
	c.unlock("b", "k0", "k1")
	d.granted()
	c.unlock("d", "k1", "k2")
	e.granted()
}

func leaverNoDeadlock(c *scene) {
	c.lock("a", "x")
	c.lock("b", "y")
	c.waits("a", "y").leaves()
	c.eventually("a has left the line", func() bool { return len(c.waiters("y")) == 0 })
	b := c.waits("b", "x")
	c.unlock("a", "x")
	b.granted()
}

func deadlockChangesNothing(c *scene) {
	c.note("mine").lock("a", "x")
	c.note("mine").lock("b", "y", "p shared")
	a := c.waits("a", "y")
	n := c.waits("n", "x")
	c.note("new").deadlock("b", "z", "p", "x").circle("b x", "a y")
	a.stillWaits()
	n.stillWaits()
	c.free("z")
	c.heldBy("x", "a")
	c.heldBy("y", "b")
	c.heldBy("p", "b shared")
	c.line("x", "n")
	c.line("y", "a")
	c.line("p")
	if h := c.holder("p", "b"); h.Version != c.version("b", "p") || h.Note != "mine" {
		c.t.Fatalf("the deadlock changed b's hold to %+v", h)
	}
}

func deadlockResolved(c *scene) {
	c.lock("a", "x")
	c.lock("b", "y")
	a := c.waits("a", "y")
	c.deadlock("b", "x").circle("b x", "a y")
	// As soon as b does not hold what a waits for, b may wait for a.
	c.unlock("b", "y")
	a.granted()
	b := c.waits("b", "x")
	c.unlock("a", "x")
	b.granted()
}
