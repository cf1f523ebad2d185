package keeper

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// BenchmarkBytesPerHold is the memory that a hold takes in the table and the
// lease clock together, beside its key and its uid.
func BenchmarkBytesPerHold(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		uids, asks := make([]string, n), make([][]holdfast.Ask, n)
		for i := range n {
			uids[i] = fmt.Sprintf("svc-%07d", i)
			asks[i] = holdfast.Keys(fmt.Sprintf("order/%07d", i))
		}
		before := heapBytes()
		k := New(0)
		k.StartClock()
		for i := range n {
			k.Apply(&table.Command{Op: table.Lock, UID: uids[i], Keys: asks[i], Exp: time.Minute})
		}
		b.ReportMetric(float64(heapBytes()-before)/n, "bytes/hold")
		runtime.KeepAlive(k)
		runtime.KeepAlive(uids)
		runtime.KeepAlive(asks)
	}
}

func heapBytes() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
