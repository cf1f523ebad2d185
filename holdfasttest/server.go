package holdfasttest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/api"
	"holdfast/internal/memnet"
	"holdfast/internal/memory"
)

// farewell is how long what is under way at the end of a test may take; it is
// spent only when that does not end by itself.
const farewell = 10 * time.Second

// Server is a lock service that ends with a test. It is safe for concurrent use.
type Server struct {
	// Service is what the server asks on behalf of its clients. It answers the
	// test itself even while they cannot reach the server.
	holdfast.Service

	t        testing.TB
	http     *api.Server
	inMemory *memnet.Listener
	onSocket func() (url string)
	presence presence
	serving  sync.WaitGroup
}

// Start starts a server on which nothing is held. It ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	store := memory.New()
	handler := api.New(store, api.Options{Logger: slog.New(slog.DiscardHandler), Prompt: true, Count: store.Count})
	s := &Server{
		Service:  store,
		t:        t,
		http:     api.NewServer(handler),
		inMemory: memnet.Listen("localhost"),
	}
	s.onSocket = sync.OnceValue(s.listen)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		if err := s.http.Shutdown(ctx); err != nil {
			t.Errorf("holdfasttest: requests did not end with the test: %v", err)
		}
		s.serving.Wait()
		store.Close()
	})
	s.serve(s.inMemory)
	return s
}

// serve answers what comes to l.
func (s *Server) serve(l net.Listener) {
	s.serving.Go(func() {
		if err := s.http.Serve(guarded{l, &s.presence}); err != nil {
			s.t.Errorf("holdfasttest: %v", err)
		}
	})
}

// Client gives a client of the server; another one with each call, as another
// process would have. It is closed with the test.
func (s *Server) Client() *client.Client {
	s.t.Helper()
	return s.ClientWith(client.Options{})
}

// ClientWith gives a client with options, of which Transport and TLS are not
// used.
func (s *Server) ClientWith(options client.Options) *client.Client {
	s.t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return s.inMemory.Dial(ctx)
	}}
	options.Transport = transport
	c, err := options.New("http://localhost")
	if err != nil {
		s.t.Fatal("holdfasttest:", err)
	}
	s.t.Cleanup(func() {
		c.Close()
		transport.CloseIdleConnections()
	})
	return c
}

// URL is where the server listens on loopback, from the first call on: for
// other processes, and for code that makes its client by itself.
func (s *Server) URL() string { return s.onSocket() }

func (s *Server) listen() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal("holdfasttest:", err)
	}
	s.serve(l)
	return "http://" + l.Addr().String()
}

// GoAway cuts the clients off: their connections are closed, and so are new
// ones. What they hold stays until it runs out.
func (s *Server) GoAway() { s.presence.set(false) }

// ComeBack ends what GoAway began.
func (s *Server) ComeBack() { s.presence.set(true) }
