package redisstore

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/redistest"
	"holdfast/internal/servicetest"
	"holdfast/internal/table"
)

func TestLimits(t *testing.T) {
	servicetest.Limits(t, func(t *testing.T, limits table.Limits) holdfast.Service {
		return limited(t, limits, 1)[0]
	})
}

func TestLimitsOfThreeStores(t *testing.T) {
	servicetest.Limits(t, func(t *testing.T, limits table.Limits) holdfast.Service {
		return servicetest.InTurn(limited(t, limits, 3)...)
	})
}

// limited opens so many stores over one new Redis.
func limited(t *testing.T, limits table.Limits, n int) (services []holdfast.Service) {
	t.Helper()
	server := redistest.Start(t)
	for range n {
		s, err := New(t.Context(), Options{URL: server.URL(), Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		services = append(services, s)
	}
	return services
}

// However many ask at once, and through whatever store, no more are let in than
// the limit says, and no fewer.
func TestLimitsAreKeptUnderLoad(t *testing.T) {
	const most, askers, each = 40, 60, 20
	for name, test := range map[string]struct {
		limits table.Limits
		uid    func(i int) string
	}{
		"holds":          {table.Limits{Holds: most}, func(i int) string { return fmt.Sprint("u", i) }},
		"holds of a uid": {table.Limits{HoldsOfUID: most}, func(int) string { return "u" }},
	} {
		t.Run(name, func(t *testing.T) {
			services := limited(t, test.limits, 3)
			var asking sync.WaitGroup
			var held atomic.Int64
			for i := range askers {
				asking.Go(func() {
					s := services[i%3]
					for j := range each {
						key := fmt.Sprint("k", i, " ", j)
						grant, err := s.Lock(t.Context(), holdfast.LockRequest{UID: test.uid(i), Keys: holdfast.Keys(key), Exp: time.Hour})
						switch {
						case holdfast.ErrorCode(err) == holdfast.CodeLimit:
							continue
						case err != nil:
							t.Error(err)
							return
						case held.Add(1) > most:
							t.Errorf("more than %d", most)
							return
						}
						if j%2 == 1 {
							continue // it stays
						}
						held.Add(-1) // before it is so, and never after
						if _, err := s.Unlock(t.Context(), holdfast.UnlockRequest{UID: test.uid(i), Tokens: grant.Tokens}); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			asking.Wait()
			if held.Load() != most {
				t.Errorf("%d are held at last, not %d", held.Load(), most)
			}
		})
	}
}
