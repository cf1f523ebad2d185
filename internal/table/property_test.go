package table

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"holdfast"

	"pgregory.net/rapid"
)

var propertyCommands = flag.Int("property.commands", 100_000, "how many random commands TestProperty compares")

// TestProperty runs random histories past the fast table, its twin and the
// model, and lets none of them differ. A history that fails is made as short
// as can be; rapid then says how to run it again.
func TestProperty(t *testing.T) {
	longer(t)
	tally := &tally{}
	t.Run("histories", func(t *testing.T) {
		for worker := range 2 {
			t.Run(strconv.Itoa(worker), func(t *testing.T) {
				t.Parallel()
				for tally.of("command") < *propertyCommands {
					rapid.Check(t, func(t *rapid.T) { runHistory(t, tally) })
				}
			})
		}
	})
	if !t.Failed() {
		tally.check(t)
	}
}

// longer makes histories long enough to fill the table, unless the command
// line says how long they are to be, and checks small enough to stop soon
// after the number of commands is reached.
func longer(t *testing.T) {
	for name, value := range map[string]string{"rapid.steps": "80", "rapid.checks": "10"} {
		f := flag.Lookup(name)
		if before := f.Value.String(); before == f.DefValue {
			t.Cleanup(func() { _ = f.Value.Set(before) })
			_ = f.Value.Set(value)
		}
	}
}

// history is one random history under way.
type history struct {
	t     *rapid.T
	tally *tally

	model      *model
	fast, twin *Table // the same commands go to both; each is now and then rebuilt from its snapshot
	old        *oldState

	uids, keys []string
	patient    bool // no owner has several requests under way
	sociable   bool // most requests are shared, many with a limit

	asked   []Command       // the last requests; some are asked again, as if the answer had been lost
	granted []Grant         // the last grants to waiters; some are taken back
	kept    []Grant         // the same as the fast table gave them: it must leave them alone
	version uint64          // the highest granted so far
	rash    map[string]bool // owners who may close a circle later than when they ask
}

func runHistory(t *rapid.T, tally *tally) {
	floor := rapid.Uint64Range(0, 1<<50).Draw(t, "floor")
	h := &history{
		t: t, tally: tally,
		model: newModel(floor), fast: New(floor), twin: New(floor), version: floor,
		uids:     []string{"ann", "bob", "cid", "dan", "eve", "fay"}[:rapid.IntRange(2, 6).Draw(t, "uids")],
		keys:     []string{"a", "b", "c", "d", "e", "f"}[:rapid.IntRange(1, 6).Draw(t, "keys")],
		patient:  rapid.Bool().Draw(t, "patient"),
		sociable: rapid.Bool().Draw(t, "sociable"),
		rash:     make(map[string]bool),
	}
	defer h.dropOld()
	t.Repeat(map[string]func(*rapid.T){"step": func(*rapid.T) { h.step() }})
}

// step carries out one random command everywhere and compares what became of
// it.
func (h *history) step() {
	h.interrupt()
	cmd := h.drawCommand()
	h.t.Logf("%v", (*said)(&cmd))
	before := h.model.clone()
	want := h.model.apply(&cmd)
	got := h.fast.Apply(&cmd)

	h.compareOutcomes(&cmd, *got, want)
	if again := h.twin.Apply(&cmd); !reflect.DeepEqual(plain(*got), plain(*again)) {
		h.t.Fatalf("the same commands, two outcomes\n one: %+v\nother: %+v", *got, *again)
	}
	h.compareState(h.fast)
	h.checkVersions(got)
	h.remember(*got, want)
	h.noteRash(&cmd, want, before)
	if len(want.Events) > 0 {
		h.checkHolds()
		h.checkLine()
	}
	h.tally.command(&cmd, want, h.model.passing-before.passing)
}

// Against the model.

func (h *history) compareOutcomes(cmd *Command, got, want Outcome) {
	if want.Status == Deadlock && got.Status == Deadlock {
		// Which of several shortest circles is named is not fixed.
		r := modelRequest{behindAll, cmd.UID, cmd.Keys, cmd.Exp, cmd.Note, 0}
		if err := h.model.checkCircle(r, got.Cycle); err != nil {
			h.t.Fatalf("no circle: %v: %v", got.Cycle, err)
		}
		if len(got.Cycle) != len(want.Cycle) {
			h.t.Fatalf("not a shortest circle: %v; the model has %v", got.Cycle, want.Cycle)
		}
		want.Cycle = got.Cycle
	}
	if got, want := plain(got), plain(want); !reflect.DeepEqual(got, want) {
		h.t.Fatalf("outcome\n fast: %+v\nmodel: %+v", got, want)
	}
}

func (h *history) compareState(table *Table) {
	if d := difference(table, h.model, h.keys); d != "" {
		h.t.Fatalf("state: %s", d)
	}
}

func (h *history) compareLists(table *Table) {
	if d := listDifference(table, h.model, h.keys, h.uids); d != "" {
		h.t.Fatalf("state: %s", d)
	}
}

// plain makes empty slices nil, so that outcomes can be compared.
func plain(out Outcome) Outcome {
	out.Tokens = orNil(out.Tokens)
	out.Lost = orNil(out.Lost)
	out.Freed = orNil(out.Freed)
	out.Blockers = orNil(out.Blockers)
	out.Cycle = orNil(out.Cycle)
	out.Events = orNil(out.Events)
	out.Grants = plainGrants(out.Grants)
	return out
}

func plainGrants(grants []Grant) []Grant {
	grants = slices.Clone(grants)
	for i, g := range grants {
		grants[i].Tokens = orNil(g.Tokens)
	}
	return orNil(grants)
}

func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// difference says where a fast table is not in the state of the model.
func difference(fast *Table, m *model, keys []string) string {
	if fast.Version() != m.counter || fast.Holds() != len(m.holds) || fast.Waiters() != len(m.line) {
		return fmt.Sprintf("version %d, %d holds, %d waiters; the model has version %d, %d holds, %d waiters",
			fast.Version(), fast.Holds(), fast.Waiters(), m.counter, len(m.holds), len(m.line))
	}
	for _, key := range keys {
		want := m.key(key)
		if got := plainKey(fast.Key(key)); !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("key %s\n fast: %+v\nmodel: %+v", key, got, want)
		}
		if fast.Held([]string{key}) != (len(want.Holds) > 0) {
			return fmt.Sprintf("Held(%s)", key)
		}
	}
	return ""
}

// listDifference is the same for the lists of all keys and of each owner's.
func listDifference(fast *Table, m *model, keys, uids []string) string {
	for _, uid := range append([]string{""}, uids...) {
		for _, waited := range []bool{false, true} {
			var want []KeyState
			for _, key := range keys {
				if state := m.key(key); state.concerns(uid) && (!waited || len(state.Waiters) > 0) {
					want = append(want, state)
				}
			}
			got, _ := fast.List("", uid, "", waited, len(keys)+1)
			for i := range got {
				got[i] = plainKey(got[i])
			}
			if !reflect.DeepEqual(orNil(got), want) {
				return fmt.Sprintf("list of %q, waited for: %v\n fast: %+v\nmodel: %+v", uid, waited, got, want)
			}
		}
	}
	return ""
}

func plainKey(state KeyState) KeyState {
	state.Holds = orNil(state.Holds)
	state.Waiters = orNil(state.Waiters)
	return state
}

// concerns says whether uid, or anybody if it is empty, holds the key or
// waits for it.
func (state *KeyState) concerns(uid string) bool {
	return slices.ContainsFunc(state.Holds, func(h holdfast.Hold) bool { return uid == "" || h.UID == uid }) ||
		slices.ContainsFunc(state.Waiters, func(w Waiter) bool { return uid == "" || w.UID == uid })
}

// Against the rules themselves.

// checkHolds: an exclusive hold shares with nobody, and nobody has two. A count
// of those who share is that of the holds.
func (h *history) checkHolds() {
	for _, key := range h.keys {
		holds := h.fast.Key(key).Holds
		owners := make(map[string]bool)
		for _, hold := range holds {
			owners[hold.UID] = true
			if hold.Mode == holdfast.Exclusive && len(holds) > 1 {
				h.t.Fatalf("%s shares an exclusive hold: %+v", hold.UID, holds)
			}
		}
		if len(owners) < len(holds) {
			h.t.Fatalf("an owner has two holds: %+v", holds)
		}
		sharing := 0
		for _, hold := range holds {
			if hold.Mode == holdfast.Shared {
				sharing++
			}
		}
		if n, kept := h.fast.sharing[key]; kept && (n == 0 || n != sharing) {
			h.t.Fatalf("the count of those who share %s is %d: %+v", key, n, holds)
		}
	}
}

// checkVersions: every grant that makes something new has one number of its
// own, greater than all before.
func (h *history) checkVersions(out *Outcome) {
	grant := func(tokens []holdfast.Token) {
		newest := slices.MaxFunc(tokens, func(a, b holdfast.Token) int { return cmp.Compare(a.Version, b.Version) }).Version
		for _, token := range tokens {
			if token.Version > h.version && token.Version != newest {
				h.t.Fatalf("two new versions in one grant: %v", tokens)
			}
		}
		h.version = max(h.version, newest)
	}
	if out.Status == Granted {
		grant(out.Tokens)
	}
	for _, g := range out.Grants {
		grant(g.Tokens)
	}
	for _, e := range out.Events {
		if e.Type == holdfast.EventGranted && e.Version > h.version {
			h.t.Fatalf("version %d was granted and not answered", e.Version)
		}
	}
}

// checkLine: nobody waits who may go, and nobody waits for ever. The latter
// is tried out: were everybody who does not wait to give back what they
// hold, again and again, all waiters would get in. Only a circle of holds
// can keep them out, and only a rash owner can be in one.
func (h *history) checkLine() {
	if i := slices.IndexFunc(h.model.line, h.model.grantable); i >= 0 {
		h.t.Fatalf("left in line though it may go: %+v", h.model.line[i])
	}
	rest := h.model.clone()
	for rest.giveBack() {
	}
	if len(rest.line) == 0 {
		return
	}
	stuck := rest.stuck()
	for _, w := range rest.line {
		if h.rash[w.uid] && rest.circle(w, stuck) != nil {
			h.tally.count("circle made by a rash owner")
			return
		}
	}
	h.t.Fatalf("nobody could ever let these in: %+v", rest.line)
}

// giveBack releases everything whose owner does not wait, and says whether
// there was any.
func (m *model) giveBack() bool {
	for _, hold := range m.holds {
		if len(m.requestsOf(hold.UID)) == 0 {
			m.apply(&Command{Op: Unlock, UID: hold.UID, Tokens: m.tokensOf(hold.UID)})
			return true
		}
	}
	return false
}

// noteRash marks the owners that may close a circle without asking for
// anything at that moment: those who asked while another request of theirs
// stood in line, and those whose hold ended while their request in line
// relied on it. They are rash until they wait for nothing, or hold nothing and
// have but one request.
func (h *history) noteRash(cmd *Command, want Outcome, before *model) {
	if cmd.Op == Lock && want.Status != Refused && want.Status != Deadlock && len(before.requestsOf(cmd.UID)) > 0 {
		h.rash[cmd.UID] = true
	}
	for _, w := range h.model.line {
		for _, ask := range w.asks {
			if before.covered(w.uid, ask) && !h.model.covered(w.uid, ask) {
				h.rash[w.uid] = true
			}
		}
	}
	maps.DeleteFunc(h.rash, func(uid string, _ bool) bool {
		holds := slices.ContainsFunc(h.model.holds, func(hold holdfast.Hold) bool { return hold.UID == uid })
		requests := len(h.model.requestsOf(uid))
		return requests == 0 || requests == 1 && !holds
	})
}

// remember keeps the latest grants, to take some of them back.
func (h *history) remember(got, want Outcome) {
	h.granted = append(h.granted, plainGrants(want.Grants)...)
	h.kept = append(h.kept, got.Grants...)
	tooMany := max(0, len(h.granted)-6)
	h.granted = h.granted[tooMany:]
	h.kept = h.kept[tooMany:]
	if !reflect.DeepEqual(plainGrants(h.kept), h.granted) {
		h.t.Fatalf("a grant changed after it was given\nthen: %+v\n now: %+v", h.granted, h.kept)
	}
}

// Snapshots.

// oldState is a snapshot that is written out while the table goes on, and
// the state that it must give.
type oldState struct {
	model   *model
	written chan struct{}
	bytes   bytes.Buffer
	err     error
}

// interrupt does, now and then, what must not change anything: it lists, and
// puts what a snapshot gives in the place of the table that it was taken of.
func (h *history) interrupt() {
	switch rapid.IntRange(0, 100).Draw(h.t, "snapshot") {
	case 70, 71, 72, 73, 74:
		h.compareLists(h.fast)
	case 80:
		h.fast = h.rebuilt(h.fast)
	case 81:
		h.twin = h.rebuilt(h.twin)
	case 82:
		h.dropOld()
		h.keepOld()
	case 83, 84:
		h.readOld()
	}
}

func (h *history) rebuilt(table *Table) *Table {
	h.t.Logf("snapshot")
	h.tally.count("snapshot")
	var written bytes.Buffer
	n, err := table.Snapshot().WriteTo(&written)
	if err != nil || n != int64(written.Len()) {
		h.t.Fatalf("snapshot of %d bytes said %d: %v", written.Len(), n, err)
	}
	again := h.read(&written)
	for _, t := range []*Table{table, again} {
		h.compareState(t)
		h.compareLists(t)
	}
	return again
}

func (h *history) read(from io.Reader) *Table {
	table, err := Read(from)
	if err != nil {
		h.t.Fatalf("cannot read a snapshot: %v", err)
	}
	return table
}

func (h *history) keepOld() {
	h.t.Logf("snapshot of now")
	old := &oldState{model: h.model.clone(), written: make(chan struct{})}
	snapshot := h.fast.Snapshot()
	go func() {
		defer close(old.written)
		_, old.err = snapshot.WriteTo(&old.bytes)
	}()
	h.old = old
}

func (h *history) readOld() {
	if h.old == nil {
		return
	}
	h.t.Logf("read the snapshot of then")
	h.tally.count("old snapshot")
	<-h.old.written
	if h.old.err != nil {
		h.t.Fatalf("cannot write a snapshot: %v", h.old.err)
	}
	if d := difference(h.read(&h.old.bytes), h.old.model, h.keys); d != "" {
		h.t.Fatalf("state of an older snapshot: %s", d)
	}
	h.old = nil
}

func (h *history) dropOld() {
	if h.old != nil {
		<-h.old.written
		h.old = nil
	}
}
