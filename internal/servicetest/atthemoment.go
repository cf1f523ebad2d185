package servicetest

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"holdfast"
)

// Rule 9, where it is hardest. A grant that could not be delivered is taken
// back: whatever happens at the very moment of a grant, afterwards either the
// client was told of it, or nothing of it is left. Each of these cases makes
// two things meet, again and again.
var atTheMoment = []proof{
	{"a client that goes at the moment of its grant holds nothing", goneAtGrant},
	{"an upgrade that nobody receives leaves the shared hold as it was", goneAtUpgrade},
	{"what was held before an undelivered grant stays held", goneAtPartlyHeld},
	{"if one of two same requests goes, the other one gets the grant", oneOfTwoAtGrant},
	{"who goes, and asks anew for a part, holds that part alone", goneAsksForPart},
	{"who goes, and also stands in line for a part, holds that part alone", goneWaitsForPart},
	{"a wait that ends at the moment of the grant ends one way or the other", waitEndsAtGrant},
	{"a hold that ends at the moment of its unlock ends once", endsAtUnlock},
	{"a hold that is forced as another is unlocked lets in one", forcedAtUnlock},
}

const (
	meetingsFor   = 400 * time.Millisecond // how long each case goes on
	meetingsLeast = 40                     // on a slow target
	meetingsMost  = 2000                   // on a fast one
)

// meeting makes two things happen at the same time, and learns from each time
// how much sooner the one must start for the two to meet.
type meeting struct {
	count int
	begin time.Time
	ahead time.Duration // of the first before the second
	step  time.Duration
	won   bool // the first came first, the last time
}

// more says whether there should be one more.
func (m *meeting) more() bool {
	if m.count == 0 {
		m.begin = time.Now()
	}
	m.count++
	return m.count <= meetingsLeast || m.count <= meetingsMost && time.Since(m.begin) < meetingsFor
}

// between starts both, and comes back when both are done.
func (m *meeting) between(first, second func()) {
	var both sync.WaitGroup
	ready := make(chan struct{})
	start := func(delay time.Duration, do func()) {
		<-ready
		for begin := time.Now(); time.Since(begin) < delay; {
			runtime.Gosched()
		}
		do()
	}
	both.Go(func() { start(-m.ahead, first) })
	both.Go(func() { start(m.ahead, second) })
	close(ready)
	both.Wait()
}

// learn is told which of the two came first in effect. It steps to and fro
// over the moment at which that changes: in smaller steps each time that it
// has changed, in larger ones while it does not.
func (m *meeting) learn(firstWon bool) {
	switch {
	case m.step == 0:
		m.step = 100 * time.Microsecond
	case firstWon != m.won:
		m.step = max(m.step/2, time.Microsecond)
	default:
		m.step = min(m.step*3/2, 10*time.Millisecond)
	}
	m.won = firstWon
	if firstWon {
		m.ahead -= m.step
	} else {
		m.ahead += m.step
	}
}

// unlockAsItGoes lets uid unlock the keys as the client of w goes away: for a
// service in this process often enough one right after the other, before the
// waiter can have noticed the first; for one at the end of a connection when
// experience says. It says whether the client was told of a grant.
func (m *meeting) unlockAsItGoes(w *call, uid string, keys ...string) bool {
	w.c.t.Helper()
	tokens := w.c.newest(uid, keys...)
	var released []string
	var err error
	unlock := func() { released, err = w.c.tryGiveBack(uid, tokens...) }
	leave := func() { w.cancel(errGone) }
	learn := false
	switch m.count % 4 {
	case 0:
		leave()
		unlock()
	case 1:
		unlock()
		leave()
	default:
		m.between(unlock, leave)
		learn = true
	}
	w.c.must(err, "%s unlocks %q", uid, keys)
	equal(w.c, "unlocked by "+uid, released, keys)
	_, err = w.answer()
	if err != nil && !errors.Is(err, errGone) {
		w.c.t.Fatalf("%s left the line: %v", w.uid, err)
	}
	if learn {
		m.learn(err == nil)
	}
	return err == nil
}

func goneAtGrant(c *scene) {
	var m meeting
	for m.more() {
		c.lock("a", "x")
		b := c.waits("b", "x", "y")
		d := c.start("d", "x", "y")
		if m.unlockAsItGoes(b, "a", "x") {
			c.heldBy("x", "b")
			c.heldBy("y", "b")
			c.unlock("b", "x", "y")
		}
		d.granted() // if b holds anything, d never comes in
		c.unlock("d", "x", "y")
	}
}

func goneAtUpgrade(c *scene) {
	var m meeting
	for m.more() {
		c.lock("a", "x shared")
		c.lock("b", "x shared 9")
		shared := c.token("b", "x")
		b := c.waits("b", "x", "y")
		if m.unlockAsItGoes(b, "a", "x") {
			c.heldBy("x", "b")
			c.unlock("b", "x", "y")
			continue
		}
		c.eventually("b holds x as before", func() bool {
			lock := c.get("x")
			return len(lock.Waiters) == 0 && len(lock.Holders) == 1 &&
				lock.Holders[0].Mode == holdfast.Shared && lock.Holders[0].Limit == 9 && lock.Holders[0].Version == shared.Version
		})
		c.free("y")
		equal(c, "unlocked with the shared hold's token", c.giveBack("b", shared), []string{"x"})
	}
}

func goneAtPartlyHeld(c *scene) {
	var m meeting
	for m.more() {
		c.lock("a", "x")
		c.lock("b", "y")
		before := c.token("b", "y")
		b := c.waits("b", "y", "x")
		if m.unlockAsItGoes(b, "a", "x") {
			c.heldBy("x", "b")
			c.unlock("b", "x")
		} else {
			c.eventually("b does not hold x", func() bool { return len(c.holders("x")) == 0 })
		}
		c.line("x")
		equal(c, "unlocked with the token from before", c.giveBack("b", before), []string{"y"})
	}
}

func oneOfTwoAtGrant(c *scene) {
	var m meeting
	for m.more() {
		c.lock("a", "x")
		b1 := c.waits("b", "x")
		b2 := c.again(b1)
		d := c.start("d", "x")
		stays, goes := b1, b2
		if m.count/4%2 == 0 {
			stays, goes = b2, b1
		}
		told := m.unlockAsItGoes(goes, "a", "x")
		grant := stays.granted()
		if told {
			equal(c, "tokens of the same request", goes.grant.Tokens, grant.Tokens)
		}
		c.heldBy("x", "b")
		d.stillWaits()
		c.unlock("b", "x")
		d.granted()
		c.unlock("d", "x")
	}
}

func goneAsksForPart(c *scene) {
	goneForPart(c, func() *call { return c.start("b", "x") })
}

func goneWaitsForPart(c *scene) {
	goneForPart(c, func() *call { return c.waits("b", "x") })
}

// goneForPart lets b go at the moment of a grant of x and y, while it asks for
// x alone as well, which it is granted in any case.
func goneForPart(c *scene, ask func() *call) {
	var m meeting
	for m.more() {
		c.lock("a", "x")
		b := c.waits("b", "y", "x")
		part := ask()
		told := m.unlockAsItGoes(b, "a", "x")
		part.granted()
		c.heldBy("x", "b")
		if !told {
			c.eventually("b does not hold y", func() bool { return len(c.holders("y")) == 0 })
		}
		c.line("y")
		c.unlock("b", "x")
		if told {
			c.unlock("b", "y")
		}
	}
}

func waitEndsAtGrant(c *scene) {
	var m meeting
	for m.more() {
		c.lock("a", "x")
		const wait = 3 * time.Millisecond
		b := c.wait(wait).start("b", "x", "y")
		token := c.token("a", "x")
		var err error
		m.between(
			func() { <-time.After(wait - time.Millisecond); _, err = c.tryGiveBack("a", token) },
			func() { <-b.done },
		)
		c.must(err, "a unlocks")
		_, err = b.answer()
		switch {
		case err == nil:
			c.heldBy("x", "b")
			c.heldBy("y", "b")
			c.unlock("b", "x", "y")
		case holdfast.ErrorCode(err) != holdfast.CodeLocked:
			c.t.Fatalf("b waited for %v: %v", wait, err)
		}
		m.learn(err == nil)
		c.free("x", "y")
	}
}

func endsAtUnlock(c *scene) {
	for i := range meetingsLeast {
		const exp = 4 * time.Millisecond
		c.exp(exp).lock("a", "x")
		b := c.start("b", "x")
		d := c.start("d", "x")
		<-time.After(exp - time.Millisecond + time.Duration(i)*50*time.Microsecond)
		if got := c.giveBack("a", c.token("a", "x")); len(got) > 1 {
			c.t.Fatalf("one token released %v", got)
		}
		first, second := b, d
		select {
		case <-b.done:
		case <-d.done:
			first, second = d, b
		case <-time.After(patience):
			c.t.Fatal("nobody was let in")
		}
		first.granted()
		second.stillWaits()
		c.unlock(first.uid, "x")
		second.granted()
		c.unlock(second.uid, "x")
	}
}

func forcedAtUnlock(c *scene) {
	for i := range meetingsLeast {
		uid := fmt.Sprint("a", i)
		c.lock(uid, "x")
		first := c.waits("b", "x")
		second := c.waits("d", "x")
		token := c.token(uid, "x")
		// Whichever of the two comes first releases a's hold; if that is the
		// unlock, force releases b's.
		c.together(2, func(j int) error {
			if j == i%2 {
				_, err := c.tryGiveBack(uid, token)
				return err
			}
			ctx, cancel := c.soon()
			defer cancel()
			_, err := c.service().Force(ctx, holdfast.ForceRequest{Key: c.name("x")})
			return err
		})
		first.granted()
		switch held := c.holders("x"); {
		case len(held) == 1 && held[0] == "b":
			second.stillWaits()
			c.unlock("b", "x")
			second.granted()
		case len(held) == 1 && held[0] == "d":
			second.granted()
		default:
			c.t.Fatalf("after one unlock and one force, x is held by %v", held)
		}
		c.unlock("d", "x")
	}
}
