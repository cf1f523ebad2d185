package redisstore

import (
	"context"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/redistest"
)

// Two servers over one Redis: each counts what went through it, holds that run
// out are counted by one of them, and what there is, is the same on both.
func TestStats(t *testing.T) {
	redis := redistest.Start(t)
	one, other := openOver(t, redis.URL()), openOver(t, redis.URL())
	ask := func(s *Store, uid string, wait time.Duration, keys ...string) (holdfast.Grant, error) {
		return s.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(keys...), Exp: time.Hour, Wait: wait})
	}
	token := lock(t, one, "a", "x", time.Hour)
	if _, err := ask(one, "a", 0, "y", "z"); err != nil {
		t.Fatal(err)
	}
	ask(other, "b", 0, "x") // refused
	one.Extend(t.Context(), holdfast.ExtendRequest{UID: "a"})
	one.Extend(t.Context(), holdfast.ExtendRequest{UID: "a", Tokens: []holdfast.Token{token, {Key: "z", Version: 1}}})
	ask(other, "b", 10*time.Millisecond, "y") // in vain

	granted := make(chan error, 1)
	go func() {
		_, err := ask(other, "b", time.Hour, "x")
		granted <- err
	}()
	redistest.Eventually(t, "one waits", func() bool {
		locks, err := one.Stats(t.Context())
		return err == nil && locks.Waiters == 1 && locks.Holds == 3
	})
	if locks, err := other.Stats(t.Context()); err != nil || locks.OldestWaiter <= 0 || locks.Waiters != 1 || locks.Holds != 3 {
		t.Errorf("where it waits: %+v, %v", locks, err)
	}
	if locks, err := one.Stats(t.Context()); err != nil || locks.OldestWaiter != 0 {
		t.Errorf("elsewhere: %+v, %v", locks, err)
	}
	one.Unlock(t.Context(), holdfast.UnlockRequest{UID: "a", Tokens: []holdfast.Token{token, {Key: "q", Version: 1}}})
	if err := <-granted; err != nil {
		t.Fatal(err)
	}
	one.Unlock(t.Context(), holdfast.UnlockRequest{UID: "a", Tokens: []holdfast.Token{{Key: "y", Version: 1}}}) // stale
	one.Force(t.Context(), holdfast.ForceRequest{Key: "y"})
	lock(t, one, "c", "short", time.Millisecond)
	lock(t, other, "c", "brief", time.Millisecond)
	ran := func() uint64 { return one.counts.Expiries.Load() + other.counts.Expiries.Load() }
	redistest.Eventually(t, "both have run out", func() bool { return ran() == 2 })

	for _, row := range []struct {
		name      string
		got, want uint64
	}{
		{"grants of one", one.counts.Grants.Load(), 3},
		{"grants of the other", other.counts.Grants.Load(), 2},
		{"extensions", one.counts.Extensions.Load(), 4},
		{"releases", one.counts.Releases.Load(), 1},
		{"releases of the other", other.counts.Releases.Load(), 0},
		{"forced", one.counts.Forced.Load(), 1},
		{"expiries", ran(), 2},
		{"waited", other.counts.Waited.Read().Count(), 1},
		{"left", other.counts.Left.Read().Count(), 1},
		{"held", one.counts.Held.Read().Count(), 1},
	} {
		if row.got != row.want {
			t.Errorf("%s: %d, want %d", row.name, row.got, row.want)
		}
	}
	if held := time.Duration(one.counts.Held.Read().Sum); held <= 0 || held > time.Minute {
		t.Errorf("x was held for %v", held)
	}
}

func TestDeadlocksAreCounted(t *testing.T) {
	s := openOver(t, redistest.Start(t).URL())
	lock(t, s, "a", "x", time.Hour)
	lock(t, s, "b", "y", time.Hour)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	go s.Lock(ctx, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("y"), Wait: time.Hour})
	redistest.Eventually(t, "a waits", func() bool {
		locks, _ := s.Stats(t.Context())
		return locks.Waiters == 1
	})
	_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Wait: time.Hour})
	if holdfast.ErrorCode(err) != holdfast.CodeDeadlock || s.counts.Deadlocks.Load() != 1 {
		t.Errorf("%v; %d are counted", err, s.counts.Deadlocks.Load())
	}
}

// Versions may be ahead of the clock, after a move from another store; and
// then nothing is said of how long a hold was held.
func TestHeldIsNotGuessed(t *testing.T) {
	c := newCounts()
	c.released(holdfast.Token{Version: uint64(time.Now().Add(time.Hour).UnixMicro())})
	if c.Releases.Load() != 1 || c.Held.Read().Count() != 0 {
		t.Errorf("%d releases, %d of them measured", c.Releases.Load(), c.Held.Read().Count())
	}
}

func TestRoundTripsAreCounted(t *testing.T) {
	redis := redistest.Start(t)
	s := openQuick(t, redis.URL())
	before := s.RedisStats()
	lock(t, s, "a", "x", time.Hour)
	after := s.RedisStats()
	if after.Answered.Count() == before.Answered.Count() || after.Failed.Count() != 0 {
		t.Errorf("%d answered, %d failed", after.Answered.Count()-before.Answered.Count(), after.Failed.Count())
	}
	redis.Kill()
	redistest.Eventually(t, "a failure is counted", func() bool {
		s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x")})
		return s.RedisStats().Failed.Count() > 0
	})
	if _, err := s.Stats(t.Context()); err == nil {
		t.Error("holds are told without Redis")
	}
}
