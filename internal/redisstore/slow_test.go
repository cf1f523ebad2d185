package redisstore

import (
	"fmt"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/redistest"
)

// A server that has many places to leave, of requests that had no answer while
// Redis hung, does not count as dead meanwhile: its waiters keep their places.
func TestAServerThatHasMuchToPutInOrderLives(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, "redis://"+slowly(t, server.Addr(), 10*time.Millisecond, 0))
	other := openQuick(t, server.URL())
	held := lock(t, s, "a", "x", time.Minute)
	first := waits(t, s, "first", "x")
	second := waits(t, other, "second", "x")
	lock(t, other, "a", "y", time.Minute)
	const places = 400 // so many times 10 ms are more than DeadAfter
	for i := range places {
		answer, err := other.ask([]string{fmt.Sprint("u", i), "60000", "", fmt.Sprint(s.id, " t", i, " 2000"), "", "x", "y"})
		if err != nil || status(answer) != wordWaiting {
			t.Fatal(answer, err)
		}
	}
	s.reconcileSoon()
	redistest.Eventually(t, "the places are left", func() bool {
		state, err := other.Get(t.Context(), "y")
		return err == nil && len(state.Waiters) == 0
	})
	unlock(t, other, "a", held)
	select {
	case err := <-second:
		t.Fatalf("the second came before the first: %v", err)
	case err := <-first:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody is let in")
	}
}

// What is left of a hold is said as of the answer, however long that was on its
// way from Redis.
func TestWhatIsLeftWhenTheAnswerComes(t *testing.T) {
	const late = 300 * time.Millisecond
	server := redistest.Start(t)
	s, other := openOver(t, "redis://"+slowly(t, server.Addr(), 0, late)), openOver(t, server.URL())
	req := holdfast.LockRequest{UID: "a", Exp: time.Minute}
	locks := func(wait time.Duration, keys ...string) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			req := req
			req.Keys, req.Wait = holdfast.Keys(keys...), wait
			grant, err := s.Lock(t.Context(), req)
			return grant.Exp, err
		}
	}
	for _, test := range []struct {
		name string
		call func() (time.Duration, error)
	}{
		{"one key", locks(0, "x")},
		{"several keys", locks(0, "y", "z")},
		{"in line", func() (time.Duration, error) {
			held := lock(t, other, "b", "w", time.Minute)
			time.AfterFunc(2*late, func() { other.Unlock(t.Context(), holdfast.UnlockRequest{UID: "b", Tokens: []holdfast.Token{held}}) })
			left, err := locks(time.Minute, "w")()
			return left + late, err // the message that it is let in was on its way before
		}},
		{"extended", func() (time.Duration, error) {
			extension, err := s.Extend(t.Context(), holdfast.ExtendRequest{UID: "a", Exp: time.Minute})
			return extension.Exp, err
		}},
		{"shorter than the way", func() (time.Duration, error) {
			grant, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("v"), Exp: late / 2})
			return time.Minute - late + grant.Exp, err
		}},
	} {
		if left, err := test.call(); err != nil || left > time.Minute-late || left < time.Minute/2 {
			t.Errorf("%s: %v left of a minute that began %v ago (%v)", test.name, left, late, err)
		}
	}
}
