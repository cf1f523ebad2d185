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
