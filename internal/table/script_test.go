package table

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"holdfast"
)

// TestRules runs the scripts in testdata: one file a rule, each a list of
// commands and the whole outcome of each. They are written to be read.
//
//	lock UID KEY[:MODE] … [wait] [exp=MS] [note=TEXT]   MODE is s, or s3 with a limit of 3
//	     … holds=N uid-holds=N uid-waiters=N key-waiters=N
//	unlock UID KEY@VERSION …
//	extend UID [KEY@VERSION …] [exp=MS]
//	cancel PLACE [ago=N]            decided N commands ago
//	take-back UID KEY@VERSION … [ago=N]
//	expire UID KEY@VERSION [ago=N]
//	force KEY REASON
//	raise VERSION
//	list [prefix=] [uid=] [after=] [limit=]
//	state                           all keys, holds and lines
//	reload                          goes on with a table read from a snapshot
//	new                             an empty table
//	events                          what the last command reported
func TestRules(t *testing.T) {
	datadriven.Walk(t, "testdata/rules", func(t *testing.T, path string) {
		s := &script{table: New(0)}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			return s.run(d)
		})
	})
}

type script struct {
	t      *testing.T
	table  *Table
	events []holdfast.Event
}

func (s *script) run(d *datadriven.TestData) string {
	words := make([]string, 0, len(d.CmdArgs))
	for _, arg := range d.CmdArgs {
		if len(arg.Vals) == 0 {
			words = append(words, arg.Key)
		}
	}
	option := func(name string) string {
		for _, arg := range d.CmdArgs {
			if arg.Key == name && len(arg.Vals) == 1 {
				return arg.Vals[0]
			}
		}
		return ""
	}
	exp := time.Second
	if ms := option("exp"); ms != "" {
		exp = time.Duration(s.number(ms)) * time.Millisecond
	}
	seen := s.table.Applied()
	if ago := option("ago"); ago != "" {
		seen -= s.number(ago)
	}
	switch d.Cmd {
	case "lock":
		cmd := Command{Op: Lock, UID: words[0], Exp: exp, Note: option("note")}
		for name, limit := range map[string]*int{
			"holds": &cmd.Limits.Holds, "uid-holds": &cmd.Limits.HoldsOfUID,
			"uid-waiters": &cmd.Limits.WaitersOfUID, "key-waiters": &cmd.Limits.WaitersOfKey,
		} {
			if option(name) != "" {
				*limit = int(s.number(option(name)))
			}
		}
		for _, word := range words[1:] {
			if word == "wait" {
				cmd.Wait = true
			} else {
				cmd.Keys = append(cmd.Keys, s.ask(word))
			}
		}
		return s.apply(&cmd)
	case "unlock":
		return s.apply(&Command{Op: Unlock, UID: words[0], Tokens: s.tokens(words[1:])})
	case "extend":
		return s.apply(&Command{Op: Extend, UID: words[0], Tokens: s.tokens(words[1:]), Exp: exp})
	case "cancel":
		return s.apply(&Command{Op: Cancel, Place: s.number(words[0]), Seen: seen})
	case "take-back":
		return s.apply(&Command{Op: TakeBack, UID: words[0], Tokens: s.tokens(words[1:]), Seen: seen})
	case "expire":
		return s.apply(&Command{Op: Expire, Ended: []Owned{{UID: words[0], Token: s.tokens(words[1:])[0]}}, Seen: seen})
	case "force":
		return s.apply(&Command{Op: Force, Key: words[0], Reason: words[1]})
	case "raise":
		return s.apply(&Command{Op: Raise, Floor: s.number(words[0])})
	case "list":
		limit := 100
		if option("limit") != "" {
			limit = int(s.number(option("limit")))
		}
		page, more := s.table.List(option("prefix"), option("uid"), option("after"), option("waited") != "", limit)
		return show(page, more)
	case "state":
		page, _ := s.table.List("", "", "", false, 1000)
		return show(page, false) + fmt.Sprintf("version %d, %d holds, %d in line\n", s.table.Version(), s.table.Holds(), s.table.Waiters())
	case "reload":
		var b bytes.Buffer
		if _, err := s.table.Snapshot().WriteTo(&b); err != nil {
			s.t.Fatal(err)
		}
		table, err := Read(&b)
		if err != nil {
			s.t.Fatal(err)
		}
		s.table = table
		return ""
	case "new":
		s.table = New(0)
		return ""
	case "events":
		var b strings.Builder
		for _, e := range s.events {
			fmt.Fprintf(&b, "%s %s %s %s\n", e.Type, e.UID, e.Key, strings.TrimSpace(fmt.Sprintf("%s %s", facts(e.Mode, e.Limit, e.Version, e.Exp, e.Note), e.Reason)))
		}
		return b.String()
	}
	s.t.Fatalf("%s: no such command", d.Cmd)
	return ""
}

func (s *script) number(word string) uint64 {
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *script) ask(word string) holdfast.Ask {
	key, mode, _ := strings.Cut(word, ":")
	ask := holdfast.Ask{Key: key}
	if limit, shared := strings.CutPrefix(mode, "s"); shared {
		ask.Mode = holdfast.Shared
		if limit != "" {
			ask.Limit = int(s.number(limit))
		}
	}
	return ask
}

func (s *script) tokens(words []string) []holdfast.Token {
	var tokens []holdfast.Token
	for _, word := range words {
		key, version, _ := strings.Cut(word, "@")
		tokens = append(tokens, holdfast.Token{Key: key, Version: s.number(version)})
	}
	return tokens
}

// apply shows the whole outcome but the events.
func (s *script) apply(cmd *Command) string {
	out := s.table.Apply(cmd)
	s.events = append(s.events[:0], out.Events...)
	var b strings.Builder
	switch {
	case out.Status == Granted:
		fmt.Fprintf(&b, "granted%s\n", list(out.Tokens))
	case out.Status == InLine:
		fmt.Fprintf(&b, "in line, place %d\n", out.Place)
	case out.Status == Refused && out.Place != 0:
		fmt.Fprintf(&b, "locked, and in line, place %d\n", out.Place)
	case out.Status == Refused:
		b.WriteString("locked\n")
	case out.Status == Deadlock:
		b.WriteString("deadlock\n")
		for _, link := range out.Cycle {
			fmt.Fprintf(&b, "  %s waits for %s\n", link.UID, link.Key)
		}
	case out.Status == Limited:
		fmt.Fprintf(&b, "over the limit of %s\n", out.OverLimit)
	case cmd.Op == Extend:
		fmt.Fprintf(&b, "extended%s, lost%s\n", list(out.Tokens), list(out.Lost))
	case cmd.Op == Force:
		b.WriteString("freed")
		for _, f := range out.Freed {
			fmt.Fprintf(&b, " %s@%d of %s", f.Key, f.Version, f.UID)
		}
		b.WriteString("\n")
	case cmd.Op == Unlock, cmd.Op == Expire, cmd.Op == TakeBack:
		fmt.Fprintf(&b, "ended%s\n", list(out.Tokens))
	default:
		b.WriteString("done\n")
	}
	for _, blocker := range out.Blockers {
		how := "holds"
		if blocker.Waiting {
			how = "waits for"
		}
		fmt.Fprintf(&b, "  %s %s %s %s\n", blocker.UID, how, blocker.Key, facts(blocker.Mode, 0, blocker.Version, 0, blocker.Note))
	}
	for _, grant := range out.Grants {
		fmt.Fprintf(&b, "then place %d, %s:%s\n", grant.Place, grant.UID, list(grant.Tokens))
	}
	return b.String()
}

func list(tokens []holdfast.Token) string {
	var b strings.Builder
	for _, token := range tokens {
		fmt.Fprintf(&b, " %s@%d", token.Key, token.Version)
	}
	if len(tokens) == 0 {
		return " nothing"
	}
	return b.String()
}

func facts(mode holdfast.Mode, limit int, version uint64, exp time.Duration, note string) string {
	s := mode.String()
	if limit > 0 {
		s += fmt.Sprintf(" limit %d", limit)
	}
	if version > 0 {
		s += fmt.Sprintf(" @%d", version)
	}
	if exp > 0 {
		s += fmt.Sprintf(" exp %d", exp.Milliseconds())
	}
	if note != "" {
		s += fmt.Sprintf(" %q", note)
	}
	return s
}

func show(page []KeyState, more bool) string {
	var b strings.Builder
	for _, state := range page {
		fmt.Fprintf(&b, "%s\n", state.Key)
		for _, h := range state.Holds {
			fmt.Fprintf(&b, "  held by %s %s\n", h.UID, facts(h.Mode, h.Limit, h.Version, h.Exp, h.Note))
		}
		for _, w := range state.Waiters {
			fmt.Fprintf(&b, "  place %d %s %s\n", w.Place, w.UID, facts(w.Mode, w.Limit, 0, 0, w.Note))
		}
	}
	if more {
		b.WriteString("and more\n")
	}
	return b.String()
}
