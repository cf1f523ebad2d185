package bench

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts durations. Each doubling is divided into 64 steps, so that
// a duration comes back with an error of less than a hundredth, whatever its
// size. It is the idea of HdrHistogram.
type histogram struct {
	steps   [steps]uint32
	count   int
	longest time.Duration
}

const (
	stepBits = 6      // 2^stepBits steps a doubling
	maxBits  = 40     // of the longest duration that is told apart, in ns: 18 minutes
	linear   = 1 << 7 // below it each value is a step of its own
	steps    = (maxBits-stepBits-1)<<stepBits + linear
)

func (h *histogram) add(d time.Duration) {
	h.count++
	h.longest = max(h.longest, d)
	h.steps[step(d)]++
}

func (h *histogram) merge(other *histogram) {
	h.count += other.count
	h.longest = max(h.longest, other.longest)
	for i, n := range other.steps {
		h.steps[i] += n
	}
}

// quantile is the duration that this part of all do not exceed; zero if there
// are none.
func (h *histogram) quantile(part float64) time.Duration {
	rank := int(math.Ceil(part * float64(h.count)))
	for i, n := range h.steps {
		if rank -= int(n); n > 0 && rank <= 0 {
			return min(middle(i), h.longest)
		}
	}
	return 0
}

// step is where a duration is counted.
func step(d time.Duration) int {
	v := uint64(min(max(d, 0), 1<<maxBits-1))
	shift := max(0, bits.Len64(v)-stepBits-1)
	return shift<<stepBits + int(v>>shift)
}

// middle is the duration in the middle of a step.
func middle(step int) time.Duration {
	shift := max(0, step>>stepBits-1)
	return time.Duration(step-shift<<stepBits)<<shift + 1<<shift/2
}
