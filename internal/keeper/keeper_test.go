package keeper

import (
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// What a command answered does not change with the commands that follow.
func TestAResultStaysAsItIs(t *testing.T) {
	k := New(0)
	k.StartClock()
	lock := func(uid string, keys ...string) table.Command {
		return table.Command{Op: table.Lock, UID: uid, Keys: holdfast.Keys(keys...), Exp: time.Hour}
	}
	extend := func(uid string, tokens ...holdfast.Token) table.Command {
		return table.Command{Op: table.Extend, UID: uid, Tokens: tokens, Exp: time.Hour}
	}
	results, before := []Result{}, []Result{}
	for _, cmd := range []table.Command{
		lock("a", "x"), lock("b", "y"), lock("c", "x"), lock("c", "y"),
		extend("a", holdfast.Token{Key: "x", Version: 9}), extend("b", holdfast.Token{Key: "y", Version: 8}),
		{Op: table.Force, Key: "x"}, {Op: table.Force, Key: "y"},
	} {
		r := k.Apply(&cmd)
		results = append(results, r)
		r.Tokens, r.Lost = slices.Clone(r.Tokens), slices.Clone(r.Lost)
		r.Freed, r.Blockers = slices.Clone(r.Freed), slices.Clone(r.Blockers)
		before = append(before, r)
	}
	for i, r := range results {
		for _, pair := range [][2]any{{r.Tokens, before[i].Tokens}, {r.Lost, before[i].Lost}, {r.Freed, before[i].Freed}, {r.Blockers, before[i].Blockers}} {
			if reflect.ValueOf(pair[0]).Len() > 0 && !reflect.DeepEqual(pair[0], pair[1]) {
				t.Errorf("answer %d was %v, and is %v", i, pair[1], pair[0])
			}
		}
	}
}

// A server that stops leaves the place in line: who comes back has it still.
func TestAPlaceOutlivesItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		answer := p.ask(p.Context(), time.Minute)
		p.before(func(cmd *table.Command) error { t.Errorf("it proposes %v", cmd.Op); return nil })
		p.Stop()
		p.wantUnknown(<-answer)
		p.wantInLine(1)
		p.Wait()
	})
}
