package api

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"holdfast/internal/memory"
)

// As many workers as are needed carry out tasks. Some stay for the next ones,
// but not for days, and none outlasts its connection.
func TestWorkersStayForTheNextTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		server, l, stop := servePipes(t, store, false)
		dialer := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			l <- far
			return near, nil
		}}
		c, _, err := dialer.Dial("ws://localhost/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for err == nil {
				_, _, err = c.ReadMessage() // and answer pings
			}
		}()
		synctest.Wait()
		var stream *stream
		for stream = range server.handler.streams.open {
		}
		send := func(message string, id int) {
			if err := c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, message, id)); err != nil {
				t.Fatal(err)
			}
		}
		const lock, cancel = `{"id":%d,"op":"lock","uid":"u%[1]d","keys":"a","wait":86400000,"exp":86400000}`, `{"id":%d,"op":"cancel"}`
		idle := func(want int32) {
			t.Helper()
			synctest.Wait()
			if n := stream.idle.Load(); n != want {
				t.Errorf("%d are idle, not %d", n, want)
			}
		}
		send(lock, 1) // granted
		idle(1)
		for range 3 {
			for i := range maxIdle + 50 {
				send(lock, 2+i)
			}
			idle(0)
			for i := range maxIdle + 50 {
				send(cancel, 2+i)
			}
			idle(maxIdle)
			send(lock, 2)
			idle(maxIdle - 1)
			send(cancel, 2)
			idle(maxIdle)
			time.Sleep(time.Minute)
			idle(0)
		}
		send(`{"id":%d,"op":"check","keys":"a"}`, 1)
		idle(1)
		c.Close()
		idle(0)
		stop()
	})
}
