package table

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast"
)

// TestModel holds the model itself to a few histories that can be checked by
// eye. Everybody asks for keys a, b, …; a capital is a shared ask, a number
// behind it the limit.
func TestModel(t *testing.T) {
	tests := []struct{ rule, history string }{
		{"first come first", `
			ann asks a    | granted a1
			bob asks a    | in line 1
			cid asks Ab   | in line 2
			dan asks b    | in line 3
			ann gives a1  | bob granted a2
			bob gives a2  | cid granted A3 b3`},
		{"a limit counts who is ahead", `
			ann asks A2   | granted A1
			bob asks a    | in line 1
			cid asks A    | in line 2
			ann gives a1  | bob granted a2
			bob gives a2  | cid granted A3
			dan asks A2   | granted A4
			eve asks A2   | in line 3
			dan gives a4  | eve granted A5`},
		{"same uid, same hold", `
			ann asks A    | granted A1
			ann asks aB   | granted a2 B2
			ann asks Ab   | granted a2 b3`},
		{"upgrades close a circle", `
			ann asks A    | granted A1
			bob asks A    | granted A2
			ann asks a    | in line 1
			bob asks a    | deadlock bob:a ann:a
			bob gives a2  | ann granted a3`},
		{"a limit is no circle while somebody outside can go", `
			ann asks C2   | granted C1
			dan asks C2   | granted C2
			bob asks b    | granted b3
			bob asks C2   | in line 1
			ann asks b    | in line 2
			dan asks b    | deadlock dan:b bob:c
			dan gives c2  | bob granted C4`},
		{"who waits for me does not stand in my way", `
			ann asks a    | granted a1
			bob asks ab   | in line 1
			cid asks b    | in line 2
			ann asks b    | granted b2
			ann gives b2  | nothing
			ann gives a1  | bob granted a3 b3`},
		{"a limit that was covered keeps out once it is not", `
			eve asks B    | granted B1
			bob asks C    | granted C2
			dan asks C    | granted C3
			bob asks C1b  | in line 1
			dan asks B    | in line 2
			bob gives c2  | dan granted B4`},
		{"found again in line", `
			ann asks a    | granted a1
			bob asks aB2  | in line 1
			bob asks aB2  | in line 1
			bob asks B2a  | in line 2`},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			m := newModel(0)
			for line := range strings.Lines(strings.TrimSpace(test.history)) {
				said, want, _ := strings.Cut(line, "|")
				cmd := readCommand(said)
				out := m.apply(&cmd)
				if got := m.tell(out); got != strings.TrimSpace(want) {
					t.Fatalf("%s\n got: %s\nwant: %s", strings.TrimSpace(said), got, strings.TrimSpace(want))
				}
			}
		})
	}
}

// readCommand reads one line of a history of TestModel.
func readCommand(said string) Command {
	words := strings.Fields(said)
	cmd := Command{Op: Lock, UID: words[0], Exp: time.Second, Wait: true}
	for i, letter := range words[2] {
		key := strings.ToLower(string(letter))
		number := int(words[2][min(i+1, len(words[2])-1)]) - '0'
		switch {
		case letter <= '9':
		case words[1] == "gives":
			cmd.Op = Unlock
			cmd.Tokens = append(cmd.Tokens, holdfast.Token{Key: key, Version: uint64(number)})
		case key == string(letter):
			cmd.Keys = append(cmd.Keys, holdfast.Ask{Key: key})
		default:
			ask := holdfast.Ask{Key: key, Mode: holdfast.Shared}
			if number >= 0 && number <= 9 {
				ask.Limit = number
			}
			cmd.Keys = append(cmd.Keys, ask)
		}
	}
	return cmd
}

// tell gives an outcome in the words of a history of TestModel.
func (m *model) tell(out Outcome) string {
	var told []string
	tell := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	tellTokens := func(uid string, tokens []holdfast.Token) {
		for _, token := range tokens {
			key := token.Key
			if h := m.hold(uid, key); h.Mode == holdfast.Shared {
				key = strings.ToUpper(key)
			}
			tell("%s%d", key, token.Version)
		}
	}
	switch out.Status {
	case Granted:
		tell("granted")
		tellTokens(out.Events[0].UID, out.Tokens)
	case InLine:
		tell("in line %d", out.Place)
	case Deadlock:
		tell("deadlock")
		for _, link := range out.Cycle {
			tell("%s:%s", link.UID, link.Key)
		}
	}
	for _, g := range out.Grants {
		tell("%s granted", g.UID)
		tellTokens(g.UID, g.Tokens)
	}
	return cmp.Or(strings.Join(told, " "), "nothing")
}
