package raftstore

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
)

var kills = flag.Int("kills", 10, "how often to kill a process that works")

const crashDir = "HOLDFAST_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		workUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// workUntilKilled locks and unlocks, and says each step on stdout: "lock" once
// a lock was answered, "unlocking" before an unlock is asked, "unlocked" once
// it was answered.
func workUntilKilled(dir string) {
	s, err := Open(context.Background(), Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var out sync.Mutex
	say := func(what, uid string, version uint64) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(what, uid, version)
	}
	for i := range 16 {
		go func() {
			uid := fmt.Sprintf("worker-%d", i)
			for n := 0; ; n++ {
				req := holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(uid), Exp: time.Hour}
				grant, err := s.Lock(context.Background(), req)
				if err != nil {
					panic(err)
				}
				say("lock", uid, grant.Tokens[0].Version)
				if n%8 == 7 {
					s.raft.Snapshot()
				}
				say("unlocking", uid, grant.Tokens[0].Version)
				if _, err := s.Unlock(context.Background(), holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens}); err != nil {
					panic(err)
				}
				say("unlocked", uid, grant.Tokens[0].Version)
			}
		}()
	}
	select {}
}

// Rules 5 and 10 over a kill that nobody announced, at any moment: what was
// answered is kept, and versions go on growing.
func TestWhatWasAnsweredOutlivesKill(t *testing.T) {
	rounds := *kills
	if testing.Short() {
		rounds = min(rounds, 2)
	}
	dir := t.TempDir()
	last := map[string]step{}
	for round := range rounds {
		for uid, s := range runAndKill(t, dir, time.Duration(20+rand.IntN(150))*time.Millisecond) {
			last[uid] = s
		}
		checkAnswers(t, dir, round, last)
	}
}

// step is the last that a worker said.
type step struct {
	what    string
	version uint64
}

func runAndKill(t *testing.T, dir string, life time.Duration) map[string]step {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	last := map[string]step{}
	lines := bufio.NewReader(out)
	begun := false
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break // a line that was cut off was not said
		}
		if !begun {
			begun = true
			time.AfterFunc(life, func() { child.Process.Kill() })
		}
		var uid string
		var s step
		if _, err := fmt.Sscan(strings.TrimSpace(line), &s.what, &uid, &s.version); err != nil {
			t.Fatal(line, err)
		}
		if s.version < last[uid].version {
			t.Fatalf("%s: version %d after %d", uid, s.version, last[uid].version)
		}
		last[uid] = s
	}
	child.Wait()
	return last
}

func checkAnswers(t *testing.T, dir string, round int, last map[string]step) {
	t.Helper()
	s := open(t, dir)
	defer s.Close()
	for uid, said := range last {
		state, err := s.Get(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		var held uint64
		if len(state.Holders) > 0 {
			held = state.Holders[0].Version
		}
		switch said.what {
		case "lock":
			if held != said.version {
				t.Errorf("round %d: %s was answered version %d and holds %d", round, uid, said.version, held)
			}
		case "unlocking": // may or may not have happened, and a lock after it
		case "unlocked":
			if held == said.version {
				t.Errorf("round %d: %s has unlocked version %d and holds it", round, uid, held)
			}
		}
		if held != 0 && held < said.version {
			t.Errorf("round %d: %s holds version %d after %d", round, uid, held, said.version)
		}
		grant := lock(t, s, holdfast.LockRequest{UID: "check", Keys: holdfast.Keys("check"), Exp: time.Millisecond})
		if grant.Tokens[0].Version < said.version {
			t.Errorf("round %d: version %d after %d", round, grant.Tokens[0].Version, said.version)
		}
		s.Force(t.Context(), holdfast.ForceRequest{Key: "check"})
		s.Force(t.Context(), holdfast.ForceRequest{Key: uid})
		// The next life may end before this worker says anything, but not
		// before it has locked its key again.
		last[uid] = step{"unlocking", said.version}
	}
}
