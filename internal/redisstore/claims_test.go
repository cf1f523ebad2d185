package redisstore

import (
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/redistest"
)

// The next primary may know that a request was let in, but not that its server
// has claimed the grant since. What the client was told is not taken back.
func TestAClaimThatTheNextPrimaryDoesNotKnow(t *testing.T) {
	keeping := newScripts(func(source string) string { // what claims find, in the hash kept
		return strings.Replace(source, "local w = waiter(ARGV[1])",
			"call('COPY', P .. 'w:' .. ARGV[1], P .. 'kept', 'REPLACE') local w = waiter(ARGV[1])", 1)
	})
	for name, moments := range map[string]int{"at once": 0, "later": 1} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			s, err := open(t.Context(), quick(server.URL()), keeping)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			held := lock(t, s, "a", "x", time.Minute)
			granted := waits(t, s, "b", "x")
			s.mu.Lock()
			var place string
			for _, c := range s.byTicket {
				place = c.place
			}
			s.mu.Unlock()
			unlock(t, s, "a", held)
			soon(t, "b is let in", granted)
			for range moments {
				s.mu.Lock()
				s.claims.turn()
				s.mu.Unlock()
			}

			server.Do("COPY", "{holdfast}:kept", "{holdfast}:w:"+place)
			server.Do("SADD", "{holdfast}:s:"+s.id, place)
			s.reconcileSoon()
			redistest.Eventually(t, "the place is forgotten", func() bool { return server.Do("EXISTS", "{holdfast}:w:"+place) == "0" })
			if _, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "c", Keys: holdfast.Keys("x")}); holdfast.ErrorCode(err) != holdfast.CodeLocked {
				t.Errorf("b holds x, and c is told: %v", err)
			}
		})
	}
}

// If it does not even know that the request was let in, nobody waits there.
func TestAGrantThatTheNextPrimaryDoesNotKnow(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	held := lock(t, s, "a", "x", time.Minute)
	granted := waits(t, s, "b", "x")
	s.mu.Lock()
	var ticket string
	for ticket = range s.byTicket {
	}
	s.mu.Unlock()
	unlock(t, s, "a", held)
	soon(t, "b is let in", granted)
	if _, err := s.Force(t.Context(), holdfast.ForceRequest{Key: "x"}); err != nil {
		t.Fatal(err)
	}
	lock(t, s, "a", "x", time.Minute)
	if answer, err := s.ask([]string{"b", "60000", "", s.id + " " + ticket + " 60000", "", "x", "x"}); err != nil || status(answer) != wordWaiting {
		t.Fatal(answer, err)
	}
	lock(t, s, "a", "z", time.Minute)
	waits(t, s, "c", "z") // so that the server counts as alive
	began := time.Now()
	s.reconcileSoon()
	redistest.Eventually(t, "b has left the line", func() bool { return !inLine(t, s, "b", "x") })
	if took := time.Since(began); took > 2*netPeriod {
		t.Errorf("b stood in line for %v", took)
	}
}
