package proof

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast"
)

// The checker itself: the files in testdata are histories as people write
// them, each under a line "== title" and with "good", or "bad" and a part of
// what the checker must say, behind it. A call is a line:
//
//	CALL-RETURN UID KIND ARGUMENTS -> ANSWER
//
// with times in ms. See parseOp for the arguments and answers of each kind.
func TestHistories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		for _, c := range readCases(t, name) {
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txt")+"/"+c.title, func(t *testing.T) {
				v := Check(c.history, time.Minute)
				switch err := v.Err(); {
				case c.want == "" && err != nil:
					t.Fatalf("a good history is rejected:\n%v", err)
				case c.want != "" && err == nil:
					t.Fatal("a bad history is accepted")
				case c.want != "" && !slices.ContainsFunc(strings.Split(c.want, "|"), func(w string) bool { return strings.Contains(err.Error(), w) }):
					t.Fatalf("rejected, but not since %q:\n%v", c.want, err)
				}
			})
		}
	}
}

type testCase struct {
	title, want string
	history     []Op
}

func readCases(t *testing.T, name string) []testCase {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var cases []testCase
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		title, isTitle := strings.CutPrefix(line, "== ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case isTitle:
			cases = append(cases, testCase{title: title})
		case line == "good":
		case strings.HasPrefix(line, "bad: "):
			cases[len(cases)-1].want = strings.TrimPrefix(line, "bad: ")
		default:
			c := &cases[len(cases)-1]
			op, err := parseOp(line)
			if err != nil {
				t.Fatalf("%s: %q: %v", name, line, err)
			}
			op.ID = len(c.history)
			c.history = append(c.history, op)
		}
	}
	return cases
}

// parseOp reads
//
//	0-1 a lock x y:shared z:shared:2 exp=100 wait=50 [again [left]] -> x=1 y=1 z=1
//	                                                 -> locked b:x=7 c:y=8:shared c:z+
//	                                                 -> deadlock a:x b:y
//	                                                 -> open, or nothing
//	0-1 a unlock x=1 y=1 -> x=1
//	0-1 a extend x=1 y=1 exp=100 -> x=1 lost y=1
//	0-1 a extend all exp=100 -> x=1
//	0-1 - check x y -> true
//	0-1 - get x -> a=1 b=2:shared +c +d
//	0-1 a write x=1 -> 17, or stale
func parseOp(line string) (Op, error) {
	call, answer, ok := strings.Cut(line, " -> ")
	words := strings.Fields(call)
	if !ok || len(words) < 4 {
		return Op{}, fmt.Errorf("not a call and an answer")
	}
	op := Op{Client: words[1], Kind: Kind(words[2]), Outcome: Done}
	var from, to float64
	if _, err := fmt.Sscanf(words[0], "%g-%g", &from, &to); err != nil {
		return op, err
	}
	op.Call, op.Return = int64(from*1e6), int64(to*1e6)
	if words[1] != "-" {
		op.UID = words[1]
	}
	for _, word := range words[3:] {
		if err := op.parseArgument(word); err != nil {
			return op, err
		}
	}
	return op, op.parseAnswer(strings.Fields(answer))
}

func (op *Op) parseArgument(word string) error {
	name, value, isSet := strings.Cut(word, "=")
	var n int64
	if isSet {
		var err error
		if n, err = strconv.ParseInt(value, 10, 64); err != nil {
			return err
		}
	}
	switch {
	case name == "exp":
		op.Exp = n
	case name == "wait":
		op.Wait = n
	case isSet:
		op.Tokens = append(op.Tokens, holdfast.Token{Key: name, Version: uint64(n)})
	case op.Kind == Lock && word == "again":
		op.Again = true
	case op.Kind == Lock && word == "left":
		op.Left = true
	case op.Kind == Extend && word == "all":
		op.All = true
	case op.Kind == Lock:
		parts := strings.Split(word, ":")
		ask := holdfast.Ask{Key: parts[0]}
		if len(parts) > 1 {
			ask.Mode = holdfast.Shared
		}
		if len(parts) > 2 {
			ask.Limit, _ = strconv.Atoi(parts[2])
		}
		op.Asks = append(op.Asks, ask)
	default:
		op.Keys = append(op.Keys, word)
	}
	return nil
}

func (op *Op) parseAnswer(words []string) error {
	lost := false
	for _, word := range words {
		uid, rest, isOwned := strings.Cut(word, ":")
		name, value, isToken := strings.Cut(word, "=")
		version, shared := strings.CutSuffix(value, ":shared")
		n, _ := strconv.ParseUint(version, 10, 64)
		mode := holdfast.Exclusive
		if shared {
			mode = holdfast.Shared
		}
		switch {
		case word == "open" || word == "locked" || word == "deadlock" || word == "nothing" || word == "stale":
			op.Outcome = Outcome(word)
		case word == "done":
		case word == "lost":
			lost = true
		case word == "true" || word == "false":
			op.Is = word == "true"
		case op.Kind == Write:
			op.Sequence, _ = strconv.ParseInt(word, 10, 64)
		case op.Outcome == Deadlock:
			op.Cycle = append(op.Cycle, holdfast.Link{UID: uid, Key: rest})
		case op.Outcome == Locked && strings.HasSuffix(rest, "+"):
			op.Blockers = append(op.Blockers, holdfast.Blocker{UID: uid, Key: strings.TrimSuffix(rest, "+"), Waiting: true})
		case op.Outcome == Locked && isOwned && isToken:
			op.Blockers = append(op.Blockers, holdfast.Blocker{UID: uid, Key: strings.TrimPrefix(name, uid+":"), Version: n, Mode: mode})
		case op.Kind == Get && strings.HasPrefix(word, "+"):
			op.Waiters = append(op.Waiters, holdfast.Waiter{UID: word[1:]})
		case op.Kind == Get && isToken:
			op.Holders = append(op.Holders, holdfast.Holder{UID: name, Version: n, Mode: mode})
		case isToken && lost:
			op.Lost = append(op.Lost, holdfast.Token{Key: name, Version: n})
		case isToken:
			op.Held = append(op.Held, holdfast.Token{Key: name, Version: n})
		default:
			return fmt.Errorf("an answer that cannot be read: %q", word)
		}
	}
	return nil
}

var saved = flag.String("history", "", "a history that a failure has left, to be checked once more")

// TestSavedHistory checks what a failure has left behind once more:
//
//	go test ./internal/proof -run SavedHistory -history DIR/history.jsonl
func TestSavedHistory(t *testing.T) {
	if *saved == "" { // what was saved is what was checked
		*saved = filepath.Join(t.TempDir(), "history.jsonl")
		if err := SaveHistory(*saved, readCases(t, "testdata/locks.txt")[0].history); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(*saved)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	history := ReadStream(file)
	began := time.Now()
	v := Check(history, 2*time.Minute)
	t.Logf("%d calls, checked in %v", len(history), time.Since(began))
	if err := v.Err(); err != nil {
		t.Error(err)
		t.Log(v.Save(filepath.Dir(*saved)))
	}
}

// A check that does not come to an end is no proof.
func TestNoVerdictIsNoPass(t *testing.T) {
	var history []Op
	for i := range int64(3000) {
		history = append(history, Op{Client: "c", Kind: Look, Keys: []string{"x"}, Outcome: Done, Call: 0, Return: i})
	}
	if err := Check(history, time.Nanosecond).Err(); err == nil || !strings.Contains(err.Error(), "within 1ns no order") {
		t.Fatal(err)
	}
	if err := Check(history, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
}

// What a failure leaves behind: all that is needed to look into it.
func TestAFailureIsSaved(t *testing.T) {
	bad := readCases(t, "testdata/locks.txt")[1]
	v := Check(bad.history, time.Minute)
	dir := filepath.Join(t.TempDir(), "new")
	if err := v.Save(dir); err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]string{
		"history.jsonl": `"kind":"lock"`, "problems.txt": "no order", "picture-1.html": "b lock b x exp 1000",
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), part) {
			t.Errorf("%s: %v: without %q", name, err, part)
		}
	}
	file, err := os.Open(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if again := ReadStream(file); Check(again, time.Minute).Err() == nil {
		t.Error("what was saved is not what was rejected")
	}
}

// Some answers are wrong whatever else has happened.
func TestAnAnswerThatIsNoneIsAProblem(t *testing.T) {
	op := Op{Client: "a", Kind: Unlock, UID: "a", Tokens: []holdfast.Token{{Key: "x", Version: 1}}, Error: "unlocked what was not asked", Outcome: Done}
	if err := Check([]Op{op}, time.Minute).Err(); err == nil || !strings.Contains(err.Error(), op.Error) {
		t.Errorf("found: %v", err)
	}
	op.Outcome = Open // no answer at all
	if err := Check([]Op{op}, time.Minute).Err(); err != nil {
		t.Error(err)
	}
}

// What a person reads of a failure: the first problems, and how many others
// there are; and each call whole.
func TestProblemsAreTold(t *testing.T) {
	for _, n := range []int{1, 20, 21} {
		v := Verdict{Problems: make([]string, n)}
		lines := strings.Split(v.Err().Error(), "\n")
		if len(lines) != n || (lines[n-1] == "and 1 more") != (n == 21) {
			t.Errorf("%d problems are told as %q", n, lines)
		}
	}
	ms := int64(time.Millisecond)
	pool := []holdfast.Ask{{Key: "x"}, {Key: "y", Mode: holdfast.Shared}, {Key: "z", Mode: holdfast.Shared, Limit: 2}}
	tokens := []holdfast.Token{{Key: "x", Version: 7}}
	for want, op := range map[string]Op{
		"c lock a x y(shared) z(shared 2) exp 10 wait 5 -> locked b holds x=7 d waits for y [1.000 ms to 2.500 ms]": {
			Kind: Lock, UID: "a", Asks: pool, Exp: 10, Wait: 5, Call: ms, Return: 5 * ms / 2, Outcome: Locked,
			Blockers: []holdfast.Blocker{{UID: "b", Key: "x", Version: 7}, {UID: "d", Key: "y", Waiting: true}},
		},
		"c lock a x -> deadlock a waits for x; b waits for y; [0.000 ms to 0.000 ms]": {
			Kind: Lock, UID: "a", Asks: pool[:1], Outcome: Deadlock, Cycle: []holdfast.Link{{UID: "a", Key: "x"}, {UID: "b", Key: "y"}},
		},
		"c extend a x=7 -> done x=7 lost x=7 [0.000 ms to 0.000 ms]": {Kind: Extend, UID: "a", Tokens: tokens, Held: tokens, Lost: tokens, Outcome: Done},
		"c check x y -> done true [0.000 ms to 0.000 ms]":            {Kind: Look, Keys: []string{"x", "y"}, Is: true, Outcome: Done},
		"c get x -> done a=7 +b [0.000 ms to 0.000 ms]": {
			Kind: Get, Keys: []string{"x"}, Outcome: Done, Holders: []holdfast.Holder{{UID: "a", Version: 7}}, Waiters: []holdfast.Waiter{{UID: "b"}},
		},
	} {
		op.Client = "c"
		if got := op.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestNewerThanAll(t *testing.T) {
	history := []Op{{Kind: Lock, Outcome: Done, Held: []holdfast.Token{{Key: "x", Version: 4}, {Key: "y", Version: 5}}}, {Kind: Look}}
	for version, newer := range map[uint64]bool{3: false, 4: false, 5: false, 6: true} {
		if err := NewerThanAll(history, version); (err == nil) != newer {
			t.Errorf("version %d: %v", version, err)
		}
	}
}
