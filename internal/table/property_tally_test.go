package table

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast"
)

// tally counts what came up in all histories, so that drawings that miss the
// point are noticed.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[string]int)
	}
	c.counts[what]++
}

func (c *tally) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[what]
}

// command counts what one command was and did.
func (c *tally) command(cmd *Command, out Outcome, passing int) {
	c.count("command")
	c.count("op " + cmd.Op.String())
	c.count([]string{"done", "granted", "in line", "refused", "deadlock"}[out.Status])
	for _, event := range out.Events {
		c.count("event " + string(event.Type))
	}
	for range passing {
		c.count("granted past a waiter")
	}
	for _, g := range out.Grants {
		if len(g.Tokens) > 1 {
			c.count("late grant of several keys")
		}
	}
	switch {
	case out.Status == InLine && !c.told(out, holdfast.EventWaiting):
		c.count("found in line")
	case out.Status == Deadlock:
		c.count(fmt.Sprintf("circle of %d", len(out.Cycle)))
	case cmd.Op == Lock && len(out.Grants) > 0:
		c.count(fmt.Sprintf("%s lets others in", []string{"", "grant", "joining"}[out.Status]))
	case cmd.Op == TakeBack && len(out.Events) > 0 && out.Events[0].Type == holdfast.EventGranted:
		c.count("upgrade taken back")
	}
	if len(out.Blockers) > 1 {
		c.count("several blockers")
	}
	if len(out.Grants) > 1 {
		c.count("several late grants at once")
	}
}

func (*tally) told(out Outcome, what holdfast.EventType) bool {
	return slices.ContainsFunc(out.Events, func(event holdfast.Event) bool { return event.Type == what })
}

// rare is how often each thing must come up at the least: once in so many
// commands. That is a tenth of what the drawings give, or less.
var rare = map[string]int{
	"granted": 10, "in line": 20, "refused": 100, "deadlock": 200,
	"event granted": 10, "event extended": 20, "event released": 20, "event expired": 200,
	"event forced": 500, "event waiting": 20, "event cancelled": 200,
	"op cancel": 200, "op expire": 200, "op extend": 500, "op force": 500, "op raise": 1000, "op take-back": 200,
	"found in line": 200, "several blockers": 200,
	"circle of 2": 200, "circle of 3": 10_000,
	"granted past a waiter": 200, "grant lets others in": 10_000, "joining lets others in": 20_000,
	"several late grants at once": 500, "late grant of several keys": 200,
	"upgrade taken back":          20_000,
	"circle made by a rash owner": 1000, "snapshot": 2000, "old snapshot": 5000,
}

// check fails if one of them came up less often.
func (c *tally) check(t *testing.T) {
	var counts []string
	for _, what := range slices.Sorted(maps.Keys(c.counts)) {
		counts = append(counts, fmt.Sprintf("%8d %s", c.counts[what], what))
	}
	t.Logf("in all histories:\n%s", strings.Join(counts, "\n"))
	commands := c.of("command")
	for what, once := range rare {
		if c.of(what) < commands/once {
			t.Errorf("%q came up only %d times in %d commands", what, c.of(what), commands)
		}
	}
}
