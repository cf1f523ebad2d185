package client_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/api"
)

// parting is a service whose clients go away at the moment of a grant: the
// grant is made, and the server sees the client go before it answers.
type parting struct {
	holdfast.Service
	goAway context.CancelCauseFunc
}

func (p parting) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	grant, err := p.Service.Lock(context.WithoutCancel(ctx), req)
	p.goAway(errEnough)
	<-ctx.Done()
	return grant, err
}

// connections are the kinds of connection on which the client can close its
// own side.
var connections = map[string]func(*httptest.Server) (http.RoundTripper, string){
	"plain": func(s *httptest.Server) (http.RoundTripper, string) {
		s.Start()
		return &http.Transport{}, s.URL
	},
	"tls": func(s *httptest.Server) (http.RoundTripper, string) {
		s.StartTLS()
		return s.Client().Transport, s.URL
	},
}

func TestAGrantAtTheEndOfCtxIsNotLost(t *testing.T) {
	for name, open := range connections {
		t.Run(name, func(t *testing.T) {
			state := store(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			server := httptest.NewUnstartedServer(api.New(parting{state, cancel}, api.Options{}))
			defer server.Close()
			transport, url := open(server)
			c := connectWith(t, client.Options{Transport: transport}, url)

			grant, err := c.Lock(ctx, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
			if err != nil || len(grant.Tokens) != 1 {
				t.Fatalf("lock: %v, %v", grant, err)
			}
			if keys, err := c.Unlock(t.Context(), holdfast.UnlockRequest{UID: "u", Tokens: grant.Tokens}); err != nil || len(keys) != 1 {
				t.Fatalf("unlock: %v, %v", keys, err)
			}
		})
	}
}

// granted is an answer to a Lock.
const granted = "HTTP/1.1 200 OK\r\nContent-Length: 48\r\n\r\n" + `{"tokens":[{"key":"x","version":1}],"exp":1000}` + "\n"

// A connection that was closed half is not used again, even while the server
// leaves its side open.
func TestAConnectionIsNotUsedAfterGoodbye(t *testing.T) {
	for name, open := range connections {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, all, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { conn.Close() })
				cancel(errEnough)
				_, _ = io.Copy(io.Discard, all) // to its end: the client has said goodbye
				_, _ = io.WriteString(conn, granted)
			}))
			defer server.Close()
			transport, url := open(server)
			c := connectWith(t, client.Options{Transport: transport, Plain: true}, url)
			if grant, err := c.Lock(ctx, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x")}); err != nil || len(grant.Tokens) != 1 {
				t.Fatalf("lock: %v, %v", grant, err)
			}
			again, cancel := context.WithCancelCause(t.Context())
			_, _ = c.Check(httptrace.WithClientTrace(again, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
				if info.Reused {
					t.Error("the connection is used again")
				}
				cancel(errEnough)
			}}), []string{"x"})
		})
	}
}

// halfCloser is a connection that notes when a side of it is closed.
type halfCloser struct {
	net.Conn
	closed atomic.Bool
}

func (h *halfCloser) CloseWrite() error { h.closed.Store(true); return nil }

// reading is a transport whose answers call before when they are read.
type reading struct {
	http.RoundTripper
	before func()
}

type readBody struct {
	io.ReadCloser
	before func()
}

func (r reading) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.RoundTripper.RoundTrip(request)
	if err == nil {
		response.Body = readBody{response.Body, r.before}
	}
	return response, err
}

func (r readBody) Read(p []byte) (int, error) { r.before(); return r.ReadCloser.Read(p) }

// An answer that is read to its end gives the connection to the next request,
// which a late goodbye would send away.
func TestNoGoodbyeWhileTheAnswerIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		near, far := net.Pipe()
		go func() {
			from := bufio.NewReader(far)
			if request, err := http.ReadRequest(from); err == nil {
				_, _ = io.Copy(io.Discard, request.Body)
			}
			_, _ = io.WriteString(far, granted)
		}()
		conn := &halfCloser{Conn: near}
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
		defer transport.CloseIdleConnections()
		c := connectWith(t, client.Options{Plain: true, Transport: reading{transport, func() {
			cancel(errEnough)
			synctest.Wait()
		}}}, "http://localhost")
		if grant, err := c.Lock(ctx, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x")}); err != nil || len(grant.Tokens) != 1 {
			t.Fatalf("lock: %v, %v", grant, err)
		}
		if conn.closed.Load() {
			t.Error("its side was closed under the answer")
		}
	})
}

func TestHoldGivesBackWhatItWasGrantedAtTheEndOfCtx(t *testing.T) {
	state := store(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	c := connect(t, serve(t, parting{state, cancel}))
	if held, err := c.Hold(ctx, holdfast.Keys("x"), client.Exp(time.Hour)); err != errEnough {
		t.Fatalf("got %v, %v", held, err)
	}
	if locked, err := state.Check(t.Context(), []string{"x"}); locked || err != nil {
		t.Fatalf("the key is held: %v, %v", locked, err)
	}
}

// Whatever the connection, who leaves the line is back at once.
func TestWhoLeavesTheLineIsBackAtOnce(t *testing.T) {
	kinds := map[string]func(*httptest.Server) (http.RoundTripper, string){
		"http/2, where a side cannot be closed": func(s *httptest.Server) (http.RoundTripper, string) {
			s.EnableHTTP2 = true
			s.StartTLS()
			return s.Client().Transport, s.URL
		},
	}
	for name, open := range connections {
		kinds[name] = open
	}
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			state := store(t)
			server := httptest.NewUnstartedServer(api.New(state, api.Options{}))
			defer server.Close()
			transport, url := open(server)
			c := connectWith(t, client.Options{Transport: transport}, url)

			req := holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour}
			if _, err := c.Lock(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			req.UID = "v"
			ctx, cancel := context.WithCancelCause(t.Context())
			answer := make(chan error)
			go func() {
				_, err := c.Lock(ctx, req)
				answer <- err
			}()
			inLine := func(n int) {
				for end := time.Now().Add(patience); ; {
					lock, err := c.Get(t.Context(), "x")
					if err != nil || time.Now().After(end) {
						t.Fatalf("in line: %v, %v; want %d", lock.Waiters, err, n)
					}
					if len(lock.Waiters) == n {
						return
					}
				}
			}
			inLine(1)
			began := time.Now()
			cancel(errEnough)
			if err := <-answer; err != errEnough || time.Since(began) > time.Second {
				t.Fatalf("%v, after %v", err, time.Since(began))
			}
			inLine(0)
		})
	}
}
