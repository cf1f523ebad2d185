package seldom

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnePassesInEachSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, every := range []time.Duration{0, time.Second, time.Minute} {
			gate := &Gate{Every: every}
			for range 3 {
				if !gate.Pass() || gate.Pass() {
					t.Fatalf("%v: not one passes", every)
				}
				time.Sleep(max(every, time.Second) - time.Nanosecond)
				if gate.Pass() {
					t.Fatalf("%v: one passes too soon", every)
				}
				time.Sleep(time.Nanosecond)
			}
		}
	})
}

func TestLinesAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		w := Writer(&text)
		for _, line := range []string{"a\n", "b\n", "c\n"} {
			if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
				t.Errorf("%q: %d, %v", line, n, err)
			}
			time.Sleep(600 * time.Millisecond)
		}
		if text.String() != "a\nc\n" {
			t.Errorf("got %q", text.String())
		}
	})
}
