package fence_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/fence"
	"holdfast/internal/memory"
)

func TestAnOlderVersionIsRefused(t *testing.T) {
	var guard fence.Guard
	want(t, "the first", guard.Check(t.Context(), token("a", 5)), nil)
	want(t, "the same again", guard.Check(t.Context(), token("a", 5)), nil)
	want(t, "a newer one", guard.Check(t.Context(), token("a", 7)), nil)
	err := guard.Check(t.Context(), token("a", 6))
	want(t, "an older one", err, fence.ErrStale)
	if text := `key "a": version 6 is older than the newest seen, 7`; fmt.Sprint(err) != text {
		t.Errorf("%v; want %s", err, text)
	}
	want(t, "the newest again", guard.Check(t.Context(), token("a", 7)), nil)
	want(t, "another key", guard.Check(t.Context(), token("b", 1)), nil)
}

// Who is late already is told so at once, also while a function runs; and only
// that.
func TestALatecomerDoesNotWait(t *testing.T) {
	var guard fence.Guard
	ended, end := context.WithCancel(t.Context())
	end()
	want(t, "the owner", guard.Do(t.Context(), tokens(token("a", 2)), func() error {
		want(t, "a newer one, who would wait", guard.Check(ended, token("a", 3)), context.Canceled)
		err := guard.Check(ended, token("a", 1))
		want(t, "the latecomer", err, fence.ErrStale)
		if errors.Is(err, context.Canceled) {
			t.Error("the latecomer has waited, or is taken for one who has")
		}
		return nil
	}), nil)
}

func TestTokensStayAsTheyWereShown(t *testing.T) {
	var guard fence.Guard
	shown := tokens(token("b", 1), token("a", 1), token("b", 1))
	want(t, "both", guard.Check(t.Context(), shown...), nil)
	if !slices.Equal(shown, tokens(token("b", 1), token("a", 1), token("b", 1))) {
		t.Errorf("they are %v now", shown)
	}
}

func TestARefusedFunctionDoesNotRun(t *testing.T) {
	var guard fence.Guard
	want(t, "the new owner", guard.Check(t.Context(), token("a", 2)), nil)
	err := guard.Do(t.Context(), tokens(token("a", 1)), func() error {
		t.Error("the latecomer's function ran")
		return nil
	})
	want(t, "the latecomer", err, fence.ErrStale)
}

func TestOneStaleTokenKeepsAllFromPassing(t *testing.T) {
	var guard fence.Guard
	want(t, "b", guard.Check(t.Context(), token("b", 5)), nil)
	want(t, "a and b", guard.Check(t.Context(), token("a", 4), token("b", 4)), fence.ErrStale)
	want(t, "a, which must not be remembered at 4", guard.Check(t.Context(), token("a", 3)), nil)
	want(t, "a and b, both new", guard.Check(t.Context(), token("b", 6), token("a", 6)), nil)
	want(t, "a", guard.Check(t.Context(), token("a", 5)), fence.ErrStale)
	want(t, "b", guard.Check(t.Context(), token("b", 5)), fence.ErrStale)
}

func TestMalformedTokensAreRefused(t *testing.T) {
	var guard fence.Guard
	for what, shown := range malformed {
		wantInvalid(t, what, guard.Check(t.Context(), shown...))
	}
	many := make([]holdfast.Token, holdfast.MaxKeys+1)
	for i := range many {
		many[i] = token(fmt.Sprint(i), 1)
	}
	wantInvalid(t, "too many", guard.Check(t.Context(), many...))
	want(t, "as many as can be locked", guard.Check(t.Context(), many[1:]...), nil)
	want(t, "the same twice", guard.Check(t.Context(), token("a", 1), token("a", 1)), nil)
}

// The write of an old owner that has passed is over before a newer one passes,
// and one that came behind the newer one is refused, though it was in time
// when it began to wait.
func TestNothingPassesWhileAFunctionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var guard fence.Guard
		var steps []string
		step := func(name string, version uint64, takes time.Duration) error {
			return guard.Do(t.Context(), tokens(token("a", version)), func() error {
				steps = append(steps, name+" begins")
				time.Sleep(takes)
				steps = append(steps, name+" ends")
				return nil
			})
		}
		var all sync.WaitGroup
		all.Go(func() { want(t, "the old owner", step("old", 1, time.Hour), nil) })
		synctest.Wait()
		all.Go(func() { want(t, "the new owner", step("new", 2, time.Hour), nil) })
		synctest.Wait()
		all.Go(func() { want(t, "the latecomer", step("late", 1, 0), fence.ErrStale) })
		all.Go(func() { want(t, "a check", guard.Check(t.Context(), token("a", 1)), fence.ErrStale) })
		synctest.Wait()
		want(t, "another key does not wait", guard.Check(t.Context(), token("b", 1)), nil)
		all.Wait()
		if wanted := []string{"old begins", "old ends", "new begins", "new ends"}; !slices.Equal(steps, wanted) {
			t.Errorf("%q; want %q", steps, wanted)
		}
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var guard fence.Guard
		release := make(chan struct{})
		go guard.Do(t.Context(), tokens(token("b", 1)), func() error { <-release; return nil })
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
		defer cancel()
		err := guard.Check(ctx, token("a", 9), token("b", 9))
		want(t, "the one that waited", err, context.Cause(ctx))
		want(t, "a, given back and not remembered", guard.Check(t.Context(), token("a", 1)), nil)
		close(release)
		want(t, "b, not remembered", guard.Check(t.Context(), token("b", 1)), nil)
		for range 30 { // not by luck
			want(t, "one that ended before it began", guard.Check(ctx, token("c", 1)), context.Cause(ctx))
		}
	})
}

func TestAFailureOrAPanicFreesTheKeyAndIsRemembered(t *testing.T) {
	var guard fence.Guard
	failure := errors.New("disk full")
	err := guard.Do(t.Context(), tokens(token("a", 2)), func() error { return failure })
	want(t, "the function's error", err, failure)
	want(t, "older than one that failed", guard.Check(t.Context(), token("a", 1)), fence.ErrStale)

	func() {
		defer func() { recover() }()
		guard.Do(t.Context(), tokens(token("a", 3)), func() error { panic("no more") })
	}()
	want(t, "older than one that panicked", guard.Check(t.Context(), token("a", 2)), fence.ErrStale)
	want(t, "newer than one that panicked", guard.Check(t.Context(), token("a", 4)), nil)
}

// Owners of several keys, in whatever order they name them, neither wait in a
// circle nor write at the same time, and what is written never goes back. The
// race detector sees a write that is not alone.
func TestWhatIsWrittenNeverGoesBack(t *testing.T) {
	var guard fence.Guard
	keys := []string{"a", "b", "c", "d"}
	written := make([]uint64, len(keys))
	var last, passed, refused atomic.Uint64
	last.Store(10)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 1))
			for range 2000 {
				version := last.Add(1) - rng.Uint64N(10)
				which := rng.Perm(len(keys))[:1+rng.IntN(2)]
				var shown []holdfast.Token
				for _, i := range which {
					shown = append(shown, token(keys[i], version))
				}
				err := guard.Do(t.Context(), shown, func() error {
					for _, i := range which {
						if written[i] > version {
							t.Errorf("key %s: %d written over %d", keys[i], version, written[i])
						}
						written[i] = version
					}
					return nil
				})
				switch {
				case err == nil:
					passed.Add(1)
				case errors.Is(err, fence.ErrStale):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if passed.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d passed and %d were refused: the test shows nothing", passed.Load(), refused.Load())
	}
}

func TestAGuardKeepsOneVersionAKey(t *testing.T) {
	const keys = 100_000
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprintf("invoice/%d", i)
	}
	var guard fence.Guard
	before := used()
	for version := range uint64(3) {
		for _, name := range names {
			want(t, name, guard.Check(t.Context(), token(name, version+1)), nil)
		}
	}
	after := used()
	perKey := float64(after-before) / keys
	t.Logf("%.0f bytes a key, beside the key", perKey)
	if perKey > 80 {
		t.Errorf("%.0f bytes a key beside the key; want at most 80", perKey)
	}
	runtime.KeepAlive(names)
	runtime.KeepAlive(&guard)
}

// A key that came over HTTP is kept, and not all that was shown beside it.
func TestAGuardKeepsNoHeader(t *testing.T) {
	const requests = 200
	shown := make([]holdfast.Token, holdfast.MaxKeys)
	for i := range shown {
		shown[i] = token(fmt.Sprintf("%03d%s", i, strings.Repeat("k", 400)), 1)
	}
	var guard fence.Guard
	before := used()
	for i := range requests {
		shown[0] = token(fmt.Sprint("invoice/", i), 1)
		header := http.Header{}
		fence.SetTokens(header, shown...)
		read, err := fence.Tokens(header)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "a request", guard.Check(t.Context(), read...), nil)
	}
	if kept := int64(used() - before); kept > 1<<20 {
		t.Errorf("%d requests with a new key each left %d bytes", requests, kept)
	}
	runtime.KeepAlive(&guard)
}

// used is how much memory is in use.
func used() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// The whole story, with versions that a service has granted: a hold runs out
// while its owner sleeps, the next owner writes, the first one wakes up.
func TestTheSleeperOfARealServiceIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := memory.New()
		defer service.Close()
		lock := func(uid string) []holdfast.Token {
			grant, err := service.Lock(t.Context(), holdfast.LockRequest{
				UID: uid, Keys: holdfast.Keys("file"), Exp: time.Second, Wait: time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			return grant.Tokens
		}
		var guard fence.Guard
		var file []string
		write := func(shown []holdfast.Token, text string) error {
			return guard.Do(t.Context(), shown, func() error { file = append(file, text); return nil })
		}
		sleeper := lock("sleeper")
		want(t, "the first write", write(sleeper, "1"), nil)
		other := lock("other") // waits until the sleeper's hold has run out
		want(t, "the other's write", write(other, "2"), nil)
		want(t, "the sleeper's write", write(sleeper, "3"), fence.ErrStale)
		if !slices.Equal(file, []string{"1", "2"}) {
			t.Errorf("the file has %q", file)
		}
	})
}
