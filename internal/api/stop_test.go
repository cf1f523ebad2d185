package api

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast"
)

func TestStoppingSendsAwayWhoStandsInLine(t *testing.T) {
	s := open(t)
	version := s.lock("first", "a")
	var waiting []<-chan result
	for _, uid := range []string{"second", "third"} {
		waiting = append(waiting, s.later(t.Context(), "/lock", `{"uid":"`+uid+`","keys":"a","wait":3600000}`))
	}
	until(t, func() string {
		if got := s.waiters("a"); len(got) != 2 {
			return "not in line yet"
		}
		return ""
	})
	s.stop()
	for _, done := range waiting {
		result := soon(t, done)
		if result.err != nil {
			t.Fatal(result.err)
		}
		result.answer.refuses(503, "unavailable", "the server is stopping").
			shows(`{"error":"unavailable","message":"the server is stopping; ask again"}`)
		if got := result.answer.header.Get("Retry-After"); got != "1" {
			t.Errorf("Retry-After %q", got)
		}
	}
	s.inLine("a")
	if state, err := s.service.Get(t.Context(), "a"); err != nil || len(state.Holders) != 1 || state.Holders[0].Version != version {
		t.Errorf("the hold is gone: %+v, %v", state, err)
	}
	if conn, err := net.DialTimeout("tcp", s.address, time.Second); err == nil {
		conn.Close()
		t.Error("still listening")
	}
}

// Only those in line are sent away: the requests that run come to their end.
func TestStoppingLetsRunningRequestsFinish(t *testing.T) {
	s, answers, release := askEverything(t)
	var inLine <-chan result
	running := map[string]<-chan result{}
	for i, call := range everyCall {
		if strings.Contains(call.body, `"wait"`) {
			inLine = answers[i]
		} else {
			running[call.method+call.path+call.body] = answers[i]
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.server.Shutdown(t.Context()) }()
	waited := soon(t, inLine)
	if waited.err != nil {
		t.Fatal(waited.err)
	}
	waited.answer.refuses(503, "unavailable", "the server is stopping")
	select {
	case err := <-stopped:
		t.Fatalf("stopped while requests ran: %v", err)
	default:
	}
	close(release)
	for call, done := range running {
		if result := soon(t, done); result.err != nil || result.answer.status != 200 {
			t.Errorf("%s: %+v", call, result)
		}
	}
	if err := soon(t, stopped); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Between the decision to stop and the end nobody is let into the line, and
// nobody is told to send more requests here.
func TestAStoppingServerIsNotReadyAndLetsNobodyWait(t *testing.T) {
	store := openStore(t)
	for name, service := range map[string]holdfast.Service{"a store": store, "one that may always wait": hesitant{store}} {
		t.Run(name, func(t *testing.T) { stoppingLetsNobodyWait(t, openOver(t, service, Options{})) })
	}
}

// hesitant leaves every lock for when its caller may wait.
type hesitant struct{ holdfast.Service }

func (h hesitant) StartLock(_ context.Context, req holdfast.LockRequest) (
	_ holdfast.Grant, wait func(context.Context) (holdfast.Grant, error), _ error,
) {
	return holdfast.Grant{}, func(ctx context.Context) (holdfast.Grant, error) {
		select {
		case <-ctx.Done(): // nobody who does not wait is told to stop
		case <-time.After(10 * time.Millisecond):
		}
		return h.Lock(ctx, req)
	}, nil
}

func stoppingLetsNobodyWait(t *testing.T, s *site) {
	version := s.lock("first", "a")
	defer s.unlock("first", "a", version)
	s.server.handler.Stop()
	s.ask("GET", "/readyz", "").refuses(503, "unavailable", "the server is stopping")
	s.ask("GET", "/healthz", "").is(200)
	s.post("/lock", `{"uid":"second","keys":"a","wait":3600000}`).refuses(503, "unavailable", "the server is stopping")
	s.post("/lock", `{"uid":"second","keys":"a"}`).is(409)
	s.post("/lock", `{"uid":"second","keys":"b"}`).is(200)
	s.post("/check", `{"keys":"a"}`).is(200)
	s.inLine("a")
	s.server.handler.Stop() // again, and once more when the server is stopped
}

func TestStoppingIsBoundedByItsContext(t *testing.T) {
	asked := make(chan struct{}, 1)
	s := openOver(t, &fakeService{fail: func(ctx context.Context) error {
		asked <- struct{}{}
		<-ctx.Done() // runs until its connection is closed
		return context.Cause(ctx)
	}}, Options{})
	running := s.later(t.Context(), "/check", `{"keys":"a"}`)
	soon(t, asked)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no time left"))
	if err := s.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if result := soon(t, running); result.err == nil {
		t.Errorf("answered %+v", result.answer)
	}
}
