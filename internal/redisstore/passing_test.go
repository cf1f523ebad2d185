package redisstore

import (
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/redistest"
)

// Whoever loses a hold that covers what it asks may come to wait for those ahead
// of it. If these wait for somebody behind it, that one does not stand behind
// it any more (rule 3), though neither asks for a key of the hold. The case has a
// Redis of its own: whatever happens elsewhere may make up for the look.
func TestWhoLosesAHoldDoesNotCloseACircleInLine(t *testing.T) {
	server := redistest.Start(t)
	s := openOver(t, server.URL())
	shared := holdfast.Ask{Key: "k", Mode: holdfast.Shared}
	few := holdfast.Ask{Key: "k", Mode: holdfast.Shared, Limit: 2}
	for _, key := range []string{"y", "z"} {
		lock(t, s, "d", key, time.Minute)
	}
	held := lock(t, s, "a", "x", time.Minute)
	covers, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: []holdfast.Ask{shared}, Exp: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, uid := range []string{"m", "n"} {
		waits(t, s, uid, "z") // so that each is in line twice
		asks(t, s, uid, shared, holdfast.Ask{Key: "x"})
	}
	asks(t, s, "b", few, holdfast.Ask{Key: "y"}, holdfast.Ask{Key: "w"}) // waits for d alone
	granted := waits(t, s, "a", "w")                                     // and a behind b
	unlock(t, s, "b", covers.Tokens[0])                                  // now b waits behind m and n, and they wait for a
	soon(t, "a is let in", granted)
	unlock(t, s, "a", held)
}

// asks puts a request in line that the test does not see the end of.
func asks(t testing.TB, s *Store, uid string, what ...holdfast.Ask) {
	t.Helper()
	go s.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: what, Exp: time.Minute, Wait: time.Minute})
	last := what[len(what)-1].Key
	redistest.Eventually(t, uid+" stands in line", func() bool { return inLine(t, s, uid, last) })
}
