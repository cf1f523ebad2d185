package raftstore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast"
)

var crowds = []int{1, 64, 256}

// BenchmarkDurable compares lock+unlock pairs through the store with the same
// number of changes written to a bare file: commands gathered by the same
// loop, one append to a preallocated file and one fdatasync for each batch.
// Both run in turn, so that the ratio is of one run.
func BenchmarkDurable(b *testing.B) {
	for _, n := range crowds {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			s := open(b, b.TempDir())
			f := newBareFile(b)
			var store, bare time.Duration
			const round = 100
			for b.Loop() {
				store += crowd(n, round, func(i int) {
					uid := fmt.Sprint("u", i)
					grant := lock(b, s, holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(uid), Exp: time.Minute})
					if _, err := s.Unlock(b.Context(), holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens}); err != nil {
						b.Error(err)
					}
				})
				bare += crowd(n, round, func(int) {
					f.write()
					f.write()
				})
			}
			pairs := float64(b.N * n * round)
			b.ReportMetric(pairs/store.Seconds(), "pairs/s")
			b.ReportMetric(pairs/bare.Seconds(), "bare-pairs/s")
			b.ReportMetric(bare.Seconds()/store.Seconds(), "ratio")
		})
	}
}

// BenchmarkLatency is one client that locks and unlocks, against one append
// and fdatasync after the other on a preallocated file.
func BenchmarkLatency(b *testing.B) {
	s := open(b, b.TempDir())
	f := newBareFile(b)
	var locks, appends []time.Duration
	for b.Loop() {
		began := time.Now()
		grant := lock(b, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Minute})
		locks = append(locks, time.Since(began))
		s.Unlock(b.Context(), holdfast.UnlockRequest{UID: "a", Tokens: grant.Tokens})
		began = time.Now()
		f.append(1)
		appends = append(appends, time.Since(began))
	}
	p50 := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2].Nanoseconds()) / 1000
	}
	b.ReportMetric(p50(locks), "lock-p50-µs")
	b.ReportMetric(p50(appends), "append-p50-µs")
	b.ReportMetric(p50(locks)/p50(appends), "ratio")
}

// crowd has n goroutines do something so many times each.
func crowd(n, times int, do func(i int)) time.Duration {
	began := time.Now()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for range times {
				do(i)
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

// bareFile is the least that a durable service has to do.
type bareFile struct {
	file  *os.File
	at    int64
	queue chan chan struct{}
}

const (
	recordSize = 64
	fileSize   = 64 << 20
)

func newBareFile(b *testing.B) *bareFile {
	file, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := file.Write(make([]byte, fileSize)); err != nil {
		b.Fatal(err)
	}
	file.Sync()
	f := &bareFile{file: file, queue: make(chan chan struct{}, 4096)}
	var done sync.WaitGroup
	done.Go(f.loop)
	b.Cleanup(func() {
		close(f.queue)
		done.Wait()
		file.Close()
	})
	return f
}

func (f *bareFile) write() {
	done := make(chan struct{})
	f.queue <- done
	<-done
}

func (f *bareFile) loop() {
	for first := range f.queue {
		batch := []chan struct{}{first}
		for more := true; more && len(batch) < batchLength; {
			select {
			case next, ok := <-f.queue:
				if more = ok; ok {
					batch = append(batch, next)
				}
			default:
				more = false
			}
		}
		f.append(len(batch))
		for _, done := range batch {
			close(done)
		}
	}
}

func (f *bareFile) append(records int) {
	size := int64(records * recordSize)
	if f.at+size > fileSize {
		f.at = 0
	}
	f.file.WriteAt(make([]byte, size), f.at)
	syscall.Fdatasync(int(f.file.Fd()))
	f.at += size
}

// BenchmarkSnapshotUnderLoad is the p99 of a lock among a million holds, with
// snapshots being written all the time and without.
func BenchmarkSnapshotUnderLoad(b *testing.B) {
	const holds, owners = 1_000_000, 16
	s := open(b, b.TempDir())
	keys := make([]holdfast.Ask, holdfast.MaxKeys)
	for i := 0; i < holds; i += len(keys) {
		for k := range keys {
			keys[k].Key = fmt.Sprintf("order/%07d", i+k)
		}
		lock(b, s, holdfast.LockRequest{UID: fmt.Sprint("svc-", i), Keys: slices.Clone(keys), Exp: time.Hour})
	}
	locks := func(rounds int) []time.Duration {
		var mu sync.Mutex
		var all []time.Duration
		crowd(owners, rounds, func(i int) {
			uid := fmt.Sprint("u", i)
			began := time.Now()
			grant := lock(b, s, holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(uid), Exp: time.Minute})
			took := time.Since(began)
			s.Unlock(b.Context(), holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens})
			mu.Lock()
			all = append(all, took)
			mu.Unlock()
		})
		return all
	}
	var without, with []time.Duration
	for b.Loop() {
		without = append(without, locks(500)...)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					s.raft.Snapshot().Error()
				}
			}
		}()
		with = append(with, locks(500)...)
		close(stop)
		<-stopped
	}
	p99 := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)*99/100].Microseconds())
	}
	b.ReportMetric(p99(without), "p99-µs")
	b.ReportMetric(p99(with), "p99-during-µs")
	b.ReportMetric(p99(with)/p99(without), "ratio")
}
