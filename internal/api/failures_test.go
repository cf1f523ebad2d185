package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
)

// fakeService records what it is asked, and fails as it is told.
type fakeService struct {
	mu    sync.Mutex
	calls []string

	fail func(ctx context.Context) error // nil means that all goes well
}

func (f *fakeService) record(ctx context.Context, format string, args ...any) error {
	f.mu.Lock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	f.mu.Unlock()
	if f.fail != nil {
		return f.fail(ctx)
	}
	return nil
}

func (f *fakeService) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	return holdfast.Grant{Exp: req.Exp}, f.record(ctx, "lock %v", req.Exp)
}

func (f *fakeService) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	return nil, f.record(ctx, "unlock %v", req.Tokens)
}

func (f *fakeService) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	return holdfast.Extension{Exp: req.Exp}, f.record(ctx, "extend %v", req.Exp)
}

func (f *fakeService) Check(ctx context.Context, keys []string) (bool, error) {
	return false, f.record(ctx, "check %q", keys)
}

func (f *fakeService) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	return holdfast.Page{}, f.record(ctx, "list %+v", req)
}

func (f *fakeService) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	return holdfast.Lock{Key: key}, f.record(ctx, "get %s", key)
}

func (f *fakeService) Force(ctx context.Context, req holdfast.ForceRequest) ([]holdfast.Released, error) {
	return nil, f.record(ctx, "force %s %s", req.Key, req.Reason)
}

func (f *fakeService) Watch(context.Context, holdfast.WatchRequest) (iter.Seq2[holdfast.Event, error], error) {
	return nil, errors.New("not asked for here")
}

// everyCall is a well-formed request for each method of the service.
var everyCall = []struct{ method, path, body string }{
	{"POST", "/lock", `{"uid":"u","keys":"a"}`},
	{"POST", "/lock", `{"uid":"u","keys":"a","wait":60000}`},
	{"POST", "/unlock", `{"uid":"u","tokens":[{"key":"a","version":1}]}`},
	{"POST", "/extend", `{"uid":"u"}`},
	{"POST", "/check", `{"keys":"a"}`},
	{"GET", "/locks", ""},
	{"GET", "/locks/a", ""},
	{"DELETE", "/locks/a", ""},
}

// askEverything starts a server over a service that answers when release is
// closed, makes every call, and gives the answers to come.
func askEverything(t *testing.T, change ...func(*Server)) (s *site, answers []<-chan result, release chan<- struct{}) {
	t.Helper()
	asked, released := make(chan struct{}, len(everyCall)), make(chan struct{})
	s = openOver(t, &fakeService{fail: func(ctx context.Context) error {
		asked <- struct{}{}
		select {
		case <-released:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}, Options{}, change...)
	for _, call := range everyCall {
		answers = append(answers, s.start(t.Context(), call.method, call.path, call.body))
		soon(t, asked)
	}
	return s, answers, released
}

func TestRefusalsOfTheServiceKeepTheirCodeAndSayWhenToAskAgain(t *testing.T) {
	for _, test := range []struct {
		name       string
		err        error
		status     int
		retryAfter string
		want       string
	}{
		{"unavailable", holdfast.Unavailable(nil, "no leader"), 503, "1", `{"error":"unavailable","message":"no leader"}`},
		{"unavailable for longer", &holdfast.Error{Code: holdfast.CodeUnavailable, Message: "m", RetryAfter: 2500 * time.Millisecond},
			503, "3", `{"error":"unavailable","message":"m"}`},
		{"unavailable for no time", &holdfast.Error{Code: holdfast.CodeUnavailable, Message: "m"},
			503, "1", `{"error":"unavailable","message":"m"}`},
		{"an unknown outcome", &holdfast.Error{Code: holdfast.CodeUnavailable, Message: "m", OutcomeUnknown: true},
			503, "1", `{"error":"unavailable","message":"m","outcome":"unknown"}`},
		{"wrapped", fmt.Errorf("underneath: %w", holdfast.Unavailable(nil, "no leader")), 503, "1",
			`{"error":"unavailable","message":"no leader"}`},
		{"invalid", holdfast.Invalid("uid: too blue"), 400, "", `{"error":"invalid","message":"uid: too blue"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := openOver(t, &fakeService{fail: func(context.Context) error { return test.err }}, Options{})
			for _, call := range everyCall {
				answer := s.ask(call.method, call.path, call.body).is(test.status).shows(test.want)
				if got := answer.header.Get("Retry-After"); got != test.retryAfter {
					t.Errorf("Retry-After %q, want %q", got, test.retryAfter)
				}
			}
		})
	}
}

func TestAConfiguredLimitIs429(t *testing.T) {
	limit := &holdfast.Error{Code: holdfast.CodeLimit, Message: "too many wait for a", RetryAfter: time.Second}
	s := openOver(t, &fakeService{fail: func(context.Context) error { return limit }}, Options{})
	answer := s.post("/lock", `{"uid":"u","keys":"a","wait":1}`).refuses(429, "limit", "too many wait for a")
	if got := answer.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After %q", got)
	}
}

// What nobody has foreseen is told to the log, not to the client.
func TestAnUnexpectedFailureIsUnavailableAndLogged(t *testing.T) {
	for name, fail := range map[string]func(context.Context) error{
		"an error":             func(context.Context) error { return errors.New("secret: disk on fire") },
		"a panic":              func(context.Context) error { panic("secret: disk on fire") },
		"a deadline of itself": func(context.Context) error { return fmt.Errorf("secret: disk on fire: %w", context.DeadlineExceeded) },
	} {
		t.Run(name, func(t *testing.T) {
			var log logged
			s := openOver(t, &fakeService{fail: fail}, Options{Logger: log.logger()})
			for _, call := range everyCall {
				answer := s.ask(call.method, call.path, call.body).is(503).
					shows(`{"error":"unavailable","message":"an unexpected failure; the log of the server has more","outcome":"unknown"}`)
				if answer.header.Get("Retry-After") != "1" {
					t.Error("no Retry-After")
				}
				if said := log.Take(); !strings.Contains(said, "secret: disk on fire") || !strings.Contains(said, call.path) {
					t.Errorf("logged %s", said)
				}
			}
			s.ask("GET", "/ping", "").is(200) // and nothing else has suffered
		})
	}
}

func TestReadinessSaysWhatIsInTheWay(t *testing.T) {
	var inTheWay error
	s := openOver(t, &fakeService{}, Options{Ready: func(context.Context) error { return inTheWay }})
	s.ask("GET", "/readyz", "").is(200)
	inTheWay = errors.New("no leader")
	s.ask("GET", "/readyz", "").refuses(503, "unavailable", "not ready: no leader")
	inTheWay = holdfast.Unavailable(nil, "the store is out of reach")
	s.ask("GET", "/readyz", "").refuses(503, "unavailable", "the store is out of reach")
	s.ask("GET", "/healthz", "").is(200) // the process lives all the same
}

// One that has closed its side of the connection has gone, and could still
// read: an empty 200 would look like a grant.
func TestNothingIsWrittenToAClientThatHasGone(t *testing.T) {
	asked := make(chan struct{}, 1)
	s := openOver(t, &fakeService{fail: func(ctx context.Context) error {
		asked <- struct{}{}
		<-ctx.Done()
		return context.Cause(ctx)
	}}, Options{})
	for _, body := range []string{`{"uid":"u","keys":"a"}`, `{"uid":"u","keys":"a","wait":60000}`} {
		conn := s.dial()
		conn.send(post("/lock", body))
		soon(t, asked)
		if err := conn.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := conn.rest(); got != "" {
			t.Errorf("written: %q", got)
		}
	}
}

func TestHeadIsAnsweredLikeGetWithoutABody(t *testing.T) {
	store := openStore(t)
	s := openOver(t, store, Options{
		Count:   store.Count,
		Backup:  func(context.Context, io.Writer) error { return nil },
		Cluster: &nodes{},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, "figures")
		}),
	})
	s.lock("u", "a")
	for _, route := range routes {
		if route.method != http.MethodGet || route.path == "/stream" {
			continue
		}
		path := named(route.path)
		conn := s.dial()
		conn.send("HEAD " + path + " HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
		head, body, found := strings.Cut(conn.rest(), "\r\n\r\n")
		if !found || !strings.HasPrefix(head, "HTTP/1.1 200 ") || body != "" {
			t.Errorf("%s: %q, %q", path, head, body)
		}
		answer := s.ask("HEAD", path, "", "Accept", "text/html").is(200)
		endless := route.path == "/events" || route.path == "/backup" // their length is not known before their end
		if !endless && answer.header.Get("Content-Length") == "" || answer.header.Get("Content-Type") == "" {
			t.Errorf("%s: %v", path, answer.header)
		}
	}
}
