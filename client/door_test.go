package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/client"
)

// mute lets no upgrade through, and does not say so.
type mute struct{ http.RoundTripper }

func (m mute) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/stream" {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return m.RoundTripper.RoundTrip(r)
}

// Whether there is a stream by now is found out beside the calls: a hold must
// not be lost since something in between is silent about it.
func TestAHoldOutlastsAProxyThatIsSilentAboutTheStream(t *testing.T) {
	for _, exp := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, time.Minute} {
		t.Run(fmt.Sprint(exp), func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				transport := &http.Transport{DialContext: w.network.dial}
				t.Cleanup(transport.CloseIdleConnections)
				w.client = connectWith(t, client.Options{Transport: mute{transport}}, "one")
				held := w.hold(client.Exp(exp))
				for range 2000 {
					time.Sleep(exp / 20)
					w.live(held)
					if left := held.Left(); left < exp/2 {
						t.Fatalf("only %v left", left)
					}
				}
			})
		})
	}
}

// stuck is silent about the next stream, though others get through: what spreads
// connections over several servers gives this one to a server that is gone.
type stuck struct {
	http.RoundTripper
	next atomic.Bool
}

func (s *stuck) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/stream" && s.next.Swap(false) {
		return mute{}.RoundTrip(r)
	}
	return s.RoundTripper.RoundTrip(r)
}

// withStuck gives a hold of a client whose connections are closed, and the next
// of which gets stuck.
func withStuck(t *testing.T, exp time.Duration, run func(w *world, held *client.Held)) {
	t.Helper()
	within(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var conns []net.Conn
		transport := &http.Transport{}
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := w.network.dial(ctx, network, address)
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
			return conn, err
		}
		t.Cleanup(transport.CloseIdleConnections)
		proxy := &stuck{RoundTripper: transport}
		w.client = connectWith(t, client.Options{Transport: proxy}, "one")
		held := w.hold(client.Exp(exp))
		synctest.Wait()
		proxy.next.Store(true)
		for _, conn := range conns {
			conn.Close()
		}
		run(w, held)
		if proxy.next.Load() {
			t.Error("no connection got stuck")
		}
	})
}

func TestAHoldOutlastsAConnectionThatGetsStuck(t *testing.T) {
	for _, exp := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second} {
		withStuck(t, exp, func(w *world, held *client.Held) {
			for range 100 {
				time.Sleep(exp / 20)
				w.live(held)
				if left := held.Left(); left < 7*exp/30 { // when holdfast run ends its command
					w.t.Fatalf("exp %v: only %v left", exp, left)
				}
			}
		})
	}
}

func TestAHoldIsGivenBackThoughAConnectionGetsStuck(t *testing.T) {
	withStuck(t, time.Hour, func(w *world, held *client.Held) {
		over, cancel := context.WithCancel(w.t.Context())
		cancel()
		if err := held.Unlock(over); err != nil || w.holder() != "" {
			w.t.Errorf("unlock: %v; %q holds the key", err, w.holder())
		}
	})
}

// Who has closed a client does not do so again after the last Unlock: it would
// leave a stream behind that nobody closes.
func TestNoStreamIsOpenedAfterClose(t *testing.T) {
	c, count := connectCounted(t, serve(t, store(t)))
	held, err := c.Hold(t.Context(), holdfast.Keys("x"))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := held.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(held.Err(), client.ErrUnlocked) {
		t.Errorf("the hold: %v", held.Err())
	}
	if n := count.streams.Load(); n != 1 {
		t.Errorf("%d streams were opened", n)
	}
}

// closing closes a client when the stream has been granted, and nobody has heard
// of it.
type closing struct {
	http.RoundTripper
	client *client.Client
}

func (c *closing) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.RoundTripper.RoundTrip(r)
	if r.URL.Path == "/stream" {
		c.client.Close()
	}
	return response, err
}

// counting counts the connections that are open.
type counting struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *counting) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

func TestAStreamThatOpensDuringCloseIsClosed(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		var open atomic.Int64
		transport := &http.Transport{}
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := w.network.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			open.Add(1)
			return &counting{Conn: conn, open: &open}, nil
		}
		during := &closing{RoundTripper: transport}
		w.client = connectWith(t, client.Options{Transport: during}, "one")
		during.client = w.client
		if err := pair(t.Context(), w.client, 1); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
	})
}
