package servicetest

import (
	"fmt"
	"slices"
	"time"

	"holdfast"
)

// Rule 4. Asking again for what you hold in a mode that covers the request
// extends it and returns the same version; no waiter stands in the way of
// that. A request that is partly held keeps the version of the held part and
// gets a new version for the rest. A lost answer is therefore harmless: send
// the same request again. (For the upgrade, see upgrade.go.)
var sameHold = []proof{
	{"asking again returns the same version", againSameVersion},
	{"asking again extends the hold", againExtends},
	{"asking again never shortens the hold", againNeverShortens},
	{"exclusive covers shared", exclusiveCoversShared},
	{"shared covers shared with any limit", sharedCoversLimit},
	{"no waiter stands in the way of asking again", againPastWaiters},
	{"asking again keeps the note unless there is a new one", againNote},
	{"a request that is partly held keeps the held part's version", partlyHeld},
	{"a refused request leaves the held part as it was", partlyHeldRefused},
	{"a request in line keeps the held part meanwhile", partlyHeldWaits},
	{"a waiter for the held part does not stop a partly held request", partlyHeldPastWaiters},
	{"after a lost answer the same request gets the same answer", lostAnswer},
	{"the same request twice at once gets the same answer", twiceAtOnce},
	{"the same request many times at once makes one hold", manyAtOnce},
	{"one uid may wait for several things", severalWaits},
}

func againSameVersion(c *scene) {
	for _, asks := range [][]string{{"x"}, {"y shared"}, {"z shared 1"}, {"p", "q shared"}} {
		first := c.lock("a", asks...)
		for range 3 {
			again := c.lock("a", asks...)
			equal(c, "tokens of "+asks[0], again.Tokens, first.Tokens)
		}
		reversed := slices.Clone(asks)
		slices.Reverse(reversed)
		again := c.lock("a", reversed...)
		slices.Reverse(again.Tokens)
		equal(c, "tokens of the reversed request", again.Tokens, first.Tokens)
	}
}

func againExtends(c *scene) {
	c.lock("a", "x")
	if grant := c.exp(time.Hour).lock("a", "x"); grant.Exp <= time.Minute || grant.Exp > time.Hour {
		c.t.Fatalf("asked again with an exp of an hour, %v is left", grant.Exp)
	}
	if left := c.holder("x", "a").Exp; left <= time.Minute || left > time.Hour {
		c.t.Fatalf("asked again with an exp of an hour, the holder has %v left", left)
	}
}

func againNeverShortens(c *scene) {
	c.exp(time.Hour).lock("a", "x")
	if grant := c.exp(time.Second).lock("a", "x"); grant.Exp <= time.Minute || grant.Exp > time.Hour {
		c.t.Fatalf("asked again with a short exp, %v of an hour is left", grant.Exp)
	}
	if left := c.holder("x", "a").Exp; left <= time.Minute || left > time.Hour {
		c.t.Fatalf("asked again with a short exp, the holder has %v of an hour left", left)
	}
}

func exclusiveCoversShared(c *scene) {
	first := c.lock("a", "x")
	equal(c, "tokens", c.lock("a", "x shared").Tokens, first.Tokens)
	equal(c, "tokens", c.lock("a", "x shared 1").Tokens, first.Tokens)
	c.heldBy("x", "a")
	c.refused("b", "x shared").by("x a")
}

func sharedCoversLimit(c *scene) {
	first := c.lock("a", "x shared 5")
	c.lock("b", "x shared")
	for _, ask := range []string{"x shared", "x shared 1", "x shared 9"} {
		equal(c, "tokens of "+ask, c.lock("a", ask).Tokens, first.Tokens)
	}
	c.heldBy("x", "a shared 5", "b shared")
}

func againPastWaiters(c *scene) {
	x := c.lock("a", "x")
	y := c.lock("a", "y shared")
	b := c.waits("b", "x", "y")
	equal(c, "tokens of x", c.lock("a", "x").Tokens, x.Tokens)
	equal(c, "tokens of x", c.lock("a", "x shared").Tokens, x.Tokens)
	equal(c, "tokens of y", c.lock("a", "y shared").Tokens, y.Tokens)
	b.stillWaits()
	c.unlock("a", "x", "y")
	b.granted()

	// Not even waiters who do not wait for a: here for d, and in line.
	z := c.lock("a", "z shared")
	c.lock("d", "p")
	u := c.waits("u", "z shared", "p")
	v := c.waits("v", "z shared 2", "p")
	equal(c, "tokens of z", c.lock("a", "z shared").Tokens, z.Tokens)
	c.unlock("d", "p")
	u.granted()
	v.stillWaits()
}

func againNote(c *scene) {
	c.note("one").lock("a", "x")
	c.lock("a", "x")
	equal(c, "note", []string{c.holder("x", "a").Note}, []string{"one"})
	c.note("two").lock("a", "x")
	equal(c, "note", []string{c.holder("x", "a").Note}, []string{"two"})
}

func partlyHeld(c *scene) {
	c.lock("a", "x", "y")
	old := c.version("a", "x")
	c.lock("a", "x", "z", "y", "p")
	if c.version("a", "x") != old || c.version("a", "y") != old {
		c.t.Fatalf("the held part had version %d and now has %d and %d", old, c.version("a", "x"), c.version("a", "y"))
	}
	if rest := c.version("a", "z"); rest <= old || rest != c.version("a", "p") {
		c.t.Fatalf("the rest got versions %d and %d after %d", rest, c.version("a", "p"), old)
	}
	c.unlock("a", "x", "z", "y", "p")
	c.free("x", "y", "z", "p")
}

func partlyHeldRefused(c *scene) {
	c.note("mine").lock("a", "x")
	c.lock("b", "z")
	c.exp(time.Hour).note("new").refused("a", "x", "y", "z").by("z b")
	h := c.holder("x", "a")
	if h.Version != c.version("a", "x") || h.Exp > time.Minute || h.Note != "mine" {
		c.t.Fatalf("a refused request changed the held part to %+v", h)
	}
	c.free("y")
}

func partlyHeldWaits(c *scene) {
	c.lock("a", "x")
	old := c.version("a", "x")
	c.lock("b", "z")
	a := c.waits("a", "x", "z")
	c.heldBy("x", "a")
	c.refused("c", "x").by("x a")
	c.unlock("b", "z")
	a.granted()
	if c.version("a", "x") != old || c.version("a", "z") <= old {
		c.t.Fatalf("x was held with %d; granted %d for x and %d for z", old, c.version("a", "x"), c.version("a", "z"))
	}
}

func partlyHeldPastWaiters(c *scene) {
	c.lock("a", "x")
	old := c.version("a", "x")
	b := c.waits("b", "x")
	c.lock("a", "x", "z")
	if c.version("a", "x") != old {
		c.t.Fatalf("x was held with %d and now with %d", old, c.version("a", "x"))
	}
	b.stillWaits()
	c.unlock("a", "x")
	b.granted()
	c.heldBy("z", "a")
}

func lostAnswer(c *scene) {
	// The first answer is lost: only the service knows of it.
	ctx, cancel := c.soon()
	defer cancel()
	lost, err := c.service().Lock(ctx, c.asking("a", []string{"x", "y shared"}))
	c.must(err, "a asks")
	c.waits("b", "x", "y shared 1")
	again := c.lock("a", "x", "y shared")
	equal(c, "tokens after a lost answer", again.Tokens, lost.Tokens)

	// So are the answers to unlock and extend.
	c.unlock("a", "x")
	equal(c, "unlocked again", c.giveBack("a", c.token("a", "x")), nil)
	for range 2 {
		equal(c, "extended", c.extend("a", c.token("a", "y")).Tokens, []holdfast.Token{c.token("a", "y")})
	}
}

func twiceAtOnce(c *scene) {
	c.lock("a", "x")
	b1 := c.waits("b", "x", "y")
	b2 := c.start("b", "x", "y")
	d := c.waits("d", "x")
	c.line("y", "b")
	c.unlock("a", "x")
	first := b1.granted()
	equal(c, "tokens of the same request", b2.granted().Tokens, first.Tokens)
	d.stillWaits()
	c.heldBy("x", "b")
	c.unlock("b", "x", "y")
	d.granted()
	c.free("y")
}

func manyAtOnce(c *scene) {
	const n = 16
	grants := make([]holdfast.Grant, n)
	c.together(n, func(i int) (err error) {
		grants[i], err = c.wait(patience).tryLock("a", "x", "y shared")
		return err
	})
	for i := range grants {
		equal(c, "tokens", grants[i].Tokens, grants[0].Tokens)
	}
	c.unlock("a", "x", "y")
	c.free("x", "y")
}

func severalWaits(c *scene) {
	var calls []*call
	for i := range 4 {
		key := fmt.Sprint("k", i)
		c.lock("a", key)
		calls = append(calls, c.waits("b", key))
	}
	for _, i := range []int{2, 0, 3, 1} {
		key := fmt.Sprint("k", i)
		c.unlock("a", key)
		calls[i].granted()
		c.heldBy(key, "b")
	}
}
