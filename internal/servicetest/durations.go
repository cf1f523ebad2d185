package servicetest

import (
	"context"
	"fmt"
	"time"

	"holdfast"
)

// shortly is a life that ends, or a wait that is over, soon.
const shortly = 60 * time.Millisecond

// Rule 7. A hold ends exp after it was granted or last extended. Never early.
// (How late at most, on an idle machine, the stores prove on their own; here
// the bound is wide.)
var durations = []proof{
	{"a hold ends exp after it was granted, never early", holdEnds},
	{"whoever waits is let in when a hold ends, never early", endLetsIn},
	{"a hold ends exp after it was last extended", endsAfterExtension},
	{"a hold ends exp after it was last asked for again", endsAfterAgain},
	{"a hold that was granted in line lives from its grant on", livesFromGrant},
	{"a hold that is kept alive does not end", keptAlive},
	{"an exp is never rounded down", expRoundsUp},
	{"without an exp a hold lives for a second", defaultExp},
	{"each hold ends by itself", eachEndsAlone},
	{"all holds of a request end, and many at once", manyEnd},
	{"a hold that has ended is lost to its owner", endedIsLost},
	{"an extension that was answered holds", extensionAtTheEnd},
	{"asking again at the end gives a hold that lives", againAtTheEnd},
	{"what is left falls, and the time held grows", timeShows},
	{"the answer tells what is left of the hold that ends first", leftOfFirst},
}

// freed waits until nobody holds the key, and gives the time from which on
// that was known.
func (c *scene) freed(key string) time.Time {
	c.t.Helper()
	c.eventually(key+" is free", func() bool { return len(c.holders(key)) == 0 })
	return time.Now()
}

func holdEnds(c *scene) {
	for _, exp := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond} {
		sent := time.Now()
		c.exp(exp).lock("a", "x", "y shared")
		c.notBefore(sent, exp, c.freed("x"))
		c.notBefore(sent, exp, c.freed("y"))
	}
}

func endLetsIn(c *scene) {
	for _, exp := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond} {
		sent := time.Now()
		c.exp(exp).lock("a", "x")
		b := c.start("b", "x")
		b.granted()
		c.notBefore(sent, exp, b.answered)
		c.unlock("b", "x")
	}
}

func endsAfterExtension(c *scene) {
	const exp = 100 * time.Millisecond
	first := time.Now()
	c.exp(exp).lock("a", "x")
	b := c.start("b", "x")
	second := time.Now()
	if extension := c.exp(exp).extend("a", c.token("a", "x")); len(extension.Lost) > 0 {
		second = first // too late, on a very busy machine
	}
	b.granted()
	c.notBefore(second, exp, b.answered)
}

func endsAfterAgain(c *scene) {
	const exp = 100 * time.Millisecond
	c.exp(exp).lock("a", "x shared")
	var sent time.Time
	for range 3 {
		sent = time.Now()
		c.exp(exp).lock("a", "x shared")
	}
	b := c.start("b", "x")
	b.granted()
	c.notBefore(sent, exp, b.answered)
}

func livesFromGrant(c *scene) {
	const exp = 100 * time.Millisecond
	c.lock("a", "x")
	b := c.exp(exp).waits("b", "x")
	// In line for longer than the hold will live.
	<-time.After(exp + exp/2)
	b.stillWaits()
	granted := time.Now()
	c.unlock("a", "x")
	b.granted()
	c.notBefore(granted, exp, c.freed("x"))
}

func keptAlive(c *scene) {
	const exp = 300 * time.Millisecond
	sent := time.Now()
	c.exp(exp).lock("a", "x")
	b := c.start("b", "x")
	for start := time.Now(); time.Since(start) < 3*exp; {
		<-time.After(exp / 10)
		next := time.Now()
		if extension := c.exp(exp).extend("a"); len(extension.Tokens) == 0 {
			// Too late: then it must have been too late.
			c.notBefore(sent, exp, time.Now())
			return
		}
		sent = next
	}
	b.stillWaits()
	c.unlock("a", "x")
	b.granted()
}

func expRoundsUp(c *scene) {
	const exp = 30*time.Millisecond + time.Nanosecond
	sent := time.Now()
	c.exp(exp).lock("a", "x")
	c.notBefore(sent, 31*time.Millisecond, c.freed("x"))
}

func defaultExp(c *scene) {
	sent := time.Now()
	grant := c.exp(0).lock("a", "x")
	if grant.Exp > holdfast.DefaultExp {
		c.t.Fatalf("%v is left of a hold without an exp of its own", grant.Exp)
	}
	c.notBefore(sent, holdfast.DefaultExp, c.freed("x"))
}

func eachEndsAlone(c *scene) {
	const short, long = 50 * time.Millisecond, 150 * time.Millisecond
	sent := time.Now()
	c.exp(short).lock("a", "x shared")
	c.exp(long).lock("b", "x shared")
	c.lock("a", "y")
	b := c.start("w", "x")
	b.granted()
	c.notBefore(sent, long, b.answered)
	c.heldBy("y", "a")
}

func manyEnd(c *scene) {
	const owners, keys, exp = 4, holdfast.MaxKeys, 150 * time.Millisecond
	sent := time.Now()
	for i := range owners {
		asks := make([]string, keys)
		for j := range asks {
			asks[j] = fmt.Sprintf("k%d-%d", i, j)
		}
		c.exp(exp).lock(fmt.Sprint("a", i), asks...)
	}
	var list holdfast.Page
	c.eventually("all holds end", func() bool {
		ctx, cancel := c.soon()
		defer cancel()
		var err error
		list, err = c.service().List(ctx, holdfast.ListRequest{Prefix: c.prefix, Limit: 1})
		c.must(err, "list")
		return len(list.Locks) == 0
	})
	if lived := time.Since(sent); lived < exp {
		c.t.Fatalf("%d holds with an exp of %v were over after %v", owners*keys, exp, lived)
	}
}

func endedIsLost(c *scene) {
	c.exp(shortly).lock("a", "x", "y")
	c.freed("x")
	c.freed("y")
	x, y := c.token("a", "x"), c.token("a", "y")
	equal(c, "unlocked", c.giveBack("a", x, y), nil)
	extension := c.extend("a", x, y)
	equal(c, "extended", extension.Tokens, nil)
	equal(c, "lost", extension.Lost, []holdfast.Token{x, y})
	c.lock("b", "x")
	equal(c, "unlocked", c.giveBack("a", x), nil)
	c.refused("a", "x").by("x b")
	c.lock("a", "y")
	if again := c.version("a", "y"); again <= y.Version {
		c.t.Fatalf("a held y with version %d, lost it, and now has %d", y.Version, again)
	}
}

func extensionAtTheEnd(c *scene) {
	const exp = 10 * time.Millisecond
	for i := range 20 {
		c.exp(exp).lock("a", "x")
		<-time.After(exp - 2*time.Millisecond + time.Duration(i)*200*time.Microsecond)
		if extension := c.extend("a", c.token("a", "x")); len(extension.Tokens) > 0 {
			c.heldBy("x", "a")
			c.unlock("a", "x")
		}
		c.free("x")
	}
}

func againAtTheEnd(c *scene) {
	const exp = 10 * time.Millisecond
	for i := range 20 {
		c.exp(exp).lock("a", "x")
		old := c.version("a", "x")
		<-time.After(exp - 2*time.Millisecond + time.Duration(i)*200*time.Microsecond)
		c.lock("a", "x")
		if again := c.version("a", "x"); again < old {
			c.t.Fatalf("a held x with version %d and now has %d", old, again)
		}
		if h := c.holder("x", "a"); h.Version != c.version("a", "x") {
			c.t.Fatalf("a was granted %d and holds %d", c.version("a", "x"), h.Version)
		}
		c.unlock("a", "x")
	}
}

func timeShows(c *scene) {
	sent := time.Now()
	if grant := c.lock("a", "x"); grant.Exp > time.Minute || grant.Exp <= 0 {
		c.t.Fatalf("%v is left of a minute", grant.Exp)
	}
	b := c.waits("b", "x")
	const shown = 30 * time.Millisecond
	c.eventually("the times go on", func() bool {
		lock := c.get("x")
		h, w := lock.Holders[0], lock.Waiters[0]
		// Milliseconds may be rounded either way.
		most := time.Since(sent) + time.Millisecond
		if h.Held < 0 || h.Held > most || w.Waited < 0 || w.Waited > most || h.Exp > time.Minute || h.Exp < time.Minute-most {
			c.t.Fatalf("%v after the first request: %+v", most, lock)
		}
		return h.Held >= shown && w.Waited >= shown && h.Exp <= time.Minute-shown
	})
	c.unlock("a", "x")
	b.granted()
}

func leftOfFirst(c *scene) {
	c.exp(time.Hour).lock("a", "x")
	if grant := c.exp(time.Second).lock("a", "x", "y"); grant.Exp > time.Second {
		c.t.Fatalf("a hold of a second and one of an hour: %v left", grant.Exp)
	}
	c.exp(time.Hour).lock("a", "z")
	if extension := c.exp(time.Minute).extend("a", c.token("a", "x"), c.token("a", "z")); extension.Exp <= time.Minute {
		c.t.Fatalf("two holds of an hour: %v left", extension.Exp)
	}
	c.lock("a", "p")
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	extension, err := c.service().Extend(ctx, holdfast.ExtendRequest{UID: c.name("a"), Exp: 2 * time.Minute})
	c.must(err, "extend everything")
	if extension.Exp > 2*time.Minute || extension.Exp <= time.Minute {
		c.t.Fatalf("holds of an hour, and one extended to two minutes: %v left", extension.Exp)
	}
}
