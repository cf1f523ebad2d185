package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/wire"
)

// follow opens a stream of events.
func (p pipes) follow(t *testing.T) (net.Conn, io.Reader) {
	t.Helper()
	near, far := net.Pipe()
	p <- far
	go io.WriteString(near, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(near), nil)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v, %v", response, err)
	}
	return near, response.Body
}

func TestEventsHaveAHeart(t *testing.T) {
	inPipes(t, true, func(t *testing.T, service holdfast.Service, l pipes) {
		conn, events := l.follow(t)
		defer conn.Close()
		began := time.Now()
		if err := conn.SetReadDeadline(began.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			beat := make([]byte, len(wire.Heartbeat))
			if _, err := io.ReadFull(events, beat); err != nil || string(beat) != wire.Heartbeat {
				t.Fatalf("got %q, %v", beat, err)
			}
			if at, want := time.Since(began), time.Duration(n+1)*wire.HeartbeatEvery; at != want {
				t.Errorf("beat %d after %v, not %v", n, at, want)
			}
		}
	})
}

// Who follows events and does not read them is cut off, and slows nobody.
func TestWhoDoesNotReadEventsIsCutOff(t *testing.T) {
	inPipes(t, true, func(t *testing.T, service holdfast.Service, l pipes) {
		bad, _ := l.follow(t)
		defer bad.Close()
		good, events := l.follow(t)
		defer good.Close()
		began := time.Now()
		const locks = 10 * pendingEvents
		for i := range locks {
			if _, err := service.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys(fmt.Sprint(i)), Exp: time.Hour}); err != nil {
				t.Fatal(err)
			}
			if err := readEvent(events); err != nil {
				t.Fatalf("the one who reads, after %d events: %v", i, err)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the others waited for %v", took)
		}
		go io.Copy(io.Discard, events)
		time.Sleep(2*writeTimeout + time.Second)
		if _, err := bad.Write([]byte{0}); err == nil {
			t.Errorf("after %v it is not cut off", time.Since(began))
		}
		if _, err := good.Write([]byte{0}); err != nil {
			t.Errorf("who reads is cut off: %v", err)
		}
	})
}

// readEvent reads up to the empty line behind an event.
func readEvent(from io.Reader) error {
	b := make([]byte, 1)
	for last := byte(0); ; last = b[0] {
		if _, err := from.Read(b); err != nil {
			return err
		}
		if last == '\n' && b[0] == '\n' {
			return nil
		}
	}
}
