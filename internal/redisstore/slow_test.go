package redisstore

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"holdfast/internal/redistest"
)

// slowly passes connections on to a server, each read of requests so much later.
func slowly(t testing.TB, to string, late time.Duration) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			go func() {
				defer there.Close()
				buffer := make([]byte, 64<<10)
				for {
					n, err := from.Read(buffer)
					if err != nil {
						return
					}
					time.Sleep(late)
					if _, err := there.Write(buffer[:n]); err != nil {
						return
					}
				}
			}()
			go func() {
				defer from.Close()
				io.Copy(from, there)
			}()
		}
	}()
	return listener.Addr().String()
}

// A server that has many places to leave, of requests that had no answer while
// Redis hung, does not count as dead meanwhile: its waiters keep their places.
func TestAServerThatHasMuchToPutInOrderLives(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, "redis://"+slowly(t, server.Addr(), 10*time.Millisecond))
	other := openQuick(t, server.URL())
	held := lock(t, s, "a", "x", time.Minute)
	first := waits(t, s, "first", "x")
	second := waits(t, other, "second", "x")
	lock(t, other, "a", "y", time.Minute)
	const places = 400 // so many times 10 ms are more than DeadAfter
	for i := range places {
		answer, err := other.ask([]string{fmt.Sprint("u", i), "60000", "", fmt.Sprint(s.id, " t", i, " 2000"), "", "x", "y"})
		if err != nil || status(answer) != wordWaiting {
			t.Fatal(answer, err)
		}
	}
	s.reconcileSoon()
	redistest.Eventually(t, "the places are left", func() bool {
		state, err := other.Get(t.Context(), "y")
		return err == nil && len(state.Waiters) == 0
	})
	unlock(t, other, "a", held)
	select {
	case err := <-second:
		t.Fatalf("the second came before the first: %v", err)
	case err := <-first:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody is let in")
	}
}
