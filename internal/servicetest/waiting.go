package servicetest

import (
	"time"

	"holdfast"
)

// Waiting: for how long a request stands in line, and what it is told at the
// end (DESIGN section 3, "A request's way"; CodeLocked).
var waiting = []proof{
	{"without a wait the answer comes at once", noWait},
	{"a wait lasts as long as was asked, then says who was in the way", inVain},
	{"who waited in vain has left the line", inVainLeaves},
	{"those behind who waited in vain are let in", inVainLetsIn},
	{"whoever is granted in time does not hear of the end of the wait", grantedInTime},
	{"each waits for its own time", ownWaits},
	{"the refusal names holders and those ahead, in the order asked", blockersInOrder},
	{"the refusal carries the notes", blockerNotes},
	{"a refused request leaves no trace", refusedNoTrace},
	{"a request that waits shows in the line as it was asked", shownInLine},
	{"a wait may be granted at once", waitForNothing},
}

func noWait(c *scene) {
	c.lock("a", "x")
	sent := time.Now()
	c.refused("b", "x").by("x a")
	if took := time.Since(sent); took > lateness {
		c.t.Fatalf("a request without a wait was answered after %v", took)
	}
	c.line("x")
}

func inVain(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x")
	c.wait(shortly).start("d", "x").inVain().by("x a", "x b waiting")
	b.stillWaits()
	c.wait(time.Millisecond).start("d", "x shared").inVain().by("x a", "x b waiting")
	c.wait(shortly+time.Nanosecond).start("d", "x").inVain().by("x a", "x b waiting")
}

func inVainLeaves(c *scene) {
	c.lock("a", "x")
	c.wait(shortly).start("b", "x", "y").inVain()
	c.line("x")
	c.free("y")
	c.unlock("a", "x")
	c.free("x")
}

func inVainLetsIn(c *scene) {
	c.lock("a", "x shared")
	b := c.wait(10*shortly).start("b", "x", "y")
	// If b's wait is over before d is seen in line, d is let in all the same.
	d := c.start("d", "x shared")
	e := c.start("e", "y")
	b.inVain()
	d.granted()
	e.granted()
	c.heldBy("x", "a shared", "d shared")
	c.heldBy("y", "e")
}

func grantedInTime(c *scene) {
	c.lock("a", "x")
	b := c.wait(10*shortly).start("b", "x")
	c.eventually("b waits or was in vain", func() bool { return b.over() || len(c.waiters("x")) > 0 })
	c.unlock("a", "x")
	if _, err := b.answer(); err != nil {
		// Only on a machine so busy that the wait was over.
		b.inVain()
		return
	}
	<-time.After(10 * shortly)
	c.heldBy("x", "b")
	c.unlock("b", "x")
}

func ownWaits(c *scene) {
	c.lock("a", "x")
	long := c.waits("long", "x")
	short := c.wait(shortly).start("short", "x")
	shorter := c.wait(shortly/2).start("shorter", "x")
	last := c.waits("last", "x")
	shorter.inVain()
	short.inVain()
	long.stillWaits()
	c.line("x", "long", "last")
	c.unlock("a", "x")
	long.granted()
	last.stillWaits()
}

func blockersInOrder(c *scene) {
	c.lock("b", "x shared")
	c.lock("a", "x shared 5")
	c.lock("z", "y")
	c.lock("d", "p")
	w := c.waits("w", "x", "y")
	v := c.waits("v", "y shared")
	c.refused("r", "y", "q", "x", "p shared").by(
		"y z", "y w waiting", "y v shared waiting",
		"x a shared", "x b shared", "x w waiting",
		"p d")
	c.wait(shortly).start("r", "x", "y", "q").inVain().by(
		"x a shared", "x b shared", "x w waiting",
		"y z", "y w waiting", "y v shared waiting")
	c.refused("r", "x shared", "y shared").by("x w waiting", "y z", "y w waiting")
	w.stillWaits()
	v.stillWaits()
}

func blockerNotes(c *scene) {
	c.note("nightly run").lock("a", "x")
	c.note("").lock("a", "y")
	c.note("me next: \"ü\"\n😀").waits("b", "x", "y")
	r := c.refused("d", "x", "y")
	r.by("x a", "x b waiting", "y a", "y b waiting")
	var notes []string
	for _, b := range r.Blockers {
		notes = append(notes, b.Note)
	}
	equal(c, "notes", notes, []string{"nightly run", "me next: \"ü\"\n😀", "", "me next: \"ü\"\n😀"})
}

func refusedNoTrace(c *scene) {
	c.lock("a", "x")
	for range 3 {
		c.refused("b", "y", "x")
	}
	c.line("x")
	c.free("y")
	if locks := c.list(holdfast.ListRequest{UID: "b"}).Locks; len(locks) > 0 {
		c.t.Fatalf("b was refused and is in the list: %+v", locks)
	}
}

func shownInLine(c *scene) {
	c.lock("a", "x", "y")
	c.note("one").waits("b", "x", "y shared 4")
	c.note("two").waits("d", "x shared")
	c.line("x", "b", "d shared")
	c.line("y", "b shared 4")
	var notes []string
	for _, w := range c.get("x").Waiters {
		notes = append(notes, w.Note)
	}
	equal(c, "notes", notes, []string{"one", "two"})
}

func waitForNothing(c *scene) {
	c.wait(time.Minute).lock("a", "x", "y shared")
	c.wait(holdfast.MaxWait).lock("a", "z")
	c.heldBy("x", "a")
}
