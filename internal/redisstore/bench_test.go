package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
	"holdfast/internal/redistest"
	"holdfast/internal/table"
)

// bareDelete deletes a key if it still has this value: the least that an unlock
// can be.
var bareDelete = rueidis.NewLuaScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)

// BenchmarkPairs measures lock and unlock of own keys through the store, and
// beside it the bare minimum over the same Redis and the same client library:
// SET NX PX, and a script that compares and deletes. Limited is the store with
// limits on holds, which nobody reaches.
func BenchmarkPairs(b *testing.B) {
	server := redistest.Start(b)
	stores := map[string]*Store{"store": openOver(b, server.URL())}
	limited, err := New(b.Context(), Options{URL: server.URL(), Limits: table.Limits{Holds: 1000, HoldsOfUID: 1000}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { limited.Close() })
	stores["limited"] = limited
	ctx := context.Background()
	bare, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bare.Close)
	pair := func(key string) error {
		if err := bare.Do(ctx, bare.B().Set().Key(key).Value("1").Nx().Px(10*time.Second).Build()).Error(); err != nil {
			return err
		}
		return bareDelete.Exec(ctx, bare, []string{key}, []string{"1"}).Error()
	}
	for _, goroutines := range []int{1, 64, 256} {
		b.Run(fmt.Sprint("bare/", goroutines), func(b *testing.B) {
			inParallel(b, goroutines, pair)
		})
		for _, name := range []string{"store", "limited"} {
			store := stores[name]
			b.Run(fmt.Sprint(name, "/", goroutines), func(b *testing.B) {
				inParallel(b, goroutines, func(key string) error {
					grant, err := store.Lock(ctx, holdfast.LockRequest{UID: key, Keys: holdfast.Keys(key), Exp: 10 * time.Second})
					if err != nil {
						return err
					}
					_, err = store.Unlock(ctx, holdfast.UnlockRequest{UID: key, Tokens: grant.Tokens})
					return err
				})
			})
		}
	}
}

// inParallel does it b.N times in so many goroutines, each with its own key.
func inParallel(b *testing.B, goroutines int, do func(key string) error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, goroutines)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range goroutines {
		go func() {
			key := "bench-" + strconv.Itoa(i)
			for left.Add(-1) >= 0 {
				if err := do(key); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range goroutines {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}
