package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/api"
)

// counted counts the requests of a transport: the stream is one.
type counted struct {
	http.RoundTripper
	streams, others atomic.Int64
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/stream" {
		c.streams.Add(1)
	} else {
		c.others.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

// connectCounted gives a client that counts its requests.
func connectCounted(t testing.TB, urls ...string) (*client.Client, *counted) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	count := &counted{RoundTripper: transport}
	return connectWith(t, client.Options{Transport: count}, urls...), count
}

// pair locks and unlocks a key of its own.
func pair(ctx context.Context, c *client.Client, i int) error {
	uid, key := fmt.Sprintf("u%d", i), fmt.Sprintf("k%d", i)
	grant, err := c.Lock(ctx, holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(key), Exp: time.Hour})
	if err != nil {
		return err
	}
	if len(grant.Tokens) != 1 || grant.Tokens[0].Key != key {
		return fmt.Errorf("%s was granted %v", uid, grant)
	}
	keys, err := c.Unlock(ctx, holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens})
	if err == nil && (len(keys) != 1 || keys[0] != key) {
		err = fmt.Errorf("%s unlocked %v", uid, keys)
	}
	return err
}

// together does the same n times at once.
func together(t testing.TB, n int, do func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestCallsShareOneConnection(t *testing.T) {
	c, count := connectCounted(t, serve(t, store(t)))
	together(t, 200, func(i int) error {
		for range 5 {
			if err := pair(t.Context(), c, i); err != nil {
				return err
			}
		}
		return nil
	})
	if count.streams.Load() != 1 || count.others.Load() != 0 {
		t.Errorf("%d streams, %d other requests", count.streams.Load(), count.others.Load())
	}
}

func TestAPlainClientOpensNoStream(t *testing.T) {
	count := &counted{RoundTripper: &http.Transport{}}
	defer count.RoundTripper.(*http.Transport).CloseIdleConnections()
	c := connectWith(t, client.Options{Transport: count, Plain: true}, serve(t, store(t)))
	if err := pair(t.Context(), c, 0); err != nil {
		t.Fatal(err)
	}
	if count.streams.Load() != 0 || count.others.Load() != 2 {
		t.Errorf("%d streams, %d other requests", count.streams.Load(), count.others.Load())
	}
}

// What is more than a connection may carry goes as requests of their own.
func TestThousandsOfCallsAtOnce(t *testing.T) {
	const waiting = 4096 // what a connection carries
	const beyond = 20
	c, count := connectCounted(t, serve(t, store(t)))
	grant, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var all sync.WaitGroup
	wait := func(n int) {
		for i := range n {
			all.Go(func() {
				_, err := c.Lock(ctx, holdfast.LockRequest{UID: fmt.Sprint(n, i), Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour})
				if err != errEnough {
					t.Errorf("got %v", err)
				}
			})
		}
	}
	inLine := func(n int) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			lock, err := c.Get(t.Context(), "x")
			if err != nil || time.Now().After(end) {
				t.Fatalf("in line: %d, %v; want %d", len(lock.Waiters), err, n)
			}
			if len(lock.Waiters) == n {
				return
			}
		}
	}
	wait(waiting)
	inLine(waiting)
	before := count.others.Load()
	wait(beyond)
	if _, err := c.Extend(t.Context(), holdfast.ExtendRequest{UID: "u", Tokens: grant.Tokens}); err != nil {
		t.Error(err)
	}
	inLine(waiting + beyond)
	if more := count.others.Load() - before; more < beyond+1 || count.streams.Load() != 1 {
		t.Errorf("%d requests of their own, %d streams", more, count.streams.Load())
	}
	cancel(errEnough)
	all.Wait()
	inLine(0)
}

// deaf is a service that answers a check only when it is told to.
type deaf struct {
	holdfast.Service
	answer chan struct{}
}

func (d deaf) Check(context.Context, []string) (bool, error) {
	<-d.answer
	return false, nil
}

// What nobody waits for any more is under way at the server all the same.
func TestCallsThatWereGivenUpCountToo(t *testing.T) {
	const waiting = 4096 // what a connection carries
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		service := deaf{store(t), make(chan struct{})}
		n.serve(t, "one", service)
		c := n.client(t, "one")
		ctx, cancel := context.WithCancelCause(t.Context())
		var all sync.WaitGroup
		for range waiting {
			all.Go(func() {
				if _, err := c.Check(ctx, []string{"x"}); err != errEnough {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		cancel(errEnough)
		all.Wait()
		if err := pair(t.Context(), c, 0); err != nil {
			t.Error(err)
		}
		close(service.answer)
		synctest.Wait()
	})
}

// What waits while the connection is busy can be more than a server takes in
// one message: in bytes, or in requests and withdrawals.
func TestWhatWaitsIsWrittenInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.serve(t, "one", store(t))
		count := &counted{RoundTripper: n.transport(t)}
		c := connectWith(t, client.Options{Transport: count}, "one")
		if _, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour}); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		ask := func(keys ...string) {
			if _, err := c.Check(t.Context(), keys); err != nil {
				t.Error(err)
			}
		}
		busy := func() (release func()) {
			release = n.hold()
			all.Go(func() { ask("y") })
			synctest.Wait() // it is being written
			return release
		}

		release := busy()
		keys := make([]string, 100)
		for i := range keys {
			keys[i] = fmt.Sprintf("%0*d", holdfast.MaxKey, i)
		}
		for range 50 {
			all.Go(func() { ask(keys...) })
		}
		synctest.Wait()
		release()
		all.Wait()

		release = busy()
		ctx, cancel := context.WithCancelCause(t.Context())
		for i := range 2100 {
			all.Go(func() {
				_, err := c.Lock(ctx, holdfast.LockRequest{UID: fmt.Sprint(i), Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour})
				if err != errEnough {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		cancel(errEnough)
		synctest.Wait()
		release()
		all.Wait()
		ask("y")
		if count.streams.Load() != 1 || count.others.Load() != 0 {
			t.Errorf("%d streams, %d other requests", count.streams.Load(), count.others.Load())
		}
	})
}

// proxy stands between a client and a server.
type proxy struct {
	*httputil.ReverseProxy
	refuse   atomic.Int64 // answer upgrades with this status
	upgrades atomic.Int64
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		p.upgrades.Add(1)
		if status := p.refuse.Load(); status != 0 {
			http.Error(w, "no", int(status))
			return
		}
	}
	p.ReverseProxy.ServeHTTP(w, r)
}

func TestAProxyThatRefusesTheStream(t *testing.T) {
	for _, status := range []int64{400, 403, 404, 426, 200, 502, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			target, err := url.Parse(serve(t, store(t)))
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			p := &proxy{ReverseProxy: httputil.NewSingleHostReverseProxy(target)}
			p.Transport = transport
			p.refuse.Store(status)
			front := httptest.NewServer(p)
			defer front.Close()
			c := connect(t, front.URL)
			defer c.Close()
			together(t, 20, func(i int) error { return pair(t.Context(), c, i) })
			if n := p.upgrades.Load(); n > 2 {
				t.Errorf("it was asked %d times", n)
			}
			// Later the stream is tried again.
			p.refuse.Store(0)
			before := p.upgrades.Load()
			for end := time.Now().Add(patience); p.upgrades.Load() == before; {
				if err := pair(t.Context(), c, 0); err != nil || time.Now().After(end) {
					t.Fatalf("the stream is not tried again: %v", err)
				}
			}
			if err := pair(t.Context(), c, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// Over HTTP/2 there is no upgrade.
func TestATransportWithoutUpgrades(t *testing.T) {
	server := httptest.NewUnstartedServer(api.New(store(t), api.Options{}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	c := connectWith(t, client.Options{Transport: server.Client().Transport}, server.URL)
	together(t, 20, func(i int) error { return pair(t.Context(), c, i) })
}

func TestTheStreamOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(api.New(store(t), api.Options{}))
	defer server.Close()
	count := &counted{RoundTripper: server.Client().Transport}
	c := connectWith(t, client.Options{Transport: count}, server.URL)
	together(t, 20, func(i int) error { return pair(t.Context(), c, i) })
	if count.others.Load() != 0 {
		t.Errorf("%d other requests", count.others.Load())
	}
	c.Close()
}

// cutter passes bytes on until it cuts all connections.
type cutter struct {
	net.Listener
	to   string
	mu   sync.Mutex
	open []net.Conn
}

func (c *cutter) run() {
	for {
		near, err := c.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			near.Close()
			continue
		}
		c.mu.Lock()
		c.open = append(c.open, near, far)
		c.mu.Unlock()
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			go func() {
				io.Copy(way[0], way[1])
				way[0].Close()
				way[1].Close()
			}()
		}
	}
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		conn.Close()
	}
	c.open = nil
}

func TestCallsSurviveAConnectionThatIsCut(t *testing.T) {
	state := store(t)
	server, err := url.Parse(serve(t, state))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	between := &cutter{Listener: listener, to: server.Host}
	go between.run()
	defer between.cut()
	defer listener.Close()
	c := connect(t, "http://"+listener.Addr().String())
	// An unlock whose answer was lost names nothing the second time.
	together(t, 50, func(i int) error {
		uid, key := fmt.Sprintf("u%d", i), fmt.Sprintf("k%d", i)
		last := uint64(0)
		for range 20 {
			grant, err := c.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(key), Exp: time.Hour})
			if err != nil {
				return err
			}
			if grant.Tokens[0].Version <= last {
				return fmt.Errorf("version %d after %d", grant.Tokens[0].Version, last)
			}
			last = grant.Tokens[0].Version
			if i == 0 {
				between.cut()
			}
			if _, err := c.Unlock(t.Context(), holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens}); err != nil {
				return err
			}
		}
		return nil
	})
	if page, err := state.List(t.Context(), holdfast.ListRequest{}); err != nil || len(page.Locks) != 0 {
		t.Errorf("left: %v, %v", page, err)
	}
}

// A connection that swallows everything is found out by the first call, and the
// others do not wait any longer.
func TestASilentStreamIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		state := store(t)
		n.serve(t, "a", state)
		n.serve(t, "b", state)
		c := n.client(t, "a", "b")
		check(t, c)
		grant, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		granted := make(chan error, 1)
		go func() {
			_, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "v", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour})
			granted <- err
		}()
		synctest.Wait()
		n.lose()
		began := time.Now()
		if _, err := c.Check(t.Context(), []string{"x"}); err != nil || time.Since(began) > 12*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		synctest.Wait()
		if _, err := state.Unlock(t.Context(), holdfast.UnlockRequest{UID: "u", Tokens: grant.Tokens}); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		if err := <-granted; err != nil || time.Since(began) > time.Second {
			t.Errorf("granted after %v: %v", time.Since(began), err)
		}
	})
}

// A lock that is not answered in time is given up, and the server told: nobody would
// hear of the grant.
func TestALockThatIsAnsweredTooLateIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		left := make(chan struct{})
		n.serve(t, "a", unanswered{store(t), left})
		c := connectWith(t, client.Options{Transport: n.transport(t), Patience: -1}, "a")
		refused := make(chan error, 1)
		go func() {
			_, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Wait: time.Second})
			refused <- err
		}()
		for range 7 {
			check(t, c) // it answers others
			time.Sleep(time.Second)
		}
		if err := <-refused; holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
			t.Errorf("answer: %v", err)
		}
		select {
		case <-left:
		case <-time.After(time.Second):
			t.Error("the server does not know")
		}
	})
}

// unanswered is a service in which every lock waits until its client leaves.
type unanswered struct {
	holdfast.Service
	left chan struct{}
}

func (s unanswered) Lock(ctx context.Context, _ holdfast.LockRequest) (holdfast.Grant, error) {
	<-ctx.Done()
	close(s.left)
	return holdfast.Grant{}, context.Cause(ctx)
}

// Nobody asks anything, and the network swallows everything, for a while or on the
// connections that there are: whoever waits in line hears of it all the same.
func TestAnIdleStreamIsKeptAliveOrLeft(t *testing.T) {
	for name, harm := range map[string]func(*network){
		"for a while": func(n *network) {
			n.setCut(true)
			time.AfterFunc(31*time.Second, func() { n.setCut(false) }) // two pings
		},
		"for good": (*network).lose,
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { idleStream(t, harm) }) })
	}
}

func idleStream(t *testing.T, harm func(*network)) {
	n := newNetwork()
	state := store(t)
	n.serve(t, "a", state)
	n.serve(t, "b", state)
	c := connectWith(t, client.Options{Transport: n.transport(t), Patience: time.Minute}, "a", "b")
	grant, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: 20 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	granted := make(chan error, 1)
	go func() {
		_, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "v", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: 10 * time.Hour})
		granted <- err
	}()
	time.Sleep(time.Hour) // it is alive all the time
	harm(n)
	time.Sleep(2 * time.Minute)
	if _, err := state.Unlock(t.Context(), holdfast.UnlockRequest{UID: "u", Tokens: grant.Tokens}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := <-granted; err != nil || time.Since(began) > time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestCloseLetsCallsEnd(t *testing.T) {
	state := store(t)
	c := connect(t, serve(t, state))
	grant, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	granted := make(chan error, 1)
	go func() {
		_, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "v", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour})
		granted <- err
	}()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if lock, err := state.Get(t.Context(), "x"); err != nil || time.Now().After(end) {
			t.Fatal(err)
		} else if len(lock.Waiters) == 1 {
			break
		}
	}
	c.Close()
	// A client that was closed still works.
	if _, err := c.Unlock(t.Context(), holdfast.UnlockRequest{UID: "u", Tokens: grant.Tokens}); err != nil {
		t.Fatal(err)
	}
	if err := <-granted; err != nil {
		t.Error(err)
	}
}
