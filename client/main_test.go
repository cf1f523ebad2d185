package client_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/api"
	"holdfast/internal/memory"
)

// patience is how long a test waits for what must happen. It is spent only
// when it does not.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(stoppedServer) != "" {
		beStopped() // another process of TestAStoppedProcessSeesThatItsHoldIsOver
		return
	}
	client.UseTestClock()
	goleak.VerifyTestMain(m)
}

// serve starts a server over a service.
func serve(t testing.TB, service holdfast.Service) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, listener, service)
}

func serveOn(t testing.TB, listener net.Listener, service holdfast.Service) (url string) {
	t.Helper()
	return serveHandlerOn(t, listener, api.New(service, api.Options{Logger: slog.New(slog.DiscardHandler)}))
}

func serveHandlerOn(t testing.TB, listener net.Listener, handler *api.Handler) (url string) {
	t.Helper()
	server := api.NewServer(handler)
	run(t, server, func() error { return server.Serve(listener) })
	return "http://" + listener.Addr().String()
}

// run lets a server serve until the test is over.
func run(t testing.TB, server *api.Server, serve func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// store opens a memory store.
func store(t testing.TB) *memory.Store {
	t.Helper()
	store := memory.New()
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// connect gives a client of servers.
func connect(t testing.TB, urls ...string) *client.Client {
	t.Helper()
	return connectWith(t, client.Options{}, urls...)
}

func connectWith(t testing.TB, options client.Options, urls ...string) *client.Client {
	t.Helper()
	c, err := options.New(urls...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
