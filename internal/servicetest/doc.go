/*
Package servicetest is the conformance suite: one list of cases that every
implementation of [holdfast.Service] passes, whatever keeps its state.

An implementation joins with one test:

	func TestConformance(t *testing.T) {
		servicetest.Run(t, func(t *testing.T) servicetest.Target {
			store := memory.New()
			t.Cleanup(func() { store.Close() })
			return servicetest.Over(store)
		})
	}

Several services that share one state, such as the nodes of a cluster or the
servers in front of one Redis, are one target: the requests of each case go to
them in turn, so that what one of them grants another one must know.

# How it is arranged

There is a file for each rule, or for each call beside the rules, named after
it. At its top stands the list of what it proves, a sentence for each case.
The cases are written in a small language, which scene.go, call.go, refusal.go
and watcher.go define: a case is a scene with owners "a", "b", … and keys "x",
"y", …, and an ask is written "x", "x shared" or "x shared 3".

	c.lock("a", "x")                        // granted at once
	c.refused("b", "x").by("x a")           // not granted without waiting; a is named
	b := c.waits("b", "x")                  // stands in line, as Get shows
	c.unlock("a", "x")
	b.granted()

# What makes it fit for any implementation

Opening a cluster is slow, so all cases share one target and run side by side.
They cannot disturb each other: the names in a scene become keys and uids with
a prefix of its own.

No case depends on how fast the target is. What must come is waited for, with
a bound that only a fault reaches; that a request stands in line is seen with
Get before the case goes on. A hold counts as ended too early by the clock of
the case alone, from before its request was sent to after the answer that
shows its end: the service's own time lies between the two.

When a case is over, its scene ends the requests that are still under way,
gives back every hold, and sees that nothing is left under its prefix. When the
suite is over and the target closed, no goroutine may be left.

Rule 10 is about disks and crashes, and so is left to the stores.
*/
package servicetest
