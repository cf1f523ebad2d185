package keeper

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// heldByA is a process that leads, with x held by a for an hour, and y shared by
// a and b for a minute.
func heldByA() *Keeper {
	k := New(0)
	k.StartClock()
	shared := []holdfast.Ask{{Key: "y", Mode: holdfast.Shared}}
	k.Apply(&table.Command{Op: table.Lock, UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour, Note: "why"})
	k.Apply(&table.Command{Op: table.Lock, UID: "a", Keys: shared, Exp: time.Minute})
	k.Apply(&table.Command{Op: table.Lock, UID: "b", Keys: shared, Exp: time.Minute})
	return k
}

// What changes nothing but the deadlines stays off the log; whatever else a
// command would change, were it only a note, goes there.
func TestOnlyWhatProlongsStaysOffTheLog(t *testing.T) {
	const minute, hour = time.Minute, time.Hour
	token := func(key string, version uint64) holdfast.Token { return holdfast.Token{Key: key, Version: version} }
	tokens := func(tokens ...holdfast.Token) []holdfast.Token { return tokens }
	lock := func(uid string, exp time.Duration, note string, keys ...holdfast.Ask) table.Command {
		return table.Command{Op: table.Lock, UID: uid, Keys: keys, Exp: exp, Note: note}
	}
	extend := func(uid string, exp time.Duration, tokens []holdfast.Token) table.Command {
		return table.Command{Op: table.Extend, UID: uid, Exp: exp, Tokens: tokens}
	}
	x, y, z := holdfast.Ask{Key: "x"}, holdfast.Ask{Key: "y", Mode: holdfast.Shared}, holdfast.Ask{Key: "z"}
	for name, test := range map[string]struct {
		cmd  table.Command
		want []holdfast.Token // nil if it goes through the log
	}{
		"a lock of what is held":             {lock("a", hour, "", x), tokens(token("x", 1))},
		"with the same note":                 {lock("a", hour, "why", x), tokens(token("x", 1))},
		"in a mode that is covered":          {lock("a", hour, "", holdfast.Ask{Key: "x", Mode: holdfast.Shared}), tokens(token("x", 1))},
		"of several":                         {lock("a", minute, "", x, y), tokens(token("x", 1), token("y", 2))},
		"for longer":                         {lock("a", hour+time.Millisecond, "", x), nil},
		"for longer than one of them":        {lock("a", minute+time.Millisecond, "", x, y), nil},
		"with another note":                  {lock("a", hour, "new", x), nil},
		"in a mode that is not covered":      {lock("a", minute, "", holdfast.Ask{Key: "y"}), nil},
		"of one that is not held":            {lock("a", hour, "", z), nil},
		"of one more that is not held":       {lock("a", minute, "", x, z), nil},
		"by another":                         {lock("b", hour, "", x), nil},
		"an extension":                       {extend("a", hour, tokens(token("x", 1))), tokens(token("x", 1))},
		"an extension of several":            {extend("a", minute, tokens(token("y", 2), token("x", 1))), tokens(token("y", 2), token("x", 1))},
		"an extension for longer":            {extend("a", hour+time.Millisecond, tokens(token("x", 1))), nil},
		"an extension of a stale token":      {extend("a", minute, tokens(token("x", 1), token("y", 1))), nil},
		"an extension of nothing":            {extend("a", minute, []holdfast.Token{}), nil},
		"an extension of all":                {extend("a", minute, nil), tokens(token("x", 1), token("y", 2))},
		"an extension of all for longer":     {extend("a", minute+time.Millisecond, nil), nil},
		"an extension of all by who has one": {extend("b", minute, nil), tokens(token("y", 3))},
		"an extension of all by who has not": {extend("c", minute, nil), nil},
		"an unlock":                          {table.Command{Op: table.Unlock, UID: "a", Tokens: tokens(token("x", 1))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := heldByA()
				time.Sleep(30 * time.Second)
				before := k.table.Applied()
				cmd := &test.cmd
				if got := k.OnlyProlongs(cmd); got != (test.want != nil) {
					t.Errorf("only prolongs: %v", got)
				}
				r, done := k.Prolong(cmd)
				if done != (test.want != nil) || !slices.Equal(r.Tokens, test.want) {
					t.Fatalf("prolonged: %v, %v, not %v", done, r.Tokens, test.want)
				}
				if k.table.Applied() != before {
					t.Error("the table has changed")
				}
				if got := k.counts.Extensions.Load(); got != uint64(len(test.want)) {
					t.Errorf("%d are counted", got)
				}
				if !done {
					return
				}
				if want := map[table.Op]table.Status{table.Lock: table.Granted, table.Extend: table.Done}[cmd.Op]; r.Status != want {
					t.Errorf("status %v, not %v", r.Status, want)
				}
				first := time.Duration(1<<63 - 1) // what is left of the one that ends first
				for _, token := range test.want {
					begun := map[string]time.Duration{"x": hour, "y": minute}[token.Key]
					left, _ := k.leftOf(token.Key, cmd.UID)
					if want := max(cmd.Exp, begun-30*time.Second); left != want {
						t.Errorf("%v left of %s, not %v", left, token.Key, want)
					}
					first = min(first, left)
				}
				if r.Exp != first {
					t.Errorf("told of %v, not %v", r.Exp, first)
				}
			})
		})
	}
}

// Who watches sees it like any other extension, and the clock looks again when
// the life that is now the first one ends.
func TestWhatIsProlongedIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := New(0)
		k.StartClock()
		pool := []holdfast.Ask{{Key: "pool", Mode: holdfast.Shared, Limit: 3}}
		k.Apply(&table.Command{Op: table.Lock, UID: "a", Keys: pool, Exp: time.Hour, Note: "why"})
		events := k.feed.Watch(t.Context(), holdfast.WatchRequest{})
		if _, done := k.Prolong(&table.Command{Op: table.Extend, UID: "a", Exp: time.Minute}); !done {
			t.Fatal("not prolonged")
		}
		for e := range events {
			e.ID = 0
			if want := (holdfast.Event{
				Type: holdfast.EventExtended, Key: "pool", UID: "a", Mode: holdfast.Shared, Limit: 3, Version: 1, Exp: time.Minute, Note: "why",
			}); e != want {
				t.Errorf("got %+v\nwant %+v", e, want)
			}
			break
		}
	})
}

// A hold that somebody means to end, or over whose time another process watches,
// is not prolonged here.
func TestWhatMayBeOverIsNotProlonged(t *testing.T) {
	for name, doubt := range map[string]func(*Keeper){
		"it has run out": func(k *Keeper) {
			time.Sleep(2 * time.Hour)
			k.clock.Due(9, func(string, string, uint64) {})
		},
		"its owner was not told of it": func(k *Keeper) { k.undo("a", []holdfast.Token{{Key: "x", Version: 1}}) },
		"another process leads": func(k *Keeper) {
			ctx, end := context.WithCancel(context.Background())
			end()
			k.WatchOver(ctx, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := heldByA()
				cmd := &table.Command{Op: table.Extend, UID: "a", Tokens: []holdfast.Token{{Key: "x", Version: 1}}, Exp: time.Second}
				if !k.OnlyProlongs(cmd) {
					t.Fatal("it is not prolonged before")
				}
				doubt(k)
				if _, done := k.Prolong(cmd); done || k.OnlyProlongs(cmd) {
					t.Error("it is prolonged")
				}
			})
		})
	}
}

// The sieve lets through what is held, and, with nothing else in it, nothing any
// more once that is over.
func TestTheSieveForgetsWhatIsOver(t *testing.T) {
	k := New(0)
	k.StartClock()
	want := func(want bool) {
		t.Helper()
		if got := k.sieve.mayHold("x", "a"); got != want {
			t.Errorf("may hold: %v", got)
		}
	}
	lock := &table.Command{Op: table.Lock, UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour}
	want(false)
	k.Apply(lock)
	want(true)
	k.Apply(lock)
	k.StartClock() // it begins anew
	want(true)
	k.Apply(&table.Command{Op: table.Unlock, UID: "a", Tokens: []holdfast.Token{{Key: "x", Version: 1}}})
	want(false)
}
