package main

import (
	"strings"
	"testing"
)

// TestPageFaults has pages that the test of the book must not let pass.
func TestPageFaults(t *testing.T) {
	for _, c := range []struct{ name, text, fault string }{
		{"a command", "```text\nholdfast ls\n```\n", "looks like a command"},
		{"a command among others", "```text\n# as root\nPORT=1 bin/holdfast serve\n```\n", "looks like a command"},
		{"a fenced command", "```\ncurl localhost:3000/ping\n```\n", "neither commands nor text"},
		{"an indented command", "    holdfast ls\n", "neither commands nor text"},
		{"an answer first", "    pong\n    $ curl localhost:3000/ping\n", "an answer without a command"},
		{"another language", "```python\nprint(1)\n```\n", "nothing runs blocks"},
		{"a file that is none", "<!-- file: x -->\n\nText.\n", "1: no block follows"},
		{"a file at the end", "Text.\n\n<!-- file: x -->\n", "3: no block follows"},
		{"no end", "<!-- run: a\n", "1: a comment without an end"},
		{"a usage with a reason", "<!-- usage: so -->\n\n    holdfast ls\n", "1: usage what?"},
		{"a file without a name", "<!-- file -->\n\n    holdfast ls\n", "1: file what?"},
		{"a file", "<!-- file: x -->\n\n```js\nholdfast ls\n```\n", ""},
		{"nothing is longer", "<!-- shorter: 1s for 2s -->\n\n    $ sleep 3s\n", "names nothing"},
		{"shorter than what", "<!-- shorter: 1s -->\n\n    $ sleep 3s\n", "names nothing"},
		{"a usage", "<!-- usage -->\n\n    holdfast ls\n", ""},
		{"a command that is run", "    $ holdfast ls\n", ""},
		{"no command", "```text\na picture\n```\n", ""},
		{"a stream", "    → {}\n    ← {}\n", ""},
	} {
		p, err := parsePage(c.text)
		fault := ""
		if err != nil {
			fault = err.Error()
		} else {
			for _, b := range p.blocks {
				fault += b.fault()
			}
		}
		if c.fault == "" && fault != "" || !strings.Contains(fault, c.fault) {
			t.Errorf("%s: got %q, not %q", c.name, fault, c.fault)
		}
	}
}

// TestSteps takes commands and answers apart.
func TestSteps(t *testing.T) {
	p, err := parsePage("# Title\n\n<!-- run: holdfast serve -->\n\n    $ one\n    > more\n    said\n\n    again\n    $ two\n\nText.\n<!-- in another terminal -->\n\n    $ three\n\n<!-- shorter: 2s for 1h -->\n\n    $ sleep 1h\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []step
	for _, b := range p.blocks {
		got = append(got, b.steps()...)
	}
	want := []step{
		{line: 3, command: "holdfast serve", terminal: true},
		{line: 5, command: "one\nmore", answer: "said\n\nagain"},
		{line: 10, command: "two"},
		{line: 15, command: "three", terminal: true},
		{line: 19, command: "sleep 2s"},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, not %+v", got[i], want[i])
		}
	}
}

// TestAnswers compares answers that are and are not what a page says, one
// after the other.
func TestAnswers(t *testing.T) {
	a := answers{versions: map[string]string{}}
	for _, c := range []struct {
		page, got string
		same      bool
	}{
		{"pong", "pong", true},
		{"pong", "pong!", false},
		{"", "something", false},
		{`{"version":1795398381566575}`, `{"version":1800000000000000}`, true},
		{`{"version":1795398381566575}`, `{"version":1800000000000001}`, false}, // it means another one by now
		{`{"version":1795398381566576}`, `{"version":1800000000000000}`, false}, // not another one
		{`{"version":1795398381566576}`, `{"version":1799999999999999}`, false}, // not a larger one
		{`{"version":1795398381566576}`, `{"version":1800000000000001}`, true},
		{`{"exp":59992}`, `{"exp":59001}`, true},
		{`{"exp":59992}`, `{"exp":60001}`, false},
		{`{"held":12}`, `{"held":2000}`, true},
		{`{"holds":12}`, `{"holds":13}`, false},
		{"since 2026-03-01 02:00:04 (12m9s ago)", "since 2030-12-24 18:00:00 (7ms ago)", true},
		{"since 2026-03-01 02:00:04 (12m9s ago)", "since yesterday (7ms ago)", false},
		{"for 10m0s", "for 1m0s", false},
		{"KEY    LEFT  UID\na      9.8s  me", "KEY  LEFT   UID\na    10m0s  me", true},
		{"KEY    LEFT  UID\na      9.8s  me", "KEY  LEFT   UID\na    10m0s  you", false},
		{"b  follower  0    x", "b  follower  12   x", true},
		{"b  follower  0    x", "b  leader    0    x", false},
		{"a … c", "a b c", true},
		{"a … c", "a\nc", false},
		{"a\n…", "a", true},
		{"a\n\n…\nb", "a\nx\ny\nb", true},
		{"a\n…", "ab", false},
		{"  lock  0.856  7.045", "    lock  10.001  17.000", true},
		{"  lock  0.856  7.045", "  lock  0.856  -", false},
		{"smallest 2336, mean 2349.4", "smallest 1, mean 3", true},
		{"pairs/s: 30072", "pairs/s: none", false},
		{"hf_…", "hf_a-b_C9", true},
		{"bold", "\x1b[1mbold\x1b[0m\r", true},
	} {
		if err := a.compare(c.page, c.got); (err == nil) != c.same {
			t.Errorf("%q and %q: %v", c.page, c.got, err)
		}
	}
	for _, command := range []string{"script/bench.sh 1s", "go test | script/figures.sh ratio"} {
		for page, same := range map[string]bool{"a/64     0.93      120 (0.99)": true, "a/65     0.93      120 (0.99)": false, "a/64     0.93        -": false} {
			if got := measured(command, "a/64    10.50       20 (1.00)"); (a.compare(measured(command, page), got) == nil) != same {
				t.Errorf("%q and %q", page, got)
			}
		}
	}
	if got := measured("ls", "4 5"); got != "4 5" {
		t.Errorf("got %s", got)
	}
	if got := a.command("as hf_…, please"); got != "as hf_a-b_C9, please" {
		t.Errorf("got %s", got)
	}
	if got := a.command("unlock a@1795398381566576 b@1111111111111111"); got != "unlock a@1800000000000001 b@1111111111111111" {
		t.Errorf("got %s", got)
	}
}
