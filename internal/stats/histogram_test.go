package stats

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	h := NewHistogram([]int64{1, 10})
	for _, value := range []int64{-1, 0, 1, 2, 10, 11, math.MaxInt32} {
		h.Add(value)
	}
	d := h.Read()
	if got := fmt.Sprint(d.Counts, d.Count(), d.Sum); got != fmt.Sprint([]int{3, 2, 2}, 7, math.MaxInt32+23) {
		t.Errorf("got %s", got)
	}
	if d := NewHistogram(Sizes).Read(); len(d.Counts) != len(Sizes)+1 || d.Count() != 0 || d.Sum != 0 {
		t.Errorf("nothing is counted as %v", d)
	}
}

func TestBoundsGrow(t *testing.T) {
	for _, bounds := range [][]int64{Quick, Long, Sizes} {
		for i := 1; i < len(bounds); i++ {
			if bounds[i] <= bounds[i-1] {
				t.Errorf("%d follows %d", bounds[i], bounds[i-1])
			}
		}
	}
}

func TestNothingIsLostAmongMany(t *testing.T) {
	h := NewHistogram(Quick)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				h.Add(int64(time.Millisecond))
			}
		})
	}
	all.Wait()
	if d := h.Read(); d.Count() != 8000 || d.Sum != 8000*int64(time.Millisecond) {
		t.Errorf("got %v", d)
	}
}

func BenchmarkAdd(b *testing.B) {
	h := NewHistogram(Quick)
	for b.Loop() {
		h.Add(int64(30 * time.Microsecond))
	}
}
