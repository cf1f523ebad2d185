package api

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A read ends at the deadline that was asked for last, whatever was asked for
// before it, in the middle of it, and whatever is really set.
func TestReadDeadlines(t *testing.T) {
	const never = 0
	past := -time.Since(time.Unix(1, 0))
	for _, c := range []struct {
		name   string
		before []time.Duration // deadlines before the read, each with a read that gets something
		then   []time.Duration // deadlines set during the read, one each second
		end    time.Duration   // when it ends
	}{
		{"one", []time.Duration{5 * time.Second}, nil, 5 * time.Second},
		{"a later one", []time.Duration{5 * time.Second, 9 * time.Second}, nil, 9 * time.Second},
		{"a sooner one", []time.Duration{9 * time.Second, 5 * time.Second}, nil, 5 * time.Second},
		{"none any more", []time.Duration{5 * time.Second, never}, nil, never},
		{"one again", []time.Duration{5 * time.Second, never, 9 * time.Second}, nil, 9 * time.Second},
		{"a later one meanwhile", []time.Duration{5 * time.Second}, []time.Duration{9 * time.Second}, 9 * time.Second},
		{"a sooner one meanwhile", []time.Duration{9 * time.Second}, []time.Duration{5 * time.Second}, 5 * time.Second},
		{"none meanwhile", []time.Duration{5 * time.Second}, []time.Duration{never}, never},
		{"one after all", []time.Duration{never}, []time.Duration{5 * time.Second}, 5 * time.Second},
		{"back and forth", []time.Duration{5 * time.Second}, []time.Duration{9 * time.Second, 4 * time.Second, 7 * time.Second}, 7 * time.Second},
		{"long ago", []time.Duration{9 * time.Second, past}, nil, 0},
		{"long ago, meanwhile", []time.Duration{9 * time.Second}, []time.Duration{past}, time.Second},
		{"after long ago", []time.Duration{9 * time.Second, past, 5 * time.Second}, nil, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				defer far.Close()
				began := time.Now()
				at := func(after time.Duration) time.Time {
					if after == never {
						return time.Time{}
					}
					return began.Add(after)
				}
				on := &conn{Conn: near}
				buffer := make([]byte, 8)
				for _, deadline := range c.before {
					if err := on.SetReadDeadline(at(deadline)); err != nil {
						t.Fatal(err)
					}
					if deadline < 0 {
						if n, err := on.Read(buffer); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Fatalf("%d, %v", n, err)
						}
						continue
					}
					go far.Write([]byte("x"))
					if n, err := on.Read(buffer); n != 1 || err != nil {
						t.Fatalf("%d, %v", n, err)
					}
				}
				go func() {
					for _, deadline := range c.then {
						time.Sleep(time.Second)
						on.SetReadDeadline(at(deadline))
					}
				}()
				if c.end == never && c.before[len(c.before)-1] >= 0 {
					time.AfterFunc(time.Hour, func() { far.Write([]byte("x")) })
					if n, err := on.Read(buffer); n != 1 || err != nil || time.Since(began) != time.Hour {
						t.Fatalf("%d, %v after %v", n, err, time.Since(began))
					}
					return
				}
				if n, err := on.Read(buffer); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != c.end {
					t.Fatalf("%d, %v after %v", n, err, time.Since(began))
				}
			})
		})
	}
}
