package table

import (
	"testing"
	"time"

	"holdfast"
)

// A table that nobody holds or wants anything of any more keeps nothing of
// those who did, however they came and went.
func TestNothingIsLeftBehind(t *testing.T) {
	table := New(0)
	for _, cmd := range []Command{
		{Op: Lock, UID: "a", Keys: holdfast.Keys("x", "y"), Limits: Limits{HoldsOfUID: 9}}, // and so all are counted
		{Op: Lock, UID: "b", Keys: []holdfast.Ask{{Key: "z", Mode: holdfast.Shared}}},
		{Op: Lock, UID: "c", Keys: holdfast.Keys("x"), Wait: true},
		{Op: Lock, UID: "d", Keys: holdfast.Keys("x", "z"), Wait: true},
		{Op: Lock, UID: "a", Keys: holdfast.Keys("z"), Wait: true}, // both wait and are waited for from here on
		{Op: Extend, UID: "a", Exp: time.Second},
		{Op: Lock, UID: "b", Keys: holdfast.Keys("z")},
		{Op: Lock, UID: "b", Keys: []holdfast.Ask{{Key: "z", Mode: holdfast.Shared, Limit: 2}}},
		{Op: Lock, UID: "e", Keys: []holdfast.Ask{{Key: "y", Mode: holdfast.Shared, Limit: 2}}, Wait: true},
		{Op: Cancel, Place: 2, Seen: 99},
		{Op: Unlock, UID: "a", Tokens: []holdfast.Token{{Key: "x", Version: 1}}},
		{Op: Force, Key: "y"},
		{Op: Force, Key: "z"},
		{Op: Lock, UID: "f", Keys: holdfast.Keys("x"), Wait: true},
		{Op: Lock, UID: "g", Keys: []holdfast.Ask{{Key: "s", Mode: holdfast.Shared, Limit: 9}}},
		{Op: Lock, UID: "h", Keys: []holdfast.Ask{{Key: "s", Mode: holdfast.Shared, Limit: 9}}},
		{Op: Lock, UID: "i", Keys: []holdfast.Ask{{Key: "s", Mode: holdfast.Shared, Limit: 9}}}, // and so those who share are counted
		{Op: Force, Key: "s"},
		{Op: Lock, UID: "j", Keys: holdfast.Keys("v")},
		{Op: Lock, UID: "k", Keys: holdfast.Keys("v"), Wait: true},
		{Op: Lock, UID: "l", Keys: holdfast.Keys("v"), Wait: true},
		{Op: Force, Key: "v"}, // k holds it, and l still waits
		{Op: Lock, UID: "m", Keys: holdfast.Keys("u")},
		{Op: Lock, UID: "n", Keys: holdfast.Keys("u"), Wait: true},
		{Op: Cancel, Place: 8, Seen: 99},
		{Op: Force, Key: "u"},
		{Op: Force, Key: "v"},
		{Op: Force, Key: "v"},
		{Op: Force, Key: "x"},
		{Op: Force, Key: "x"},
		{Op: Force, Key: "y"},
		{Op: Force, Key: "z"},
	} {
		table.Apply(&cmd)
	}
	if table.Holds() != 0 || table.Waiters() != 0 {
		t.Fatalf("%d holds and %d in line", table.Holds(), table.Waiters())
	}
	if n := len(table.owners) + len(table.armed) + table.lines.Len() + len(table.held) + len(table.sharing) + table.asked; n != 0 {
		t.Errorf("owners %v, armed %v, %d lines, held %v, sharing %v, %d asked",
			table.owners, table.armed, table.lines.Len(), table.held, table.sharing, table.asked)
	}
}
