package servicetest

import (
	"time"

	"holdfast"
)

// Extend starts the life of holds anew: those that the tokens name, or, when
// there are no tokens, everything that the uid holds. It never makes a life
// shorter.
var extending = []proof{
	{"holds named by tokens live anew", extendTokens},
	{"without tokens everything that the uid holds lives anew", extendAll},
	{"an empty list of tokens is not everything", extendEmpty},
	{"a token that names no hold is lost", extendLost},
	{"it never makes a life shorter", extendNeverShortens},
	{"without an exp it is a second", extendDefaultExp},
	{"it changes nothing else", extendNothingElse},
	{"who holds nothing extends nothing", extendNothing},
	{"a waiter does not stand in its way", extendPastWaiters},
	{"a shared hold is extended by its own holder alone", extendShared},
}

// left sees that what is left of the hold lies between the two.
func (c *scene) left(key, uid string, more, most time.Duration) {
	c.t.Helper()
	if left := c.holder(key, uid).Exp; left <= more || left > most {
		c.t.Fatalf("%s holds %s for another %v; want more than %v and at most %v", uid, key, left, more, most)
	}
}

func extendTokens(c *scene) {
	c.lock("a", "x", "y", "z")
	extension := c.exp(time.Hour).extend("a", c.newest("a", "z", "x")...)
	equal(c, "extended", extension.Tokens, c.newest("a", "z", "x"))
	equal(c, "lost", extension.Lost, nil)
	if extension.Exp <= time.Minute || extension.Exp > time.Hour {
		c.t.Fatalf("extended to an hour; %v left", extension.Exp)
	}
	c.left("x", "a", time.Minute, time.Hour)
	c.left("z", "a", time.Minute, time.Hour)
	c.left("y", "a", 0, time.Minute)
}

func extendAll(c *scene) {
	c.lock("a", "z shared")
	c.lock("a", "x")
	c.lock("a", "y shared 3")
	c.lock("b", "z shared", "p")
	extension := c.exp(time.Hour).extend("a")
	equal(c, "extended", extension.Tokens, c.newest("a", "x", "y", "z"))
	equal(c, "lost", extension.Lost, nil)
	for _, key := range []string{"x", "y", "z"} {
		c.left(key, "a", time.Minute, time.Hour)
	}
	c.left("z", "b", 0, time.Minute)
	c.left("p", "b", 0, time.Minute)
}

// extendEmpty is what a client sends that gathered its tokens and found none.
func extendEmpty(c *scene) {
	c.lock("a", "x")
	ctx, cancel := c.soon()
	defer cancel()
	extension, err := c.service().Extend(ctx, holdfast.ExtendRequest{
		UID: c.name("a"), Tokens: []holdfast.Token{}, Exp: time.Hour,
	})
	c.must(err, "extend with an empty list of tokens")
	if len(extension.Tokens) > 0 || len(extension.Lost) > 0 || extension.Exp != 0 {
		c.t.Fatalf("an empty list of tokens extended %+v", extension)
	}
	c.left("x", "a", 0, time.Minute)
}

func extendLost(c *scene) {
	c.lock("a", "x", "y")
	c.lock("b", "z")
	y := c.token("a", "y")
	c.unlock("a", "y")
	other := holdfast.Token{Key: c.name("x"), Version: c.version("a", "x") + 1}
	nobody := holdfast.Token{Key: c.name("nobody's"), Version: 1}
	extension := c.extend("a", y, c.token("a", "x"), c.token("b", "z"), other, nobody)
	equal(c, "extended", extension.Tokens, c.newest("a", "x"))
	equal(c, "lost", extension.Lost, []holdfast.Token{y, c.token("b", "z"), other, nobody})
	c.free("y", "nobody's") // what is lost does not come back

	equal(c, "released by force", c.force("x"), []string{"a"})
	extension = c.extend("a", c.token("a", "x"))
	equal(c, "extended", extension.Tokens, nil)
	equal(c, "lost", extension.Lost, c.newest("a", "x"))
	if extension.Exp != 0 {
		c.t.Fatalf("nothing was extended, but %v is left", extension.Exp)
	}
}

func extendNeverShortens(c *scene) {
	c.exp(time.Hour).lock("a", "x")
	for _, extension := range []holdfast.Extension{
		c.exp(time.Millisecond).extend("a", c.token("a", "x")),
		c.exp(time.Second).extend("a"),
	} {
		equal(c, "extended", extension.Tokens, c.newest("a", "x"))
		if extension.Exp <= time.Minute || extension.Exp > time.Hour {
			c.t.Fatalf("a hold of an hour, extended by less, has %v left", extension.Exp)
		}
	}
	c.left("x", "a", time.Minute, time.Hour)
}

func extendDefaultExp(c *scene) {
	sent := time.Now()
	c.exp(500*time.Millisecond).lock("a", "x")
	b := c.start("b", "x")
	second := time.Now()
	exp := holdfast.DefaultExp
	if extension := c.exp(0).extend("a"); len(extension.Tokens) == 0 {
		second, exp = sent, 500*time.Millisecond // too late, on a very busy machine
	}
	b.granted()
	c.notBefore(second, exp, b.answered)
}

func extendNothingElse(c *scene) {
	c.note("mine").lock("a", "x shared 3")
	c.lock("b", "x shared")
	c.exp(time.Hour).extend("a")
	h := c.holder("x", "a")
	if h.Version != c.version("a", "x") || h.Note != "mine" {
		c.t.Fatalf("extended, the hold became %+v", h)
	}
	c.heldBy("x", "a shared 3", "b shared")
	c.unlock("a", "x")
}

func extendNothing(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x")
	for _, uid := range []string{"b", "c"} {
		extension := c.extend(uid)
		if len(extension.Tokens) > 0 || len(extension.Lost) > 0 || extension.Exp != 0 {
			c.t.Fatalf("%s, who holds nothing, extended %+v", uid, extension)
		}
	}
	b.stillWaits()
}

func extendPastWaiters(c *scene) {
	c.lock("a", "x")
	b := c.waits("b", "x")
	equal(c, "extended", c.exp(time.Hour).extend("a").Tokens, c.newest("a", "x"))
	b.stillWaits()
	c.line("x", "b")
	c.unlock("a", "x")
	b.granted()
}

func extendShared(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	extension := c.exp(time.Hour).extend("b", c.token("a", "x"), c.token("b", "x"))
	equal(c, "extended", extension.Tokens, c.newest("b", "x"))
	equal(c, "lost", extension.Lost, c.newest("a", "x"))
	c.left("x", "a", 0, time.Minute)
	c.left("x", "b", time.Minute, time.Hour)
}
