package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/api"
)

func TestABoundHoldEndsWithItsProcess(t *testing.T) {
	state := store(t)
	handler := api.New(state, api.Options{BindGrace: time.Second})
	server := httptest.NewServer(handler)
	defer server.Close()
	transport := &http.Transport{}
	alive := new(connTracker)
	transport.DialContext = alive.dial
	c := connectWith(t, client.Options{Transport: transport}, server.URL)
	held, err := c.Hold(t.Context(), holdfast.Keys("x"), client.Bind(), client.Exp(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	// A lost connection alone is no harm: it is extended on the next one.
	alive.closeAll()
	if err := c.Do(t.Context(), holdfast.Keys("y"), func(context.Context, []holdfast.Token) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if held.Err() != nil {
		t.Errorf("the hold is over: %v", held.Err())
	}
	// Now the process is gone: nobody extends.
	alive.refuse.Store(true)
	alive.closeAll()
	begin := time.Now()
	for locked := true; locked; time.Sleep(10 * time.Millisecond) {
		if locked, err = state.Check(t.Context(), []string{"x"}); err != nil || time.Since(begin) > patience {
			t.Fatalf("the key is held: %v", err)
		}
	}
	// Whoever believes in the hold all the same has stopped before that.
	if err := held.Err(); !errors.Is(err, client.ErrLost) {
		t.Errorf("the hold: %v", err)
	}
	alive.refuse.Store(false)
	held.Unlock(t.Context())
}

// streamless refuses streams to one host, as a proxy before it would.
type streamless struct {
	http.RoundTripper
	host string
}

func (s streamless) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/stream" && r.URL.Host == s.host {
		return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Header: http.Header{}}, nil
	}
	return s.RoundTripper.RoundTrip(r)
}

// The server to which a hold was bound notices late that its connection is no
// more, and looks only for as long as its grace whether somebody extends the
// hold elsewhere. So that must go on, also where no stream is to be had.
func TestABoundHoldIsExtendedAtAServerWithoutStream(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.network.serve(t, "two", w.store)
		w.client = connectWith(t, client.Options{Transport: streamless{w.network.transport(t), "two"}}, "one", "two")
		held := w.hold(client.Bind(), client.Exp(time.Hour))
		time.Sleep(time.Minute)
		w.network.sever()
		for range 60 {
			time.Sleep(time.Second)
			w.live(held)
		}
	})
}

// switchable refuses streams, as a proxy would, for as long as it is told to.
type switchable struct {
	http.RoundTripper
	refuse atomic.Bool
}

func (s *switchable) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/stream" && s.refuse.Load() {
		return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Header: http.Header{}}, nil
	}
	return s.RoundTripper.RoundTrip(r)
}

// believed sees that nobody believes in the hold who does not have it.
func (w *world) believed(held *client.Held, d time.Duration) {
	w.t.Helper()
	for range d / time.Second {
		time.Sleep(time.Second)
		if held.Err() == nil && w.holder() != held.UID() {
			w.t.Fatalf("it is over on the server, and %v is left of it here", held.Left())
		}
	}
}

// Who was granted a hold without a stream relies on its exp. An extension that
// bound it, and whose answer is lost, would let it end much sooner.
func TestAHoldIsBoundFromTheBeginningOrNotAtAll(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		proxy := &switchable{RoundTripper: w.network.transport(t)}
		proxy.refuse.Store(true)
		w.client = connectWith(t, client.Options{Transport: proxy}, "one")
		held := w.hold(client.Bind(), client.Exp(time.Hour))
		proxy.refuse.Store(false)
		w.network.slow(time.Second)
		time.Sleep(20*time.Minute + 1500*time.Millisecond) // the stream is open, and the extension not answered
		w.network.setCut(true)
		w.believed(held, time.Hour)
		if held.Err() == nil {
			t.Error("it goes on though nobody answers")
		}
		w.network.setCut(false)
	})
}

// unclosed is a connection of which the other side does not hear that it was
// closed.
type unclosed struct{ net.Conn }

func (unclosed) Close() error { return nil }

// Nor does one rely on its exp whose first request may have bound it to a
// connection that was lost before the answer.
func TestAHoldMayBeBoundByARequestWithoutAnswer(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.network.serve(t, "two", w.store)
		transport := &http.Transport{}
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := w.network.dial(ctx, network, address)
			if err == nil {
				t.Cleanup(func() { conn.Close() })
				conn = unclosed{conn}
			}
			return conn, err
		}
		w.client = connectWith(t, client.Options{Transport: streamless{transport, "two"}}, "one", "two")
		if _, err := w.client.Check(t.Context(), []string{"x"}); err != nil { // opens the stream
			t.Fatal(err)
		}
		w.network.slow(2 * time.Millisecond)
		time.AfterFunc(time.Millisecond, w.network.sever)
		held := w.hold(client.Bind(), client.Exp(time.Hour))
		w.believed(held, 10*time.Minute)
		w.live(held)
	})
}

// connTracker dials, and can close what it has dialled.
type connTracker struct {
	mu     sync.Mutex
	conns  []net.Conn
	refuse atomic.Bool
}

func (c *connTracker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.refuse.Load() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *connTracker) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}
