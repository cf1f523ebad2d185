package table

import (
	"testing"

	"holdfast"
)

// A page of a list costs no more than its keys, however many come behind it.
func TestAListGoesNoFurtherThanAsked(t *testing.T) {
	table := New(0)
	for _, cmd := range []Command{
		{Op: Lock, UID: "a", Keys: holdfast.Keys("b", "d", "f")},
		{Op: Lock, UID: "b", Keys: holdfast.Keys("z")},
		{Op: Lock, UID: "a", Keys: holdfast.Keys("a1", "a2", "a3", "c1", "c2", "z"), Wait: true},
	} {
		table.Apply(&cmd)
	}
	for name, list := range map[string]func(yield func(string) bool){
		"all":        func(yield func(string) bool) { table.keys("", yield) },
		"of a":       func(yield func(string) bool) { table.keysOf("a", "", yield) },
		"waited for": func(yield func(string) bool) { table.keysWaitedFor("", yield) },
	} {
		for most := 1; most <= 5; most++ {
			n := 0
			list(func(string) bool { n++; return n < most })
			if n != most {
				t.Errorf("%s: %d keys, not %d", name, n, most)
			}
		}
	}
}
