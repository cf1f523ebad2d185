package api

import (
	"fmt"
	"testing"
)

// As many workers as are needed carry out tasks; some stay for the next ones,
// and none outlasts its connection.
func TestWorkersStayForTheNextTasks(t *testing.T) {
	s := open(t)
	c := s.full()
	var stream *stream
	for stream = range s.server.handler.streams.open {
	}
	idle := func(want int32) {
		t.Helper()
		until(t, func() string {
			if n := stream.idle.Load(); n != want {
				return fmt.Sprintf("%d are idle, not %d", n, want)
			}
			return ""
		})
	}
	idle(0)
	for i := range maxUnderWay {
		c.send(fmt.Sprintf(`{"id":%d,"op":"cancel"}`, i+1))
	}
	for range maxUnderWay {
		c.next().is(499)
	}
	idle(maxIdle)
	c.send(`{"id":1,"op":"lock","uid":"u0","keys":"a","wait":3600000}`)
	s.inLine("a", "u0")
	idle(maxIdle - 1)
	c.Close()
	idle(0)
}
