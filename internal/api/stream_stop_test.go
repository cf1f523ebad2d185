package api

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"holdfast"
	"holdfast/internal/memory"
)

// pausing is a service whose Check waits until the test says so.
type pausing struct {
	holdfast.Service
	goOn chan struct{}
}

func (p pausing) Check(ctx context.Context, keys []string) (bool, error) {
	<-p.goOn
	return p.Service.Check(ctx, keys)
}

// That goes for what the reader carries out itself, too: its lock is granted, and
// nobody else would hear of it.
func TestTheServerClosesAStreamWhenAllIsAnswered(t *testing.T) {
	for _, prompt := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := memory.New()
			defer store.Close()
			service := pausing{store, make(chan struct{})}
			server, l, stop := servePipes(t, service, prompt)
			c, reader := l.dial(t)
			defer c.Close()
			message := `[{"id":1,"op":"lock","uid":"u","keys":"a"},{"id":2,"op":"check","keys":"b"}]`
			io.WriteString(c, string([]byte{0x81, 0x80 | byte(len(message)), 0, 0, 0, 0})+message)
			synctest.Wait()
			server.handler.Stop()
			synctest.Wait()
			close(service.goOn)
			all, _ := io.ReadAll(reader)
			got := string(all)
			for _, want := range []string{`"id":1,"status":200`, `"id":2,"status":200`} {
				answer, end := strings.Index(got, want), strings.Index(got, "the server is stopping")
				if answer < 0 || answer > end {
					t.Errorf("prompt %v: no %s before the end in %q", prompt, want, got)
				}
			}
			stop()
		})
	}
}
