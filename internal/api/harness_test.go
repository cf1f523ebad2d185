package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/memory"
)

// patience is how long a test waits for what must happen. It is spent only
// when it does not.
const patience = 30 * time.Second

// site is a running server with real connections.
type site struct {
	t       testing.TB
	service holdfast.Service
	server  *Server
	scheme  string // with which URLs begin
	address string
	client  *http.Client
}

// open starts a server over a memory store.
func open(t testing.TB) *site {
	t.Helper()
	return openOver(t, openStore(t), Options{})
}

func openStore(t testing.TB) *memory.Store {
	store := memory.New()
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// openOver starts a server over a service. The functions may change the
// server before it starts.
func openOver(t testing.TB, service holdfast.Service, options Options, change ...func(*Server)) *site {
	t.Helper()
	return openWith(t, service, options, (*Server).Serve, change...)
}

// openWith is openOver for another way to serve a listener.
func openWith(t testing.TB, service holdfast.Service, options Options, serve func(*Server, net.Listener) error, change ...func(*Server)) *site {
	t.Helper()
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	s := &site{t: t, service: service, scheme: "http://", server: NewServer(New(service, options))}
	for _, change := range change {
		change(s.server)
	}
	listener := listen(t)
	s.address = listener.Addr().String()
	transport := &http.Transport{DisableCompression: true}
	s.client = &http.Client{
		Transport:     &checked{t: t, next: transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	done := make(chan error, 1)
	go func() { done <- serve(s.server, listener) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func (s *site) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		s.t.Errorf("Shutdown: %v", err)
	}
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// ask sends a request with the path as it is written.
func (s *site) ask(method, path, body string, header ...string) answer {
	s.t.Helper()
	answer, err := s.try(s.t.Context(), method, path, body, header...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

func (s *site) try(ctx context.Context, method, path, body string, header ...string) (answer, error) {
	target, err := url.Parse(s.scheme + s.address + path)
	if err != nil {
		return answer{}, err
	}
	request := (&http.Request{Method: method, URL: target, Header: http.Header{}}).WithContext(ctx)
	if body != "" {
		request.Body = io.NopCloser(strings.NewReader(body))
		request.ContentLength = int64(len(body))
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return answer{s.t, response.StatusCode, response.Header, string(content)}, err
}

func (s *site) post(path, body string) answer {
	s.t.Helper()
	return s.ask(http.MethodPost, path, body)
}

// lock locks, and gives the version.
func (s *site) lock(uid, key string) uint64 {
	s.t.Helper()
	var grant struct{ Tokens []holdfast.Token }
	s.post("/lock", fmt.Sprintf(`{"uid":%q,"keys":%q,"exp":3600000}`, uid, key)).is(200).into(&grant)
	return grant.Tokens[0].Version
}

// unlock gives back what lock has locked.
func (s *site) unlock(uid, key string, version uint64) {
	s.t.Helper()
	s.post("/unlock", fmt.Sprintf(`{"uid":%q,"tokens":[{"key":%q,"version":%d}]}`, uid, key, version)).is(200).
		shows(fmt.Sprintf(`{"unlocked":[%q]}`, key))
}

// lockRequest asks for a key, and holds it for long.
func lockRequest(uid, key string, wait time.Duration) holdfast.LockRequest {
	return holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(key), Exp: time.Hour, Wait: wait}
}

func forceRequest(key string) holdfast.ForceRequest { return holdfast.ForceRequest{Key: key} }

// waiters gives the uids that stand in line for a key.
func (s *site) waiters(key string) []string {
	s.t.Helper()
	state, err := s.service.Get(s.t.Context(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	uids := []string{}
	for _, waiter := range state.Waiters {
		uids = append(uids, waiter.UID)
	}
	return uids
}

// inLine waits until exactly these uids stand in line for a key.
func (s *site) inLine(key string, uids ...string) {
	s.t.Helper()
	until(s.t, func() string {
		if got, want := fmt.Sprint(s.waiters(key)), fmt.Sprint(uids); got != want {
			return fmt.Sprintf("in line for %q: %s, want %s", key, got, want)
		}
		return ""
	})
}

// until waits until nothing is wrong any more.
func until(t testing.TB, wrong func() string) {
	t.Helper()
	what := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if what = wrong(); what == "" {
			return
		}
	}
	t.Fatal(what)
}

// later is post in the background.
func (s *site) later(ctx context.Context, path, body string) <-chan result {
	return s.start(ctx, http.MethodPost, path, body)
}

// start is ask in the background.
func (s *site) start(ctx context.Context, method, path, body string) <-chan result {
	done := make(chan result, 1)
	go func() {
		answer, err := s.try(ctx, method, path, body)
		done <- result{answer, err}
	}()
	return done
}

type result struct {
	answer answer
	err    error
}

// soon gives what comes out of a channel.
func soon[T any](t testing.TB, channel <-chan T) T {
	t.Helper()
	select {
	case value := <-channel:
		return value
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func (a answer) is(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("answered %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// refuses checks a refusal: its status, code and how its message begins.
func (a answer) refuses(status int, code holdfast.Code, message string) answer {
	a.t.Helper()
	a.is(status)
	if got := a.header.Get("Content-Type"); got != "application/json" {
		a.t.Errorf("Content-Type %q", got)
	}
	var refusal struct{ Error, Message string }
	a.into(&refusal)
	if refusal.Error != string(code) || !strings.HasPrefix(refusal.Message, message) {
		a.t.Errorf("refused with %s: %s\nwant         %s: %s", refusal.Error, refusal.Message, code, message)
	}
	return a
}

func (a answer) into(value any) answer {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.body), value); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
	return a
}

// shows checks the body. Versions and times are masked with masked when
// they are not known.
func (a answer) shows(want string) answer {
	a.t.Helper()
	if got := strings.TrimSuffix(a.body, "\n"); got != want {
		a.t.Errorf("answered %s\nwant     %s", got, want)
	}
	return a
}

// masked gives the answer with the numbers of the named fields replaced by #.
func (a answer) masked(fields ...string) answer {
	for _, field := range fields {
		rest, masked := a.body, ""
		for {
			before, after, found := strings.Cut(rest, `"`+field+`":`)
			masked += before
			if !found {
				break
			}
			rest = strings.TrimLeft(after, "0123456789")
			masked += `"` + field + `":#`
		}
		a.body = masked
	}
	return a
}

// raw is a connection on which a test writes what it likes.
type raw struct {
	net.Conn
	t testing.TB
}

func (s *site) dial() *raw {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	return &raw{conn, s.t}
}

func (r *raw) send(text string) {
	r.t.Helper()
	if _, err := io.WriteString(r, text); err != nil {
		r.t.Fatal(err)
	}
}

// rest gives all that comes until the connection is closed.
func (r *raw) rest() string {
	r.t.Helper()
	var all bytes.Buffer
	if _, err := io.Copy(&all, r); err != nil {
		r.t.Fatalf("%v after %q", err, all.String())
	}
	return all.String()
}

// post is a request as raw bytes.
func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}
