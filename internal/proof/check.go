package proof

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"holdfast"
)

// Verdict is what a check found.
type Verdict struct {
	Problems []string // none if the rules held

	history  []Op
	pictures []picture
}

type picture struct {
	model porcupine.Model
	info  porcupine.LinearizationInfo
}

// Check looks whether a history can have come about by the rules. For the
// order of the calls on each group of keys it takes at most so long; if that is
// not enough, that is a problem too.
func Check(history []Op, budget time.Duration) *Verdict {
	v := &Verdict{history: slices.Clone(history)}
	for i := range v.history {
		v.history[i].ID = i
	}
	v.Problems = direct(history)
	setFloors(v.history)
	for _, group := range groups(v.history) {
		v.checkOrder(group, budget)
	}
	return v
}

// Err gives the problems as one error; nil if there are none.
func (v *Verdict) Err() error {
	if len(v.Problems) == 0 {
		return nil
	}
	const most = 20
	shown := v.Problems[:min(most, len(v.Problems))]
	if more := len(v.Problems) - len(shown); more > 0 {
		shown = append(slices.Clone(shown), fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(shown, "\n"))
}

// Save writes what a person needs to look into a failure into a directory: the
// history, a call a line; the problems; and a picture of each group of keys for
// whose calls there is no order.
func (v *Verdict) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := SaveHistory(filepath.Join(dir, "history.jsonl"), v.history); err != nil {
		return err
	}
	problems := strings.Join(v.Problems, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "problems.txt"), []byte(problems), 0o644); err != nil {
		return err
	}
	for i, p := range v.pictures {
		if err := porcupine.VisualizePath(p.model, p.info, filepath.Join(dir, fmt.Sprintf("picture-%d.html", i+1))); err != nil {
			return err
		}
	}
	return nil
}

// SaveHistory writes a history, a call a line.
func SaveHistory(name string, history []Op) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(file)
	lines := json.NewEncoder(buffered)
	for _, op := range history {
		if err := lines.Encode(op); err != nil {
			return err
		}
	}
	return errors.Join(buffered.Flush(), file.Close())
}

// over is the end of the attempts of a request that was asked again on the way.
const over Outcome = "over"

// group is the calls on keys that have nothing to do with others.
type group struct {
	keys string
	ops  []*Op
}

// setFloors notes with each call what had been answered before it.
func setFloors(history []Op) {
	newest := newest(history)
	for i := range history {
		op := &history[i]
		if n := sort.Search(len(newest), func(i int) bool { return newest[i].at >= op.Call }); n > 0 {
			op.floor = newest[n-1].version
		}
	}
}

// groups parts a history by keys that are asked for together or by the same
// owner. What has no effect and shows nothing is left out.
func groups(history []Op) []group {
	of := sets{}
	for i := range history {
		op := &history[i]
		names := namesOf(op)
		for _, name := range names[1:] {
			of.join(names[0], name)
		}
	}
	byRoot := map[string]*group{}
	shared := map[owned]bool{} // what was shared at some time
	for i := range history {
		for j, token := range history[i].Held {
			if op := &history[i]; op.Kind == Lock && j < len(op.Asks) && op.Asks[j].Mode == holdfast.Shared {
				shared[owned{op.UID, token.Key}] = true
			}
		}
	}
	for i := range history {
		op := &history[i]
		shows := op.Outcome != Nothing && op.Kind != Write
		if op.Outcome == Open && op.Kind != Lock && op.Kind != Unlock {
			shows = false // an extension only makes lives longer
		}
		if !shows {
			continue
		}
		root := of.root(namesOf(op)[0])
		if byRoot[root] == nil {
			byRoot[root] = &group{}
		}
		if op.Again && op.Outcome != Open {
			// What an earlier attempt may have done, and that the answer is the last
			// word: then nothing is on the way any more.
			attempt, end := *op, *op
			attempt.Outcome = Open
			end.Outcome, end.Call = over, op.Return
			byRoot[root].ops = append(byRoot[root].ops, &attempt)
			if !op.Left && !upgrades(op, shared) {
				byRoot[root].ops = append(byRoot[root].ops, &end)
			}
		}
		byRoot[root].ops = append(byRoot[root].ops, op)
	}
	var all []group
	for _, g := range byRoot {
		g.keys = keysOf(g.ops)
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b group) int { return cmp.Compare(a.keys, b.keys) })
	return all
}

// upgrades says whether a request may have been an upgrade. One of an earlier
// attempt can outlive a refusal, when another key that was granted with it has run
// out before its owner came back: it lives for as long as what it replaced.
func upgrades(op *Op, shared map[owned]bool) bool {
	return op.Outcome != Done && slices.ContainsFunc(op.Asks, func(ask holdfast.Ask) bool {
		return ask.Mode == holdfast.Exclusive && shared[owned{op.UID, ask.Key}]
	})
}

// namesOf gives the keys and owners that a call is about.
func namesOf(op *Op) []string {
	var names []string
	if op.UID != "" {
		names = append(names, "uid "+op.UID)
	}
	for _, ask := range op.Asks {
		names = append(names, "key "+ask.Key)
	}
	for _, token := range op.Tokens {
		names = append(names, "key "+token.Key)
	}
	for _, key := range op.Keys {
		names = append(names, "key "+key)
	}
	return names
}

func keysOf(ops []*Op) string {
	var keys []string
	for _, op := range ops {
		for _, name := range namesOf(op) {
			if key, ok := strings.CutPrefix(name, "key "); ok {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return strings.Join(slices.Compact(keys), ", ")
}

// sets are names that belong together.
type sets map[string]string

func (s sets) root(name string) string {
	for {
		up, ok := s[name]
		if !ok {
			return name
		}
		name = up
	}
}

func (s sets) join(a, b string) {
	if a, b = s.root(a), s.root(b); a != b {
		s[b] = a
	}
}

// checkOrder looks for an order of the calls of a group by the rules.
func (v *Verdict) checkOrder(g group, budget time.Duration) {
	m := model()
	result := porcupine.CheckOperationsTimeout(m, operations(g.ops), budget)
	switch result {
	case porcupine.Unknown:
		v.Problems = append(v.Problems, fmt.Sprintf("keys %s: within %v no order of the %d calls was found, nor that there is none",
			g.keys, budget, len(g.ops)))
	case porcupine.Illegal:
		last := firstImpossible(m, g.ops, budget)
		v.Problems = append(v.Problems, fmt.Sprintf("keys %s: by the rules no order of the calls gives this answer: %s", g.keys, last))
	}
	if result != porcupine.Ok {
		_, info := porcupine.CheckOperationsVerbose(m, operations(g.ops), min(budget, 10*time.Second))
		v.pictures = append(v.pictures, picture{m, info})
	}
}

// firstImpossible gives the first answer with which no order is left.
func firstImpossible(m porcupine.Model, ops []*Op, budget time.Duration) *Op {
	var answered []*Op
	for _, op := range ops {
		if op.Outcome != Open && op.Outcome != over {
			answered = append(answered, op)
		}
	}
	slices.SortFunc(answered, func(a, b *Op) int { return cmp.Compare(a.Return, b.Return) })
	i := sort.Search(len(answered), func(i int) bool {
		return porcupine.CheckOperationsTimeout(m, operations(upTo(ops, answered[i].Return)), budget) == porcupine.Illegal
	})
	return answered[min(i, len(answered)-1)]
}

// upTo is a history as it was known at a moment.
func upTo(ops []*Op, moment int64) []*Op {
	var known []*Op
	for _, op := range ops {
		switch {
		case op.Call > moment:
		case op.Outcome == Open || op.Return <= moment:
			known = append(known, op)
		case op.Kind == Lock || op.Kind == Unlock:
			open := *op
			open.Outcome, open.Held, open.Blockers, open.Cycle = Open, nil, nil, nil
			known = append(known, &open)
		}
	}
	return known
}

// operations are the calls as porcupine wants them. An open one is put at the
// moment of its call: all that it may do from then on the model keeps in mind.
func operations(ops []*Op) []porcupine.Operation {
	clients := map[string]int{}
	all := make([]porcupine.Operation, len(ops))
	for i, op := range ops {
		placed := *op
		if op.Outcome == Open {
			placed.Return = op.Call
		}
		client, ok := clients[op.Client]
		if !ok {
			client = len(clients)
			clients[op.Client] = client
		}
		all[i] = porcupine.Operation{ClientId: client, Input: &placed, Call: placed.Call, Output: nil, Return: placed.Return}
	}
	return all
}

// model is the rules as porcupine wants them.
func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return &state{} },
		Step: func(s, input, _ any) (bool, any) {
			next, wrong := s.(*state).take(input.(*Op))
			return wrong == "", next
		},
		Equal:             func(a, b any) bool { return a.(*state).equal(b.(*state)) },
		Hash:              func(s any) uint64 { return s.(*state).hash() },
		DescribeOperation: func(input, _ any) string { return input.(*Op).String() },
		DescribeState:     func(s any) string { return s.(*state).String() },
	}
}

// String is the call and its answer in one line.
func (op *Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", op.Client, op.Kind)
	if op.UID != "" {
		fmt.Fprintf(&b, " %s", op.UID)
	}
	for _, ask := range op.Asks {
		fmt.Fprintf(&b, " %s", ask.Key)
		if ask.Mode == holdfast.Shared {
			fmt.Fprintf(&b, "(shared")
			if ask.Limit > 0 {
				fmt.Fprintf(&b, " %d", ask.Limit)
			}
			b.WriteByte(')')
		}
	}
	writeTokens(&b, op.Tokens)
	for _, key := range op.Keys {
		fmt.Fprintf(&b, " %s", key)
	}
	if op.Exp > 0 {
		fmt.Fprintf(&b, " exp %d", op.Exp)
	}
	if op.Wait > 0 {
		fmt.Fprintf(&b, " wait %d", op.Wait)
	}
	fmt.Fprintf(&b, " -> %s", op.Outcome)
	writeTokens(&b, op.Held)
	if len(op.Lost) > 0 {
		b.WriteString(" lost")
		writeTokens(&b, op.Lost)
	}
	if op.Kind == Look {
		fmt.Fprintf(&b, " %v", op.Is)
	}
	for _, blocker := range op.Blockers {
		if blocker.Waiting {
			fmt.Fprintf(&b, " %s waits for %s", blocker.UID, blocker.Key)
		} else {
			fmt.Fprintf(&b, " %s holds %s=%d", blocker.UID, blocker.Key, blocker.Version)
		}
	}
	for _, link := range op.Cycle {
		fmt.Fprintf(&b, " %s waits for %s;", link.UID, link.Key)
	}
	for _, holder := range op.Holders {
		fmt.Fprintf(&b, " %s=%d", holder.UID, holder.Version)
	}
	for _, waiter := range op.Waiters {
		fmt.Fprintf(&b, " +%s", waiter.UID)
	}
	fmt.Fprintf(&b, " [%.3f ms to %.3f ms]", float64(op.Call)/1e6, float64(op.Return)/1e6)
	return b.String()
}

func writeTokens(b *strings.Builder, tokens []holdfast.Token) {
	for _, token := range tokens {
		fmt.Fprintf(b, " %s=%d", token.Key, token.Version)
	}
}

// String lists the holds.
func (s *state) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.3f ms:", float64(s.now)/1e6)
	for i := range s.holds {
		h := &s.holds[i]
		fmt.Fprintf(&b, " %s=%d %s %s to %.3f", h.key, h.version, h.uid, h.mode, float64(h.end)/1e6)
		if h.loose() {
			b.WriteByte('?')
		}
	}
	return b.String()
}
