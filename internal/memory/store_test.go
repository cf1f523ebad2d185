package memory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
)

func open(t testing.TB) *Store {
	s := New()
	t.Cleanup(func() { s.Close() })
	return s
}

func lock(t testing.TB, s *Store, req holdfast.LockRequest) holdfast.Grant {
	t.Helper()
	grant, err := s.Lock(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return grant
}

// Rule 7 over the whole store: the next in line is let in when the life of
// the hold is over, never before, and at once. A day costs no real second.
func TestAHoldEndsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		defer s.Close()
		rng := rand.New(rand.NewPCG(1, 2))
		lives := []time.Duration{time.Millisecond, holdfast.MaxExp - time.Second}
		for range 300 {
			lives = append(lives, time.Duration(1+rng.IntN(100_000))*time.Millisecond)
		}
		var all sync.WaitGroup
		for i, life := range lives {
			all.Go(func() {
				time.Sleep(time.Duration(rand.Int64N(int64(10 * time.Millisecond))))
				keys := holdfast.Keys(fmt.Sprintf("key-%d", i))
				began := time.Now()
				lock(t, s, holdfast.LockRequest{UID: "a", Keys: keys, Exp: life})
				lock(t, s, holdfast.LockRequest{UID: "b", Keys: keys, Wait: holdfast.MaxWait})
				if late := time.Since(began) - life; late < 0 || late > 50*time.Millisecond {
					t.Errorf("a life of %v ended %v late", life, late)
				}
			})
		}
		all.Wait()
	})
}

func TestALongerDeadlineDoesNotHideAShorterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		defer s.Close()
		lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("long"), Exp: time.Hour})
		synctest.Wait() // the store sleeps for an hour now
		lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("short"), Exp: time.Second})
		time.Sleep(1050 * time.Millisecond)
		if held, _ := s.Check(t.Context(), []string{"short"}); held {
			t.Fatal("the shorter one is held beyond its life")
		}
		if held, _ := s.Check(t.Context(), []string{"long"}); !held {
			t.Fatal("the longer one ended early")
		}
	})
}

func TestAWaitInVainEndsOnTimeAndNamesWhoWasInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		defer s.Close()
		keys := holdfast.Keys("x")
		lock(t, s, holdfast.LockRequest{UID: "a", Keys: keys, Exp: time.Minute, Note: "nightly"})
		began := time.Now()
		_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: keys, Wait: 10 * time.Second})
		if time.Since(began) != 10*time.Second {
			t.Fatalf("waited for %v", time.Since(began))
		}
		var refusal *holdfast.Error
		if !errors.As(err, &refusal) || refusal.Code != holdfast.CodeLocked {
			t.Fatalf("answer: %v", err)
		}
		b := refusal.Blockers[0]
		if len(refusal.Blockers) != 1 || b.UID != "a" || b.Note != "nightly" || b.Exp != 50*time.Second || b.Waiting {
			t.Fatalf("blockers: %+v", refusal.Blockers)
		}
		if state, _ := s.Get(t.Context(), "x"); len(state.Waiters) != 0 {
			t.Fatal("still in line")
		}
	})
}

// A grant and the end of the waiter's ctx at the same moment: whichever comes
// first, no hold is left that its owner does not know of, and what it held
// before is as it was.
func TestAGrantThatNobodyReceivesIsTakenBack(t *testing.T) {
	s := open(t)
	read := []holdfast.Ask{{Key: "x", Mode: holdfast.Shared}}
	for i := range 300 {
		reader := lock(t, s, holdfast.LockRequest{UID: "b", Keys: read, Exp: time.Minute})
		holder := lock(t, s, holdfast.LockRequest{UID: "a", Keys: append(read, holdfast.Keys("y")...), Exp: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error)
		go func() {
			_, err := s.Lock(ctx, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x", "y", "z"), Wait: time.Minute})
			answer <- err
		}()
		await(t, s, "y", func(l holdfast.Lock) bool { return len(l.Waiters) == 1 })
		var both sync.WaitGroup
		both.Go(cancel)
		both.Go(func() { s.Unlock(t.Context(), holdfast.UnlockRequest{UID: "a", Tokens: holder.Tokens}) })
		both.Wait()
		if err := <-answer; err == nil {
			// The grant won. It is exclusive now.
			if n, _ := s.Force(t.Context(), holdfast.ForceRequest{Key: "x"}); len(n) != 1 || n[0].Version == reader.Tokens[0].Version {
				t.Fatalf("round %d: released %v", i, n)
			}
			s.Force(t.Context(), holdfast.ForceRequest{Key: "y"})
			s.Force(t.Context(), holdfast.ForceRequest{Key: "z"})
			continue
		}
		if held, _ := s.Check(t.Context(), []string{"y", "z"}); held {
			t.Fatalf("round %d: a hold that nobody knows of", i)
		}
		released, err := s.Unlock(t.Context(), holdfast.UnlockRequest{UID: "b", Tokens: reader.Tokens})
		if err != nil || len(released) != 1 {
			t.Fatalf("round %d: the shared hold is gone: %v %v", i, released, err)
		}
	}
}

// The same request asked again while the first one still waits takes the
// same place, and both get the answer; the first one going away takes
// nothing from the second.
func TestTheSameRequestTwiceStandsInOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		defer s.Close()
		holder := lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Minute})
		req := holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Exp: time.Minute, Wait: time.Minute}
		ctx, cancel := context.WithCancel(t.Context())
		first, others := make(chan error, 1), make(chan holdfast.Grant, 2)
		go func() {
			_, err := s.Lock(ctx, req)
			first <- err
		}()
		synctest.Wait()
		for range 2 {
			go func() { others <- lock(t, s, req) }()
		}
		synctest.Wait()
		if state, _ := s.Get(t.Context(), "x"); len(state.Waiters) != 1 {
			t.Fatalf("in line: %v", state.Waiters)
		}
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		s.Unlock(t.Context(), holdfast.UnlockRequest{UID: "a", Tokens: holder.Tokens})
		one, two := <-others, <-others
		if one.Tokens[0] != two.Tokens[0] {
			t.Fatalf("%v and %v", one, two)
		}
	})
}

func TestCloseAnswersWhoeverWaits(t *testing.T) {
	s := New()
	lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Minute})
	answer := make(chan error)
	go func() {
		_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Wait: time.Minute})
		answer <- err
	}()
	await(t, s, "x", func(l holdfast.Lock) bool { return len(l.Waiters) == 1 })
	s.Close()
	s.Close()
	if err := <-answer; holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Fatal(err)
	}
	if _, err := s.Check(t.Context(), []string{"x"}); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Fatal(err)
	}
	if _, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("y")}); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Fatal(err)
	}
}

// Very many holds that end in the same millisecond do not stall the others:
// a request that comes in the middle of it is answered long before the end.
func TestManyExpiriesLetOthersThrough(t *testing.T) {
	const n = 100_000
	s := open(t)
	lockMany(t, s, n, time.Now().Add(10*time.Second))
	events, err := s.Watch(t.Context(), holdfast.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var began, let uint64
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == holdfast.EventExpired && began == 0 {
			began = e.ID
			lock(t, s, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("bystander"), Exp: time.Minute})
		}
		if e.Type == holdfast.EventGranted || e.Type == holdfast.EventGap {
			let = e.ID
			break
		}
	}
	// The mutex hands over to whoever has waited for a millisecond: that is a
	// few batches. Half of all is far beyond that.
	if let-began > n/2 {
		t.Fatalf("%d holds ended while one request waited", let-began)
	}
}

// lockMany takes n holds that all run out in the millisecond of end.
func lockMany(t testing.TB, s *Store, n int, end time.Time) {
	for i := 0; i < n; {
		var keys []holdfast.Ask
		for ; i < n && len(keys) < holdfast.MaxKeys; i++ {
			keys = append(keys, holdfast.Ask{Key: fmt.Sprint("many/", i)})
		}
		lock(t, s, holdfast.LockRequest{UID: fmt.Sprint("owner-", i), Keys: keys, Exp: time.Until(end)})
	}
}

// BenchmarkLockDuringManyExpiries is how long a lock on another key takes at
// most while 100,000 holds end that ran out in the same millisecond.
func BenchmarkLockDuringManyExpiries(b *testing.B) {
	const n = 100_000
	var worst time.Duration
	for b.Loop() {
		s := New()
		end := time.Now().Add(5 * time.Second)
		lockMany(b, s, n, end)
		time.Sleep(time.Until(end))
		for held := true; held; held, _ = s.Check(b.Context(), []string{fmt.Sprint("many/", n-1)}) {
			began := time.Now()
			grant := lock(b, s, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("bystander"), Exp: time.Minute})
			s.Unlock(b.Context(), holdfast.UnlockRequest{UID: "b", Tokens: grant.Tokens})
			worst = max(worst, time.Since(began))
		}
		s.Close()
	}
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
}

// BenchmarkPair is an uncontended lock and its unlock through the Service.
func BenchmarkPair(b *testing.B) {
	s := open(b)
	b.RunParallel(func(pb *testing.PB) {
		uid := fmt.Sprint(rand.Int64())
		keys := holdfast.Keys("key-" + uid)
		for pb.Next() {
			grant := lock(b, s, holdfast.LockRequest{UID: uid, Keys: keys, Exp: time.Second})
			s.Unlock(b.Context(), holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens})
		}
	})
}
