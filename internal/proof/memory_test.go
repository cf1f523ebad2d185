package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/memory"
)

// work puts a workload to services in virtual time, and gives the history.
func work(t *testing.T, seed uint64, long time.Duration, dial func(owner int) holdfast.Service) []Op {
	start := time.Now()
	record := NewRecorder(func() int64 { return int64(time.Since(start)) }, nil)
	w := &Workload{Seed: seed, Name: fmt.Sprint("seed-", seed), Groups: 4, Owners: 6}
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	w.Run(ctx, record, &Register{}, dial)
	settled, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.Settle(settled, dial(0)); err != nil {
		t.Error(err)
	}
	return record.History()
}

// accept fails the test if a history breaks a rule, and keeps it.
func accept(t *testing.T, history []Op) {
	t.Helper()
	v := Check(history, time.Minute)
	if err := v.Err(); err != nil {
		dir, _ := os.MkdirTemp("", "holdfast-proof-")
		t.Fatalf("%v\nthe history is in %s (%v)", err, dir, v.Save(dir))
	}
}

func TestMemoryHoldsTheRules(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var history []Op
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				defer store.Close()
				history = work(t, seed, 8*time.Second, func(int) holdfast.Service { return store })
			})
			accept(t, history)
			tally(t, history)
		})
	}
}

// tally fails the test if the workload does not show much of anything.
func tally(t *testing.T, history []Op) {
	t.Helper()
	n := map[string]int{}
	for i := range history {
		op := &history[i]
		n[string(op.Kind)+" "+string(op.Outcome)]++
		if len(op.Lost) > 0 {
			n["lost"]++
		}
		if len(op.Waiters) > 1 {
			n["line"]++
		}
		if op.Kind == Lock && op.Outcome == Done && len(op.Asks) > 1 {
			n["many"]++
		}
	}
	for _, what := range []string{
		"lock done", "lock locked", "lock deadlock", "lock open", "unlock done", "extend done", "check done", "get done",
		"write done", "lost", "line", "many",
	} {
		if n[what] < 2 {
			t.Errorf("the workload shows too little of %q: %v", what, n)
		}
	}
}

// flawed is a service that breaks a rule now and then.
type flawed struct {
	holdfast.Service
	lock   func(holdfast.Service, context.Context, holdfast.LockRequest) (holdfast.Grant, error)
	unlock func(holdfast.Service, context.Context, holdfast.UnlockRequest) ([]string, error)
	extend func(holdfast.Service, context.Context, holdfast.ExtendRequest) (holdfast.Extension, error)
	check  func(holdfast.Service, context.Context, []string) (bool, error)
}

func (f *flawed) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	if f.lock != nil {
		return f.lock(f.Service, ctx, req)
	}
	return f.Service.Lock(ctx, req)
}

func (f *flawed) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	if f.unlock != nil {
		return f.unlock(f.Service, ctx, req)
	}
	return f.Service.Unlock(ctx, req)
}

func (f *flawed) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	if f.extend != nil {
		return f.extend(f.Service, ctx, req)
	}
	return f.Service.Extend(ctx, req)
}

func (f *flawed) Check(ctx context.Context, keys []string) (bool, error) {
	if f.check != nil {
		return f.check(f.Service, ctx, keys)
	}
	return f.Service.Check(ctx, keys)
}

// The workload and the checker together find each of these flaws, which show
// only now and then.
func TestFlawsAreFound(t *testing.T) {
	seldom := func() bool { return rand.IntN(10) == 0 }
	flaws := map[string]*flawed{
		"lives are too short": {lock: func(s holdfast.Service, ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
			if seldom() {
				req.Exp = max(time.Millisecond, req.Exp*3/4)
			}
			return s.Lock(ctx, req)
		}},
		"an extension is forgotten": {extend: func(s holdfast.Service, ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
			if seldom() {
				req.Exp = time.Millisecond
			}
			return s.Extend(ctx, req)
		}},
		"a version is given twice": {lock: func(s holdfast.Service, ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
			grant, err := s.Lock(ctx, req)
			if seldom() {
				for i := range grant.Tokens {
					grant.Tokens[i].Version--
				}
			}
			return grant, err
		}},
		"unlock is not exact": {unlock: func(s holdfast.Service, ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
			for _, token := range req.Tokens {
				if state, err := s.Get(ctx, token.Key); err == nil && len(state.Holders) > 0 && seldom() {
					h := state.Holders[0]
					s.Unlock(ctx, holdfast.UnlockRequest{UID: h.UID, Tokens: []holdfast.Token{{Key: token.Key, Version: h.Version}}})
				}
			}
			return s.Unlock(ctx, req)
		}},
		"an unlock is answered and not done": {unlock: func(s holdfast.Service, ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
			if seldom() {
				return []string{req.Tokens[0].Key}, nil
			}
			return s.Unlock(ctx, req)
		}},
		"some keys and not all": {lock: func(s holdfast.Service, ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
			grant, err := s.Lock(ctx, req)
			if holdfast.ErrorCode(err) == holdfast.CodeLocked && len(req.Keys) > 1 {
				req.Keys, req.Wait = req.Keys[:1], 0
				s.Lock(ctx, req)
			}
			return grant, err
		}},
		"a place in line is lost": {lock: func(s holdfast.Service, ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
			if seldom() {
				first, cancel := context.WithTimeout(ctx, req.Wait/8)
				defer cancel()
				if grant, err := s.Lock(first, req); err != context.DeadlineExceeded || ctx.Err() != nil {
					return grant, err
				}
			}
			return s.Lock(ctx, req)
		}},
		"a look at the past": {check: func() func(holdfast.Service, context.Context, []string) (bool, error) {
			var before atomic.Bool
			return func(s holdfast.Service, ctx context.Context, keys []string) (bool, error) {
				is, err := s.Check(ctx, keys)
				return before.Swap(is), err
			}
		}()},
		"who shares is not counted": {lock: func(s holdfast.Service, ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
			for i := range req.Keys {
				if req.Keys[i].Limit > 0 {
					req.Keys[i].Limit++
				}
			}
			return s.Lock(ctx, req)
		}},
		"a grant that nobody hears of stays": {lock: func(s holdfast.Service, ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
			grant, err := s.Lock(context.WithoutCancel(ctx), req)
			if err == nil && seldom() {
				return holdfast.Grant{}, holdfast.Unavailable(nil, "a lost answer that is taken for a refusal")
			}
			return grant, err
		}},
	}
	for name, flaw := range flaws {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A flaw that shows now and then may not do so in one run.
			for seed := range uint64(10) {
				var history []Op
				synctest.Test(t, func(t *testing.T) {
					store := memory.New()
					defer store.Close()
					flaw := *flaw
					flaw.Service = store
					history = work(t, seed, 8*time.Second, func(int) holdfast.Service { return &flaw })
				})
				if err := Check(history, time.Minute).Err(); err != nil {
					t.Logf("after %d runs: %s", seed+1, strings.SplitN(err.Error(), "\n", 2)[0])
					return
				}
			}
			t.Error("not found")
		})
	}
}

// State that is lost shows, too.
func TestLossIsFound(t *testing.T) {
	var history []Op
	synctest.Test(t, func(t *testing.T) {
		stores := []*memory.Store{memory.New()}
		defer func() {
			for _, store := range stores {
				store.Close()
			}
		}()
		var current atomic.Pointer[memory.Store]
		current.Store(stores[0])
		time.AfterFunc(4*time.Second, func() {
			stores = append(stores, memory.New())
			current.Store(stores[1])
		})
		forgetful := &flawed{Service: stores[0]}
		forgetful.lock = func(_ holdfast.Service, ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
			return current.Load().Lock(ctx, req)
		}
		history = work(t, 1, 8*time.Second, func(int) holdfast.Service { return forgetful })
	})
	if err := Check(history, time.Minute).Err(); err == nil {
		t.Error("not found")
	}
}
