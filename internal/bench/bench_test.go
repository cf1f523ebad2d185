package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
)

// slow is an owner whose calls take a known time, and whose keys exclude
// nobody.
type slow struct{ lock, unlock time.Duration }

func (s slow) Lock(ctx context.Context, _ string) error {
	select {
	case <-time.After(s.lock):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s slow) Unlock(context.Context, string) error {
	time.Sleep(s.unlock)
	return nil
}

// near says whether a figure is within a hundredth of what it should be.
func near(got, want float64) bool { return math.Abs(got-want) <= want/100 }

func TestRunCountsPairsAndTimesCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		uids := make(map[string]bool)
		load := Load{Clients: 3, Hold: 5 * time.Millisecond, Duration: 10 * time.Second, Warmup: time.Second}
		got, err := Run(t.Context(), load, func(i int, uid string) Owner {
			uids[uid] = true
			return slow{lock: time.Duration(i+1) * 10 * time.Millisecond, unlock: 5 * time.Millisecond}
		})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 11*time.Second || took > 12*time.Second {
			t.Errorf("took %v", took)
		}
		// A client makes a pair in 20, 30, 40 ms.
		if len(uids) != 3 || !near(got.PerSecond, 50+100.0/3+25) || !near(float64(got.Pairs), 10*got.PerSecond) {
			t.Errorf("%d uids, %d pairs, %v/s", len(uids), got.Pairs, got.PerSecond)
		}
		if f := got.Fairness; f.Smallest != 250 || f.Largest != 500 || !near(f.Mean, float64(got.Pairs)/3) {
			t.Errorf("fairness: %+v", f)
		}
		if l := got.Lock; !near(l.P50, 20_000) || !near(l.P99, 30_000) || l.Longest != 30_000 {
			t.Errorf("lock: %+v", l)
		}
		if l := got.Unlock; !near(l.P50, 5_000) || !near(l.P999, 5_000) || l.Longest != 5_000 {
			t.Errorf("unlock: %+v", l)
		}
		if got.Failed() != 0 {
			t.Errorf("errors: %v", got.Errors)
		}
	})
}

// one is a lock that has one holder, whatever its key.
type one struct {
	slow
	turn chan struct{}
	keys *sync.Map
}

func (o one) Lock(ctx context.Context, key string) error {
	o.keys.Store(key, true)
	select {
	case o.turn <- struct{}{}:
		return o.slow.Lock(context.WithoutCancel(ctx), key)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (o one) Unlock(ctx context.Context, key string) error {
	defer func() { <-o.turn }()
	return o.slow.Unlock(ctx, key)
}

func TestWhoWaitsAtTheEndLeavesAndWhoHoldsUnlocks(t *testing.T) {
	for keys, want := range map[Keys]int{0: 4, 1: 1, 2: 2} {
		synctest.Test(t, func(t *testing.T) {
			turn, seen := make(chan struct{}, 1), new(sync.Map)
			got, err := Run(t.Context(), Load{Clients: 4, Keys: keys, Duration: time.Second}, func(int, string) Owner {
				return one{slow{30 * time.Millisecond, 30 * time.Millisecond}, turn, seen}
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(turn) != 0 {
				t.Error("a lock is left behind")
			}
			if got.Pairs != 16 || got.Failed() != 0 {
				t.Errorf("%d pairs, errors %v", got.Pairs, got.Errors)
			}
			n := 0
			seen.Range(func(any, any) bool { n++; return true })
			if n != want {
				t.Errorf("%d keys, not %d", n, want)
			}
		})
	}
}

// broken fails at locking once and at unlocking for ever.
type broken struct{ calls int }

func (b *broken) Lock(context.Context, string) error {
	if b.calls++; b.calls == 1 {
		return holdfast.Unavailable(nil, "away")
	}
	return nil
}

func (b *broken) Unlock(context.Context, string) error {
	if b.calls == 2 {
		return errors.New("something else")
	}
	return ErrNotHeld
}

func TestErrorsAreCountedByCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := Run(t.Context(), Load{Clients: 1, Duration: 995 * time.Millisecond}, func(int, string) Owner { return &broken{} })
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"unavailable": 1, "error": 1, "not_held": 98} // it rests after each
		if got.Pairs != 0 || got.Failed() != 100 || !reflect.DeepEqual(got.Errors, want) {
			t.Errorf("%d pairs, %d errors %v", got.Pairs, got.Failed(), got.Errors)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		start := time.Now()
		_, err := Run(ctx, Load{Clients: 2, Duration: time.Minute}, func(int, string) Owner { return slow{time.Millisecond, time.Millisecond} })
		if !errors.Is(err, why) || time.Since(start) > 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestLoadIsBounded(t *testing.T) {
	good := Load{Clients: maxClients, Hold: maxDuration, Duration: maxDuration, Warmup: maxDuration}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]Load{
		"--clients":  {Clients: maxClients + 1, Duration: 1},
		"--clients:": {Duration: 1},
		"--hold":     {Clients: 1, Hold: maxDuration + 1, Duration: 1},
		"--duration": {Clients: 1, Duration: maxDuration + 1},
		"--warmup":   {Clients: 1, Duration: 1, Warmup: maxDuration + 1},
	} {
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"own", "shared", "2", "1000000"} {
		var keys Keys
		if err := keys.UnmarshalText([]byte(text)); err != nil {
			t.Error(err)
		}
		if again, _ := keys.MarshalText(); string(again) != text {
			t.Errorf("%s became %s", text, again)
		}
	}
	for _, text := range []string{"", "0", "-1", "mine", "1.5"} {
		if err := new(Keys).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestPrint(t *testing.T) {
	r := Result{
		Target: "http://x", Calls: "http", Conns: 3, Clients: 2, Hold: 0.5, Seconds: 1.5, Pairs: 30, PerSecond: 20,
		Lock: Latency{1500, 2000, 3000, 4000}, Fairness: Share{10, 15, 20}, Errors: map[string]int{"locked": 2, "error": 1},
	}
	var out bytes.Buffer
	if err := r.Print(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 clients, keys: own, each held for 0.5 ms, connections: 3, for 1.5s", "lock  1.500  2.000  3.000    4.000", "pairs/s: 20", "smallest 10, mean 15.0, largest 20", "errors: error 1, locked 2\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	out.Reset()
	if err := r.Print(&out, true); err != nil {
		t.Fatal(err)
	}
	var again Result
	if err := json.Unmarshal(out.Bytes(), &again); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("%v: %s", err, &out)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("there is something in an empty one")
	}
	for d := range time.Duration(100_000) {
		h.add(d)
	}
	for part, want := range map[float64]float64{0: 0, 0.0005: 49, 0.5: 50_000, 0.99: 99_000, 0.999: 99_900, 1: 99_999} {
		if got := float64(h.quantile(part)); math.Abs(got-want) > max(1, want/100) {
			t.Errorf("%v: %v, not %v", part, got, want)
		}
	}
	for d := time.Duration(1); d < 1<<maxBits; d += d/300 + 1 {
		if i := step(d); i < 0 || i >= steps || !near(float64(middle(i)), float64(d)) && d >= linear {
			t.Fatalf("%v is counted at %d, as %v", d, i, middle(i))
		}
	}
	var two histogram
	two.add(-1)             // a clock that goes backwards
	two.add(1<<maxBits - 1) // the longest that is told apart
	two.add(1 << 50)        // longer than can be told apart
	two.merge(&h)
	if two.count != h.count+3 || two.longest != 1<<50 || two.quantile(0) != 0 {
		t.Errorf("%d, longest %v", two.count, two.longest)
	}
}
