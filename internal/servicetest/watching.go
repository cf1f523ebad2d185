package servicetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast"
)

// Watch follows what happens to holds and in line, in its order.
var watching = []proof{
	{"granted and released", watchGranted},
	{"extended, by extend and by asking again", watchExtended},
	{"expired", watchExpired},
	{"forced, with the reason", watchForced},
	{"waiting, and granted at last", watchWaiting},
	{"waiting, and cancelled", watchCancelled},
	{"an upgrade is granted", watchUpgrade},
	{"what changes nothing is no event", watchNothing},
	{"only what happens under the prefix", watchPrefix},
	{"only what happens to the uid", watchUID},
	{"from the moment of the call", watchFromCall},
	{"from behind the last event seen", watchResumes},
	{"from long ago, all that is there or a gap", watchGap},
	{"every watcher sees the same", watchSame},
	{"it ends with its ctx, without an error", watchEnds},
	{"it ends when nobody ranges over it any more", watchLeft},
}

// These cannot run beside others: whoever watches at the same time might get
// a gap from them.
var watchingAlone = []proof{
	{"a watcher that does not read holds nobody up, and is told of a gap", watchUnread},
}

// event compares the parts of an event that its line does not show.
func (c *scene) event(got, want holdfast.Event) {
	c.t.Helper()
	want.ID, want.Type, want.Key, want.UID = got.ID, got.Type, got.Key, got.UID
	if got != want {
		c.t.Fatalf("event\n got %+v\nwant %+v", got, want)
	}
}

func watchGranted(c *scene) {
	w := c.watch()
	c.note("why").lock("a", "y", "x shared 3")
	events := w.sees("granted a y", "granted a x")
	version := c.version("a", "x")
	c.event(events[0], holdfast.Event{Version: version, Exp: time.Minute, Note: "why"})
	c.event(events[1], holdfast.Event{Mode: holdfast.Shared, Limit: 3, Version: version, Exp: time.Minute, Note: "why"})
	c.unlock("a", "x", "y")
	events = w.sees("released a x", "released a y")
	c.event(events[0], holdfast.Event{Mode: holdfast.Shared, Limit: 3, Version: version, Note: "why"})
	c.event(events[1], holdfast.Event{Version: version, Note: "why"})
}

func watchExtended(c *scene) {
	w := c.watch()
	c.lock("a", "x", "y shared")
	w.sees("granted a x", "granted a y")
	version := c.version("a", "x")
	c.exp(time.Hour).extend("a", c.token("a", "y"))
	events := w.sees("extended a y")
	c.event(events[0], holdfast.Event{Mode: holdfast.Shared, Version: version, Exp: time.Hour})
	c.exp(2 * time.Hour).extend("a")
	w.sees("extended a x", "extended a y")
	c.exp(3*time.Hour).lock("a", "z", "x shared")
	events = w.sees("granted a z", "extended a x")
	c.event(events[1], holdfast.Event{Version: version, Exp: 3 * time.Hour})
}

func watchExpired(c *scene) {
	w := c.watch()
	sent := time.Now()
	c.exp(shortly).note("why").lock("a", "x")
	w.sees("granted a x")
	events := w.sees("expired a x")
	c.notBefore(sent, shortly, time.Now())
	c.event(events[0], holdfast.Event{Version: c.version("a", "x"), Note: "why"})
}

func watchForced(c *scene) {
	w := c.watch()
	c.lock("b", "x shared")
	c.lock("a", "x shared")
	d := c.waits("d", "x")
	c.force("x")
	d.granted()
	events := w.sees("granted b x", "granted a x", "waiting d x", "forced a x", "forced b x", "granted d x")
	c.event(events[3], holdfast.Event{Mode: holdfast.Shared, Version: c.version("a", "x"), Reason: forceReason})
	c.event(events[5], holdfast.Event{Version: c.version("d", "x"), Exp: time.Minute})
}

func watchWaiting(c *scene) {
	w := c.watch()
	c.lock("a", "x")
	b := c.note("why").waits("b", "x", "y shared 2")
	d := c.waits("d", "x")
	c.unlock("a", "x")
	b.granted()
	c.unlock("b", "x", "y")
	d.granted()
	events := w.sees("granted a x", "waiting b x", "waiting b y", "waiting d x",
		"released a x", "granted b x", "granted b y",
		"released b x", "released b y", "granted d x")
	c.event(events[1], holdfast.Event{Note: "why"})
	c.event(events[2], holdfast.Event{Mode: holdfast.Shared, Limit: 2, Note: "why"})
	c.event(events[6], holdfast.Event{
		Mode: holdfast.Shared, Limit: 2, Version: c.version("b", "x"), Exp: time.Minute, Note: "why",
	})
}

func watchCancelled(c *scene) {
	w := c.watch()
	c.lock("a", "x")
	w.sees("granted a x")
	c.note("why").waits("b", "x", "y").leaves()
	events := w.sees("waiting b x", "waiting b y", "cancelled b x", "cancelled b y")
	c.event(events[2], holdfast.Event{Note: "why"})
	c.wait(shortly).start("d", "x").inVain()
	w.sees("waiting d x", "cancelled d x")
}

func watchUpgrade(c *scene) {
	w := c.watch()
	c.lock("a", "x shared 2")
	c.lock("a", "x")
	events := w.sees("granted a x", "granted a x")
	c.event(events[1], holdfast.Event{Version: c.version("a", "x"), Exp: time.Minute})
	c.unlock("a", "x")
	w.sees("released a x")
}

func watchNothing(c *scene) {
	w := c.watch()
	c.lock("a", "x")
	c.refused("b", "x")
	c.giveBack("b", c.token("a", "x"))
	c.extend("b", c.token("a", "x"))
	c.extend("b")
	c.force("y")
	c.check("x")
	c.lock("b", "y")
	d := c.waits("a", "y")
	c.deadlock("b", "x")
	c.again(d)
	c.unlock("b", "y")
	d.granted()
	w.sees("granted a x", "granted b y", "waiting a y", "released b y", "granted a y")
}

func watchPrefix(c *scene) {
	w := c.watchFor(holdfast.WatchRequest{Prefix: "p/"})
	c.lock("a", "p", "p/x", "q/x", "P/x", "p/")
	c.unlock("a", "q/x", "p/")
	c.lock("b", "p/y")
	w.sees("granted a p/x", "granted a p/", "released a p/", "granted b p/y")
}

func watchUID(c *scene) {
	w := c.watchFor(holdfast.WatchRequest{UID: "a"})
	both := c.watchFor(holdfast.WatchRequest{UID: "a", Prefix: "p/"})
	c.lock("b", "x")
	a := c.waits("a", "x", "p/x")
	c.lock("aa", "p/y")
	c.unlock("b", "x")
	a.granted()
	c.unlock("aa", "p/y")
	c.unlock("a", "x")
	c.unlock("a", "p/x")
	w.sees("waiting a x", "waiting a p/x", "granted a x", "granted a p/x", "released a x", "released a p/x")
	both.sees("waiting a p/x", "granted a p/x", "released a p/x")
}

func watchFromCall(c *scene) {
	c.lock("a", "before")
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	events, err := c.home.Watch(ctx, holdfast.WatchRequest{Prefix: c.prefix})
	c.must(err, "watch")
	c.lock("a", "after") // nobody ranges over the events yet
	for event, err := range events {
		c.must(err, "watch")
		if event.Key != c.name("after") {
			c.t.Fatalf("the first event after the call is %+v", event)
		}
		return
	}
	c.t.Fatal("there was no event")
}

func watchResumes(c *scene) {
	w := c.watch()
	c.lock("a", "x")
	c.lock("a", "y")
	second := w.sees("granted a x", "granted a y")[1]
	c.unlock("a", "x")
	c.unlock("a", "y")
	w.sees("released a x", "released a y")
	w.ends()
	c.lock("b", "x")
	again := c.watchFor(holdfast.WatchRequest{After: second.ID})
	c.lock("b", "y")
	again.sees("released a x", "released a y", "granted b x", "granted b y")
}

func watchGap(c *scene) {
	// A service may begin to keep events when somebody first watches it.
	var watchers []*watcher
	for range c.suite.target.Services {
		watchers = append(watchers, c.watch())
	}
	c.lock("a", "x")
	for _, w := range watchers {
		w.sees("granted a x")
	}
	w := c.watchFor(holdfast.WatchRequest{After: 1})
	event := w.next()
	for event.Type == holdfast.EventGap {
		event = w.next()
	}
	if event.Type != holdfast.EventGranted || event.Key != c.name("x") {
		// Events of this scene may be gone only if a gap said so; and a gap
		// is no reason to leave out what is still kept.
		c.t.Fatalf("from long ago, the first event is %+v", event)
	}
}

func watchSame(c *scene) {
	first, second := c.watch(), c.watch()
	var want []string
	for i := range 20 {
		key := fmt.Sprint("k", i)
		c.lock("a", key)
		c.unlock("a", key)
		want = append(want, "granted a "+key, "released a "+key)
	}
	one, two := first.sees(want...), second.sees(want...)
	for i := range one {
		if one[i] != two[i] {
			c.t.Fatalf("one watcher saw %+v, the other %+v", one[i], two[i])
		}
	}
}

func watchEnds(c *scene) {
	w := c.watch()
	c.lock("a", "x")
	w.sees("granted a x")
	w.ends()

	silent := c.watch()
	silent.ends()
}

func watchLeft(c *scene) {
	ctx, cancel := c.soon()
	defer cancel()
	events, err := c.home.Watch(ctx, holdfast.WatchRequest{Prefix: c.prefix})
	c.must(err, "watch")
	c.lock("a", "x", "y", "z")
	var seen []string
	for event, err := range events {
		c.must(err, "watch")
		seen = append(seen, c.short(event.Key))
		if len(seen) == 2 {
			break
		}
	}
	equal(c, "seen", seen, []string{"x", "y"})
}

// watchUnread lets more happen than any connection holds, and perhaps more
// than the service keeps, while a watcher does not look.
func watchUnread(c *scene) {
	const rounds = 36
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	events, err := c.home.Watch(ctx, holdfast.WatchRequest{Prefix: c.prefix})
	c.must(err, "watch")
	asks := make([]string, holdfast.MaxKeys)
	for i := range asks {
		asks[i] = fmt.Sprintf("k%d%s", i, strings.Repeat("-", 100))
	}
	for range rounds {
		c.lock("a", asks...)
		c.unlock("a", asks...)
	}
	c.lock("a", "last")
	seen, gap, last := 0, false, uint64(0)
	for event, err := range events {
		c.must(err, "watch, after %d events", seen)
		if event.ID <= last {
			c.t.Fatalf("event %d came after event %d", event.ID, last)
		}
		last = event.ID
		seen++
		gap = gap || event.Type == holdfast.EventGap
		if event.Key == c.name("last") {
			break
		}
	}
	if want := 2*rounds*len(asks) + 1; seen != want && !gap {
		c.t.Fatalf("of %d events %d were seen, and no gap", want, seen)
	}
}
