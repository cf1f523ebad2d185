package table

import (
	"fmt"
	"io"
	"testing"
	"time"

	"holdfast"
)

// filled gives a table with n holds, each of its own owner on its own key.
func filled(n int) *Table {
	t := New(0)
	for i := range n {
		t.Apply(&Command{Op: Lock, UID: fmt.Sprintf("svc-%07d", i), Keys: holdfast.Keys(fmt.Sprintf("order/%07d", i)), Exp: time.Minute})
	}
	return t
}

// BenchmarkPair is an uncontended lock and its unlock, in tables that hold
// more and more already.
func BenchmarkPair(b *testing.B) {
	for _, held := range []int{0, 64, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			t := filled(held)
			uids, asks := make([]string, 1024), make([][]holdfast.Ask, 1024)
			for i := range asks {
				n := i * (held/len(asks) + 1)
				uids[i] = fmt.Sprintf("svc-%07d/b", n)
				asks[i] = holdfast.Keys(fmt.Sprintf("order/%07d/b", n))
			}
			b.ReportAllocs()
			lock, unlock := Command{Op: Lock, Exp: time.Second}, Command{Op: Unlock, Tokens: make([]holdfast.Token, 1)}
			i := 0
			for b.Loop() {
				lock.UID, lock.Keys = uids[i&1023], asks[i&1023]
				out := t.Apply(&lock)
				if out.Status != Granted {
					b.Fatal(out.Status)
				}
				unlock.UID, unlock.Tokens[0] = lock.UID, out.Tokens[0]
				t.Apply(&unlock)
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
		})
	}
}

// BenchmarkHandOver is an unlock that lets the next in line in, who then
// joins the end of the line again.
func BenchmarkHandOver(b *testing.B) {
	for _, waiting := range []int{1, 64, 50_000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			t := New(0)
			uids := make([]string, waiting+1)
			for i := range uids {
				uids[i] = fmt.Sprintf("svc-%d", i)
				t.Apply(&Command{Op: Lock, UID: uids[i], Keys: holdfast.Keys("x"), Exp: time.Second, Wait: true})
			}
			holder := holdfast.Token{Key: "x", Version: t.Version()}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				uid := uids[i%len(uids)]
				out := t.Apply(&Command{Op: Unlock, UID: uid, Tokens: []holdfast.Token{holder}})
				if len(out.Grants) != 1 {
					b.Fatal("nobody was let in")
				}
				holder = out.Grants[0].Tokens[0]
				t.Apply(&Command{Op: Lock, UID: uid, Keys: holdfast.Keys("x"), Exp: time.Second, Wait: true})
				i++
			}
		})
	}
}

// BenchmarkSemaphore is a lock with a limit and its unlock, on a key that others
// share already.
func BenchmarkSemaphore(b *testing.B) {
	for _, holders := range []int{1, 10, 100, 10_000} {
		b.Run(fmt.Sprintf("holders=%d", holders), func(b *testing.B) {
			t := New(0)
			lock := Command{Op: Lock, Keys: []holdfast.Ask{{Key: "x", Mode: holdfast.Shared, Limit: holders + 1}}}
			for i := range holders {
				lock.UID = fmt.Sprintf("svc-%d", i)
				t.Apply(&lock)
			}
			lock.UID = "one more"
			b.ReportAllocs()
			for b.Loop() {
				out := t.Apply(&lock)
				if out.Status != Granted {
					b.Fatal(out.Status)
				}
				t.Apply(&Command{Op: Unlock, UID: lock.UID, Tokens: []holdfast.Token{out.Tokens[0]}})
			}
		})
	}
}

// BenchmarkDrain is the end of an exclusive hold, and of as many shared ones by
// force, behind which many with a limit stand in line who are all let in.
func BenchmarkDrain(b *testing.B) {
	for _, waiting := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				t := New(0)
				t.Apply(&Command{Op: Lock, UID: "alone", Keys: holdfast.Keys("x")})
				limited := []holdfast.Ask{{Key: "x", Mode: holdfast.Shared, Limit: waiting}}
				for i := range 2 * waiting {
					t.Apply(&Command{Op: Lock, UID: fmt.Sprintf("svc-%d", i), Keys: limited, Wait: true})
				}
				b.StartTimer()
				for range 2 {
					if out := t.Apply(&Command{Op: Force, Key: "x"}); len(out.Grants) != waiting {
						b.Fatalf("%d were let in", len(out.Grants))
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*2*waiting), "ns/grant")
		})
	}
}

// BenchmarkCircle is the search for a circle behind a key that many share, each
// of whom waits for the one before or behind.
func BenchmarkCircle(b *testing.B) {
	for _, toward := range []int{-1, 1} {
		for _, sharing := range []int{100, 1000} {
			b.Run(fmt.Sprintf("toward=%d/sharing=%d", toward, sharing), func(b *testing.B) {
				t := New(0)
				own := func(i int) []holdfast.Ask { return holdfast.Keys(fmt.Sprintf("own/%05d", i)) }
				for i := range sharing {
					uid := fmt.Sprintf("svc-%05d", i)
					t.Apply(&Command{Op: Lock, UID: uid, Keys: own(i)})
					t.Apply(&Command{Op: Lock, UID: uid, Keys: []holdfast.Ask{{Key: "x", Mode: holdfast.Shared}}})
				}
				for i := range sharing {
					if to := i + toward; to >= 0 && to < sharing {
						t.Apply(&Command{Op: Lock, UID: fmt.Sprintf("svc-%05d", i), Keys: own(to), Wait: true})
					}
				}
				t.Apply(&Command{Op: Lock, UID: "one", Keys: holdfast.Keys("y")})
				t.Apply(&Command{Op: Lock, UID: "two", Keys: holdfast.Keys("y"), Wait: true})
				for b.Loop() {
					out := t.Apply(&Command{Op: Lock, UID: "one", Keys: holdfast.Keys("x"), Wait: true})
					if out.Status != InLine {
						b.Fatal(out.Status)
					}
					t.Apply(&Command{Op: Cancel, Place: out.Place, Seen: 1 << 60})
				}
			})
		}
	}
}

// BenchmarkSnapshotPause is how long the table stops for a snapshot of a
// million holds, and BenchmarkSnapshotWrite how long it takes to write one
// out beside it.
func BenchmarkSnapshotPause(b *testing.B) {
	t := filled(1_000_000)
	for b.Loop() {
		t.Snapshot()
	}
}

func BenchmarkSnapshotWrite(b *testing.B) {
	s := filled(1_000_000).Snapshot()
	for b.Loop() {
		n, err := s.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}
