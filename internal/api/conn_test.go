package api

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// never is a deadline that does not come.
const never = 0

// A read ends at the deadline that was asked for last, whatever was asked for
// before it, in the middle of it, and whatever is really set.
func TestReadDeadlines(t *testing.T) {
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

// While a request runs, what its client sends is read ahead, so that its going is
// noticed; nothing of that is lost, whatever ends it.
func TestReadingAhead(t *testing.T) {
	for _, c := range []struct {
		name  string
		sent  int
		close bool  // after that, it goes
		end   error // of the watch
	}{
		{"it goes at once", 0, true, io.EOF},
		{"it goes after a byte", 1, true, io.EOF},
		{"it goes after some", 5000, true, io.EOF},
		{"it goes with room for one more", mostAhead - 1, true, io.EOF},
		{"it sends as much as there is room for", mostAhead, true, nil},
		{"it sends more", mostAhead + 5000, true, nil},
		{"it stays", 0, false, os.ErrDeadlineExceeded},
		{"it stays after a byte", 1, false, os.ErrDeadlineExceeded},
		{"it stays after some", mostAhead - 1, false, os.ErrDeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				defer far.Close()
				sent := make([]byte, c.sent)
				for i := range sent {
					sent[i] = byte(i / 3)
				}
				go func() {
					far.Write(sent)
					if c.close {
						far.Close()
					}
				}()
				on := &conn{Conn: near}
				time.AfterFunc(time.Second, func() { on.SetReadDeadline(time.Unix(1, 0)) }) // as net/http does
				first := make([]byte, 1)
				n, err := on.Read(first)
				if !errors.Is(err, c.end) || n != 0 && err != nil || n != 1 && err == nil {
					t.Fatalf("%d, %v; want %v", n, err, c.end)
				}
				got := first[:n]
				if !c.close {
					if err := on.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
						t.Fatal(err)
					}
				}
				rest, err := io.ReadAll(on)
				if c.close && err != nil || !c.close && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("in the end: %v", err)
				}
				if got = append(got, rest...); !bytes.Equal(got, sent) {
					t.Errorf("sent %d bytes, got %d, or others", len(sent), len(got))
				}
			})
		})
	}
}

// One who asks for much and reads nothing does not keep its goroutine; one who
// reads in time gets everything, however long ago the last write was.
func TestWriteDeadlines(t *testing.T) {
	const unread = -1
	for _, c := range []struct {
		name       string
		idle, read time.Duration // before the write, and from then until it is read
		end        time.Duration // when it fails; zero if it does not
	}{
		{"read at once", 0, 0, 0},
		{"read in time", 0, writeTimeout, 0},
		{"not read", 0, unread, 2 * writeTimeout},
		{"not read, later", writeTimeout - time.Second, unread, writeTimeout + time.Second},
		{"read in time after an hour", time.Hour, writeTimeout - time.Second, 0},
		{"not read after an hour", time.Hour, unread, writeTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				defer far.Close()
				on := &conn{Conn: near}
				read := func(after time.Duration, n int) {
					time.Sleep(after)
					io.ReadFull(far, make([]byte, n))
				}
				go read(0, 4)
				if n, err := on.Write([]byte("once")); n != 4 || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
				time.Sleep(c.idle)
				if err := on.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil { // as net/http does
					t.Fatal(err)
				}
				go read(0, 2)
				if c.read != unread {
					go read(c.read, 3)
				}
				began := time.Now()
				n, err := on.Write([]byte("again"))
				if took := time.Since(began); c.end == 0 && (n != 5 || err != nil) ||
					c.end != 0 && (n != 2 || !errors.Is(err, os.ErrDeadlineExceeded) || took != c.end) {
					t.Errorf("%d, %v after %v", n, err, took)
				}
			})
		})
	}
}
