package holdfasttest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast"
	"holdfast/client"
	"holdfast/holdfasttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClientsAreKeptApart(t *testing.T) {
	server := holdfasttest.Start(t)
	bySocket, err := client.New(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bySocket.Close)
	if again := server.URL(); again == "" || again != server.URL() {
		t.Errorf("URL changes: %s", again)
	}
	held, err := server.Client().Hold(t.Context(), holdfast.Keys("x"))
	if err != nil {
		t.Fatal(err)
	}
	for name, service := range map[string]holdfast.Service{"another client": server.Client(), "socket": bySocket, "server": server} {
		_, err := service.Lock(t.Context(), holdfast.LockRequest{UID: name, Keys: holdfast.Keys("x"), Exp: time.Minute})
		if refusal, ok := errors.AsType[*holdfast.Error](err); !ok || refusal.Code != holdfast.CodeLocked {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := held.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
	if other, err := holdfasttest.Start(t).Check(t.Context(), []string{"x"}); err != nil || other {
		t.Errorf("another server says %v, %v", other, err)
	}
}

// Whoever is cut off must stop before its hold ends, and somebody else gets the
// key when it has ended.
func TestAway(t *testing.T) {
	for name, connect := range map[string]func(*holdfasttest.Server) *client.Client{
		"stream": (*holdfasttest.Server).Client,
		"plain":  func(s *holdfasttest.Server) *client.Client { return s.ClientWith(client.Options{Plain: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := holdfasttest.Start(t)
				worker := connect(server)
				held, err := worker.Hold(t.Context(), holdfast.Keys("x"), client.Exp(time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				server.GoAway()
				<-held.Context().Done()
				if !errors.Is(held.Err(), client.ErrLost) {
					t.Errorf("the hold says %v", held.Err())
				}
				if locked, err := server.Check(t.Context(), []string{"x"}); err != nil || !locked {
					t.Errorf("it was told when the hold had ended: %v, %v", locked, err)
				}
				if _, err := server.Client().Check(t.Context(), []string{"x"}); err == nil {
					t.Error("a new client reaches a server that is away")
				}
				server.ComeBack()
				next, err := worker.Hold(t.Context(), holdfast.Keys("x"))
				if err != nil {
					t.Fatal(err)
				}
				if err := next.Unlock(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAwayOnSockets(t *testing.T) {
	server := holdfasttest.Start(t)
	c, err := client.Options{Patience: -1}.New(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	check := func() error { _, err := c.Check(t.Context(), []string{"x"}); return err }
	if err := check(); err != nil {
		t.Fatal(err)
	}
	server.GoAway()
	if err := check(); err == nil {
		t.Error("a server that is away answers")
	}
	server.ComeBack()
	if err := check(); err != nil {
		t.Errorf("after it has come back: %v", err)
	}
}
