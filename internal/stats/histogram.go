// Package stats counts. It is what those parts have in common that keep
// figures about themselves: a histogram that costs a few nanoseconds, and the
// figures that every store has. How figures are shown is decided elsewhere
// (internal/metrics); what is here knows of no format.
package stats

import (
	"sync/atomic"
	"time"
)

// Bounds of histograms, each the largest value that a bucket takes in.
var (
	// Quick is for what takes from a write to memory to a stalled disk.
	Quick = nanoseconds(
		100*time.Microsecond, 250*time.Microsecond, 500*time.Microsecond,
		time.Millisecond, 2500*time.Microsecond, 5*time.Millisecond,
		10*time.Millisecond, 25*time.Millisecond, 50*time.Millisecond,
		100*time.Millisecond, 250*time.Millisecond, 500*time.Millisecond,
		time.Second, 2500*time.Millisecond, 5*time.Second, 10*time.Second)

	// Long is for holds and waits, which may take up to a day.
	Long = nanoseconds(
		time.Millisecond, 5*time.Millisecond, 25*time.Millisecond, 100*time.Millisecond, 500*time.Millisecond,
		time.Second, 5*time.Second, 15*time.Second, time.Minute, 5*time.Minute, 30*time.Minute, 2*time.Hour, 24*time.Hour)

	// Sizes is for how many things go into one.
	Sizes = []int64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}
)

func nanoseconds(durations ...time.Duration) []int64 {
	bounds := make([]int64, len(durations))
	for i, d := range durations {
		bounds[i] = int64(d)
	}
	return bounds
}

// Histogram counts values by size. Its methods may be called from any number
// of goroutines at once, and wait for nothing.
type Histogram struct {
	bounds []int64
	counts []atomic.Uint64 // of each bucket; the last is for what is beyond all bounds
	sum    atomic.Int64
}

// NewHistogram gives an empty histogram. The bounds must grow, and must not be
// changed any more.
func NewHistogram(bounds []int64) *Histogram {
	return &Histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Add counts a value. Durations are counted in nanoseconds.
func (h *Histogram) Add(value int64) {
	i := 0
	for i < len(h.bounds) && value > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(value)
}

// Since counts the time from start.
func (h *Histogram) Since(start time.Time) { h.Add(int64(time.Since(start))) }

// Read gives what has been counted so far.
func (h *Histogram) Read() Distribution {
	d := Distribution{Bounds: h.bounds, Counts: make([]uint64, len(h.counts)), Sum: h.sum.Load()}
	for i := range h.counts {
		d.Counts[i] = h.counts[i].Load()
	}
	return d
}

// Distribution is a histogram at one moment. What was being added just then
// may be in Counts and not yet in Sum.
type Distribution struct {
	Bounds []int64
	Counts []uint64 // values in each bucket alone; one more than Bounds
	Sum    int64
}

// Count is how many values were counted.
func (d Distribution) Count() (n uint64) {
	for _, count := range d.Counts {
		n += count
	}
	return n
}
