package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"holdfast"
	"holdfast/internal/memory"
	"holdfast/internal/wire"
)

func TestTheServerStopsWithTheStreamsInGoodOrder(t *testing.T) {
	eachWay(t, func(t *testing.T, s *site) {
		c := s.socket()
		idle := s.socket()
		s.lock("u", "a")
		c.send(`{"id":1,"op":"lock","uid":"v","keys":"a","wait":60000}`)
		s.inLine("a", "v")
		stopped := make(chan struct{})
		go func() { defer close(stopped); s.stop() }()
		c.next().shows(`{"id":1,"status":503,"retry_after":1,"error":"unavailable","message":"the server is stopping; ask again"}`)
		if a, b := c.ends(), idle.ends(); a != websocket.CloseGoingAway || b != websocket.CloseGoingAway {
			t.Errorf("closed with %d and %d", a, b)
		}
		soon(t, stopped)
	})
}

func TestAStoppingServerOpensNoStream(t *testing.T) {
	s := open(t)
	s.server.handler.Stop()
	_, response, err := websocket.DefaultDialer.Dial("ws://"+s.address+"/stream", nil)
	if err == nil || response.StatusCode != 503 {
		t.Errorf("got %v, %v", response, err)
	}
}

// stubborn is a service whose Lock ends when the test says so.
type stubborn struct {
	holdfast.Service
	asked  chan context.Context
	answer chan error
}

func (s stubborn) Lock(ctx context.Context, _ holdfast.LockRequest) (holdfast.Grant, error) {
	s.asked <- ctx
	return holdfast.Grant{}, <-s.answer
}

func TestWhoDoesNotEndIsCutOffWhenTheServerStops(t *testing.T) {
	service := stubborn{openStore(t), make(chan context.Context, 1), make(chan error)}
	s := openOver(t, service, Options{})
	c := s.socket()
	c.send(`{"id":1,"op":"lock","uid":"v","keys":"a"}`)
	soon(t, service.asked)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if _, _, err := c.ReadMessage(); err == nil {
		t.Error("an answer came")
	}
	service.answer <- errors.New("too late")
}

func TestRequestsEndWithTheCauseThatTheConnectionWasLost(t *testing.T) {
	lost := errors.New("lost")
	for want, options := range map[error]Options{lost: {Lost: lost}, context.Canceled: {}} {
		service := stubborn{openStore(t), make(chan context.Context, 1), make(chan error)}
		s := openOver(t, service, options)
		c := s.socket()
		c.send(`{"id":1,"op":"lock","uid":"v","keys":"a","wait":1000}`)
		ctx := soon(t, service.asked)
		c.Close()
		soon(t, ctx.Done())
		if got := context.Cause(ctx); got != want {
			t.Errorf("the cause is %v, want %v", got, want)
		}
		service.answer <- context.Cause(ctx)
		// Who withdraws has not lost the connection.
		c = s.socket()
		c.send(`{"id":1,"op":"lock","uid":"v","keys":"a","wait":1000}`)
		ctx = soon(t, service.asked)
		c.send(`{"id":1,"op":"cancel"}`)
		soon(t, ctx.Done())
		if got := context.Cause(ctx); got != error(errWithdrawn) {
			t.Errorf("the cause is %v", got)
		}
		service.answer <- context.Cause(ctx)
		c.next().is(499)
	}
}

// A request of its own ends likewise, when its connection is cut off; whoever
// leaves closes only the client's side of it.
func TestRequestsOfTheirOwnEndWithTheCauseThatTheConnectionWasLost(t *testing.T) {
	lost := errors.New("lost")
	cutOff := func(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) }
	for _, test := range []struct {
		options Options
		end     func(*net.TCPConn) error
		want    error
	}{
		{Options{Lost: lost}, cutOff, lost},
		{Options{Lost: lost}, (*net.TCPConn).CloseWrite, context.Canceled},
		{Options{}, cutOff, context.Canceled},
	} {
		service := stubborn{openStore(t), make(chan context.Context, 1), make(chan error)}
		s := openOver(t, service, test.options)
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		const body = `{"uid":"v","keys":"a","wait":1000}`
		fmt.Fprintf(c, "POST /lock HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		ctx := soon(t, service.asked)
		if err := test.end(c.(*net.TCPConn)); err != nil {
			t.Fatal(err)
		}
		soon(t, ctx.Done())
		if got := context.Cause(ctx); got != test.want {
			t.Errorf("the cause is %v, want %v", got, test.want)
		}
		service.answer <- context.Cause(ctx)
	}
}

// panicking is a service that cannot even refuse.
type panicking struct{ holdfast.Service }

func (panicking) Check(context.Context, []string) (bool, error) { panic("a fault") }

func (panicking) Unlock(context.Context, holdfast.UnlockRequest) ([]string, error) {
	return nil, errors.New("a fault")
}

func TestAFaultOnTheStreamIsAnswered(t *testing.T) {
	for _, prompt := range []bool{true, false} {
		s := openOver(t, panicking{openStore(t)}, Options{Prompt: prompt})
		c := s.socket()
		const unknown = `"status":503,"retry_after":1,"error":"unavailable","message":"an unexpected failure; the log of the server has more","outcome":"unknown"}`
		c.send(`{"id":1,"op":"check","keys":"a"}`)
		c.next().shows(`{"id":1,` + unknown)
		c.send(`{"id":2,"op":"unlock","uid":"u","tokens":[{"key":"a","version":1}]}`)
		c.next().shows(`{"id":2,` + unknown)
		c.send(`{"id":3,"op":"lock","uid":"u","keys":"a"}`)
		c.next().is(200)
	}
}

func bound(uid, key, exp string) string {
	return fmt.Sprintf(`{"id":1,"op":"lock","uid":%q,"keys":%q,"exp":%s,"bind":true}`, uid, key, exp)
}

const longBound = "3600000"

func TestBoundHoldsEndWithTheConnection(t *testing.T) {
	eachWay(t, func(t *testing.T, s *site) {
		s.server.handler.ties.grace = time.Millisecond
		c := s.socket()
		c.send(bound("u", "a", longBound))
		c.next().masked("exp").shows(`{"id":1,"status":200,"grace":5000,"tokens":[{"key":"a","version":#}],"exp":#}`)
		c.send(`{"id":2,"op":"lock","uid":"u","keys":"b","exp":3600000}`) // not bound
		c.next().is(200)
		c.send(`{"id":3,"op":"lock","uid":"v","keys":"c","exp":3600000,"bind":true}`)
		c.next().is(200)
		c.Close()
		for _, key := range []string{"a", "c"} {
			until(t, func() string {
				if locked, _ := s.service.Check(t.Context(), []string{key}); locked {
					return key + " is held"
				}
				return ""
			})
		}
		s.post("/check", `{"keys":"b"}`).shows(`{"locked":true}`)
		until(t, func() string {
			if n := s.server.handler.ties.count.Load(); n != 0 {
				return fmt.Sprintf("%d are still tied", n)
			}
			return ""
		})
	})
}

func TestWhoComesBackWithinTheGraceKeepsBoundHolds(t *testing.T) {
	for name, back := range map[string]func(t *testing.T, s *site, version uint64){
		"extend on another connection": func(t *testing.T, s *site, version uint64) {
			c := s.socket()
			c.send(`{"id":1,"op":"extend","uid":"u","exp":3600000}`)
			c.next().is(200)
		},
		"the same lock on another connection": func(t *testing.T, s *site, version uint64) {
			c := s.socket()
			c.send(bound("u", "a", longBound))
			c.next().is(200)
		},
		"a plain extend": func(t *testing.T, s *site, version uint64) {
			s.post("/extend", `{"uid":"u","exp":3600000}`).is(200)
		},
		"a plain lock": func(t *testing.T, s *site, version uint64) {
			if again := s.lock("u", "a"); again != version {
				t.Errorf("version %d, then %d", version, again)
			}
		},
		"another server": func(t *testing.T, s *site, version uint64) {
			over := make(chan struct{})
			t.Cleanup(func() { <-over })
			go func() {
				defer close(over)
				for exp := 2 * time.Hour; exp < holdfast.MaxExp; exp += 5 * time.Minute {
					s.service.Extend(context.Background(), holdfast.ExtendRequest{UID: "u", Exp: exp})
					time.Sleep(time.Millisecond)
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			s.server.handler.ties.grace = 200 * time.Millisecond
			first := s.socket()
			first.send(bound("u", "a", longBound))
			first.next().is(200)
			first.send(`{"id":2,"op":"lock","uid":"v","keys":"b","exp":3600000,"bind":true}`)
			first.next().is(200)
			state, err := s.service.Get(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			first.Close()
			back(t, s, state.Holders[0].Version)
			until(t, func() string {
				if locked, _ := s.service.Check(t.Context(), []string{"b"}); locked {
					return "the grace is not over"
				}
				return ""
			})
			if locked, err := s.service.Check(t.Context(), []string{"a"}); !locked || err != nil {
				t.Errorf("a was released: %v", err)
			}
		})
	}
}

// away is a service that is out of reach for a while, once it has been asked so
// often what is held.
type away struct {
	holdfast.Service
	after int32
	asked atomic.Int32
	back  atomic.Bool
}

func (a *away) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	if a.asked.Add(1) > a.after && !a.back.Load() {
		return holdfast.Lock{}, holdfast.Unavailable(nil, "no leader")
	}
	return a.Service.Get(ctx, key)
}

func (a *away) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	if !a.back.Load() {
		return nil, holdfast.Unknown(holdfast.Unavailable(nil, "no leader"))
	}
	return a.Service.Unlock(ctx, req)
}

// Its owner may have extended it at another server. As soon as that can be
// told, it is released.
func TestABoundHoldOfWhichNothingIsKnownIsReleasedLater(t *testing.T) {
	for name, after := range map[string]int32{"nothing": 0, "only when it ends": 1, "all, but nothing can be done": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			service := &away{Service: openStore(t), after: after}
			s := openOver(t, service, Options{})
			s.server.handler.ties.grace = time.Millisecond
			c := s.socket()
			c.send(bound("u", "a", longBound))
			c.next().is(200)
			c.Close()
			until(t, func() string {
				if n := service.asked.Load(); n < 5 {
					return fmt.Sprintf("asked %d times", n)
				}
				return ""
			})
			locked := func() bool {
				locked, err := service.Check(t.Context(), []string{"a"})
				if err != nil {
					t.Fatal(err)
				}
				return locked
			}
			if !locked() {
				t.Error("it was released")
			}
			service.back.Store(true)
			until(t, func() string {
				if n := s.server.handler.ties.count.Load(); n != 0 || locked() {
					return fmt.Sprintf("held: %v, %d are still tied", locked(), n)
				}
				return ""
			})
		})
	}
}

// slowly is a service that takes long to say what is held, but for the first
// time and after a while.
type slowly struct {
	holdfast.Service
	asked, slow int
}

func (s *slowly) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	state, err := s.Service.Get(ctx, key)
	if s.asked++; s.asked > 1 && s.asked <= 1+s.slow {
		time.Sleep(2 * elsewhere)
	}
	return state, err
}

// A late answer looks as if somebody had extended the hold.
func TestABoundHoldIsReleasedThoughAnswersAreSlow(t *testing.T) {
	for _, slow := range []int{0, 1, 3, 1 << 30} {
		synctest.Test(t, func(t *testing.T) {
			store := memory.New()
			defer store.Close()
			_, l, stop := servePipes(t, &slowly{Service: store, slow: slow}, false)
			conn, reader := l.dial(t)
			request := bound("u", "a", longBound)
			io.WriteString(conn, string([]byte{0x81, 0x80 | byte(len(request)), 0, 0, 0, 0})+request)
			if _, err := reader.ReadString('}'); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			time.Sleep(time.Minute)
			if locked, err := store.Check(t.Context(), []string{"a"}); err != nil || locked {
				t.Errorf("slow %d times: after a minute it is held: %v, %v", slow, locked, err)
			}
			stop()
		})
	}
}

func TestWhatHappensToBoundHoldsIsForgotten(t *testing.T) {
	s := open(t)
	count := &s.server.handler.ties.count
	c := s.socket()
	version := s.lock("u", "a")
	c.send(bound("u", "a", longBound))
	c.next().is(200)
	if count.Load() != 1 {
		t.Fatalf("%d are tied", count.Load())
	}
	s.unlock("u", "a", version)
	if count.Load() != 0 {
		t.Errorf("%d are tied after an unlock", count.Load())
	}
	c.send(bound("u", "a", longBound))
	c.next().is(200)
	s.post("/extend", `{"uid":"u"}`).is(200)
	if count.Load() != 0 {
		t.Errorf("%d are tied after a plain extend", count.Load())
	}
	c.send(`{"id":1,"op":"extend","uid":"u","bind":true}`)
	c.next().is(200)
	if count.Load() != 1 {
		t.Errorf("%d are tied after an extend that binds", count.Load())
	}
	// Those that end by themselves are forgotten now and then.
	for i := range 2500 {
		c.send(fmt.Sprintf(`{"id":1,"op":"lock","uid":"w","keys":"%d","exp":1,"bind":true}`, i))
		c.next().is(200)
	}
	until(t, func() string {
		if n := count.Load(); n > 2400 {
			return fmt.Sprintf("%d are tied", n)
		}
		return ""
	})
}

// Asking for a hold again, or extending it, never makes its life shorter; so it
// stays bound, however short the exp was.
func TestBoundHoldsThatAreAskedForAgainStayBound(t *testing.T) {
	s := open(t)
	s.server.handler.ties.grace = time.Millisecond
	count := &s.server.handler.ties.count
	c := s.socket()
	ask := func(request string) {
		t.Helper()
		c.send(request)
		c.next().is(200)
	}
	ask(bound("u", "a", longBound))
	ask(`{"id":1,"op":"lock","uid":"u","keys":"a","exp":1}`)
	ask(`{"id":1,"op":"lock","uid":"u","keys":["b","c"],"exp":3600000,"bind":true}`)
	ask(`{"id":1,"op":"extend","uid":"u","exp":1}`)
	ask(`{"id":1,"op":"lock","uid":"u","keys":"d","mode":"shared","exp":3600000,"bind":true}`)
	ask(`{"id":1,"op":"lock","uid":"u","keys":"d","exp":1,"bind":true}`) // another version
	for i := range 1100 {                                                // and now those that have ended are forgotten
		ask(fmt.Sprintf(`{"id":1,"op":"lock","uid":"w","keys":"%d","exp":1,"bind":true}`, i))
	}
	until(t, func() string {
		if n := count.Load(); n > 1000 {
			return fmt.Sprintf("nothing was forgotten: %d are tied", n)
		}
		return ""
	})
	c.Close()
	until(t, func() string {
		if locked, _ := s.service.Check(t.Context(), []string{"a", "b", "c", "d"}); locked {
			return "one is held"
		}
		return ""
	})
}

// A message of 12 KB can carry as many requests as are allowed in one. What it
// took to read them is not kept for a connection that may be idle for days.
func TestAnIdleConnectionKeepsLittle(t *testing.T) {
	const connections, most = 12, 300 << 10 // bytes each, both sides of it
	s := open(t)
	s.socket().send("[]")
	message := "[" + strings.Repeat("{},", wire.MaxCalls-1) + "{}]"
	before := inUse()
	for range connections {
		c := s.socket()
		c.send(message)
		for range wire.MaxCalls {
			c.next()
		}
	}
	if each := (inUse() - before) / connections; each > most {
		t.Errorf("%d bytes are kept for each connection", each)
	}
}

// pipes is a listener whose connections are in memory, so that everything can
// happen in virtual time.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial opens a stream, and gives its bare connection.
func (p pipes) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	near, far := net.Pipe()
	p <- far
	go io.WriteString(near, "GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	reader := bufio.NewReader(near)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != 101 {
		t.Fatalf("%v, %v", response, err)
	}
	return near, reader
}

// inPipes runs a test with a server in virtual time.
func inPipes(t *testing.T, prompt bool, run func(t *testing.T, service holdfast.Service, l pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		_, l, stop := servePipes(t, store, prompt)
		run(t, store, l)
		stop()
	})
}

// servePipes starts a server in virtual time.
func servePipes(t *testing.T, service holdfast.Service, prompt bool) (server *Server, l pipes, stop func()) {
	server = NewServer(New(service, Options{Prompt: prompt, Logger: slog.New(slog.DiscardHandler)}))
	l = make(pipes)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	return server, l, func() {
		t.Helper()
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-done
	}
}

func TestWhoDoesNotReadIsCutOff(t *testing.T) {
	for _, prompt := range []bool{true, false} {
		inPipes(t, prompt, func(t *testing.T, service holdfast.Service, l pipes) {
			bad, _ := l.dial(t)
			defer bad.Close()
			began := time.Now()
			go func() {
				for {
					if _, err := io.WriteString(bad, "\x81\xa0\x00\x00\x00\x00"+`{"id":1,"op":"check","keys":"a"}`); err != nil {
						return
					}
				}
			}()
			good, reader := l.dial(t)
			defer good.Close()
			for range 3 {
				io.WriteString(good, "\x81\xa0\x00\x00\x00\x00"+`{"id":1,"op":"check","keys":"a"}`)
				if got, err := reader.ReadString('}'); err != nil || !strings.HasSuffix(got, `{"id":1,"status":200,"locked":false}`) {
					t.Errorf("got %q, %v", got, err)
				}
			}
			if time.Since(began) > time.Second {
				t.Errorf("the others waited for %v", time.Since(began))
			}
			time.Sleep(2*writeTimeout + time.Second)
			if _, err := bad.Write([]byte{0}); err == nil {
				t.Errorf("after %v it is not cut off", time.Since(began))
			}
		})
	}
}

func TestADeadConnectionIsFound(t *testing.T) {
	inPipes(t, true, func(t *testing.T, service holdfast.Service, l pipes) {
		if _, err := service.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("a"), Exp: time.Hour}); err != nil {
			t.Fatal(err)
		}
		dead, reader := l.dial(t)
		alive, pinged := l.dial(t)
		defer dead.Close()
		defer alive.Close()
		request := `{"id":1,"op":"lock","uid":"v","keys":"a","wait":360000}`
		io.WriteString(dead, string([]byte{0x81, 0x80 | byte(len(request)), 0, 0, 0, 0})+request)
		go io.Copy(io.Discard, reader) // it takes everything, and says nothing
		var pings atomic.Int64
		go func() {
			frame := make([]byte, 2)
			for {
				if _, err := io.ReadFull(pinged, frame); err != nil || frame[0] != 0x89 {
					return
				}
				pings.Add(1)
				if _, err := alive.Write([]byte{0x8a, 0x80, 0, 0, 0, 0}); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		waiting := func() int {
			state, err := service.Get(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			return len(state.Waiters)
		}
		if waiting() != 1 {
			t.Fatal("nobody waits")
		}
		time.Sleep(5 * time.Minute)
		if waiting() != 0 {
			t.Error("the place is still there")
		}
		if n := pings.Load(); n < 5 {
			t.Errorf("%d pings", n)
		}
		if _, err := alive.Write([]byte{0x8a, 0x80, 0, 0, 0, 0}); err != nil {
			t.Errorf("the living one was closed: %v", err)
		}
	})
}
