package table

import (
	"fmt"
	"testing"

	"holdfast"
)

// many is more than a command may look at when it is about one of them.
const many = 1000

// Many share a key and wait for something else each. One who shares it with
// them and goes was in nobody's way, nor was one of them who leaves the line:
// nobody is looked at for it.
func TestOneWhoSharedMakesNobodyDue(t *testing.T) {
	table := New(0)
	shared := holdfast.Ask{Key: "parent", Mode: holdfast.Shared}
	for i := range many {
		child := holdfast.Ask{Key: fmt.Sprint("child", i)}
		table.Apply(&Command{Op: Lock, UID: fmt.Sprint("holder", i), Keys: []holdfast.Ask{shared, child}})
		table.Apply(&Command{Op: Lock, UID: fmt.Sprint("waiter", i), Keys: []holdfast.Ask{shared, child}, Wait: true})
	}
	if table.Waiters() != many {
		t.Fatalf("%d in line", table.Waiters())
	}
	token := table.Apply(&Command{Op: Lock, UID: "passer-by", Keys: []holdfast.Ask{shared}}).Tokens[0]
	table.Apply(&Command{Op: Unlock, UID: "passer-by", Tokens: []holdfast.Token{token}})
	table.Apply(&Command{Op: Cancel, Place: 1, Seen: many * many})
	if table.Waiters() != many-1 {
		t.Fatalf("%d in line", table.Waiters())
	}
	wantFewDue(t, table)

	// An exclusive request behind them waits for them alone.
	writer := table.Apply(&Command{Op: Lock, UID: "writer", Keys: holdfast.Keys("parent"), Wait: true})
	if writer.Status != InLine {
		t.Fatal(writer.Status)
	}
	place := writer.Place
	table.Apply(&Command{Op: Force, Key: "parent"})
	if !table.InLine(place) {
		t.Fatal("the writer was let in ahead of those in line before it")
	}
	for i := range many {
		table.Apply(&Command{Op: Cancel, Place: uint64(i + 2), Seen: many * many})
	}
	if table.InLine(place) {
		t.Fatal("the writer is still in line")
	}
	wantFewDue(t, table)
}

// One owner waits for many keys. One of them that comes free lets in the
// request for it, and the others are not looked at.
func TestAKeyThatComesFreeMakesDueWhoAsksForIt(t *testing.T) {
	table := New(0)
	for i := range many {
		keys := holdfast.Keys(fmt.Sprint("item", i))
		table.Apply(&Command{Op: Lock, UID: "before", Keys: keys})
		table.Apply(&Command{Op: Lock, UID: "busy", Keys: keys, Wait: true})
	}
	for i := range many {
		out := table.Apply(&Command{Op: Force, Key: fmt.Sprint("item", i)})
		if len(out.Grants) != 1 || out.Grants[0].UID != "busy" {
			t.Fatal(out.Grants)
		}
	}
	wantFewDue(t, table)
}

// Many share a key, and each waits for one of a few others. Somebody waits for
// what they share, so that all of them may have somebody to pass over. That
// makes nobody due but in the line of the key that comes free.
func TestAHandOverMakesDueWhoStandsInThatLine(t *testing.T) {
	const children = many / 10
	table := New(0)
	child := func(i int) []holdfast.Ask { return holdfast.Keys(fmt.Sprint("child", i%children)) }
	for i := range children {
		table.Apply(&Command{Op: Lock, UID: "before", Keys: child(i)})
	}
	for i := range many {
		uid := fmt.Sprint("worker", i)
		table.Apply(&Command{Op: Lock, UID: uid, Keys: []holdfast.Ask{{Key: "parent", Mode: holdfast.Shared}}})
		if out := table.Apply(&Command{Op: Lock, UID: uid, Keys: child(i), Wait: true}); out.Status != InLine {
			t.Fatal(out.Status)
		}
	}
	table.Apply(&Command{Op: Lock, UID: "writer", Keys: holdfast.Keys("parent"), Wait: true})
	if len(table.armed) != many {
		t.Fatalf("%d are armed", len(table.armed))
	}
	for i := range children {
		out := table.Apply(&Command{Op: Force, Key: child(i)[0].Key})
		if len(out.Grants) != 1 || out.Grants[0].UID != fmt.Sprint("worker", i) {
			t.Fatal(out.Grants)
		}
	}
	wantFewDue(t, table)
}

// wantFewDue wants that no command so far had many candidates at once.
func wantFewDue(t *testing.T, table *Table) {
	t.Helper()
	if n := cap(table.due); n > many/10 {
		t.Fatalf("%d were due at once", n)
	}
}
