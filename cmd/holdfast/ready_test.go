package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast"
)

// One line for each change, and none in between.
func TestReadinessIsLoggedWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		var reason atomic.Pointer[error]
		reason.Store(new(error))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			watchReady(ctx, slog.New(logHandler(&out, textLog, slog.LevelInfo)), func(context.Context) error { return *reason.Load() })
		}()
		for _, next := range []error{
			holdfast.Unavailable(nil, "there is no leader"),
			errors.New("something else"),
			nil,
		} {
			time.Sleep(10*lookEvery + lookEvery/2)
			reason.Store(&next)
		}
		time.Sleep(10 * lookEvery)
		cancel()
		<-ended
		var got []string
		for line := range strings.Lines(out.String()) {
			_, rest, _ := strings.Cut(strings.TrimSpace(line), "level=")
			got = append(got, rest)
		}
		want := `INFO msg=ready, WARN msg="not ready" reason="there is no leader", WARN msg="not ready" reason="something else", INFO msg=ready`
		if said := strings.Join(got, ", "); said != want {
			t.Errorf("said %s\nwant %s", said, want)
		}
	})
}

// A store that cannot say anything in time is not ready; and the end of the
// service is no change of that.
func TestReadinessIsNotWaitedForTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		ctx, cancel := context.WithTimeout(t.Context(), lookEvery+lookEvery/2)
		defer cancel()
		watchReady(ctx, slog.New(logHandler(&out, textLog, slog.LevelInfo)), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if got := strings.Count(out.String(), "\n"); got != 1 || !strings.Contains(out.String(), "not ready") {
			t.Errorf("said %s", out.String())
		}
	})
}

// supervisor is a socket as systemd has one.
func supervisor(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	t.Setenv(notifySocket, path)
	return socket
}

// heard gives the next message to the supervisor.
func heard(socket *net.UnixConn) (string, error) {
	message := make([]byte, 1000)
	socket.SetReadDeadline(time.Now().Add(patience))
	n, err := socket.Read(message)
	return string(message[:n]), err
}

// supervised is a script's supervisor.
type supervised struct{ *net.UnixConn }

// supervisedKey is where a script keeps its supervised.
type supervisedKey struct{}

func supervise(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs("notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	ts.Check(err)
	ts.Defer(func() { socket.Close() })
	ts.Setenv(notifySocket, path)
	ts.Value(supervisedKey{}).(*supervised).UnixConn = socket
}

func told(ts *testscript.TestScript, neg bool, args []string) {
	for got := ""; got != args[0]; {
		next, err := heard(ts.Value(supervisedKey{}).(*supervised).UnixConn)
		if err != nil {
			ts.Fatalf("after %q: %v", got, err)
		}
		got = next
	}
}

func TestTheSupervisorIsTold(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "notify"), "@holdfast-test-" + filepath.Base(t.TempDir())} {
		socket := supervisor(t, path)
		notify(slog.New(slog.DiscardHandler), notifyReady)
		if got, err := heard(socket); err != nil || got != "READY=1" {
			t.Errorf("%s: heard %q, %v", path, got, err)
		}
	}
}

func TestASupervisorThatIsNotThereIsNoFailure(t *testing.T) {
	var out strings.Builder
	log := slog.New(logHandler(&out, textLog, slog.LevelInfo))
	t.Setenv(notifySocket, "")
	notify(log, notifyReady)
	if out.Len() > 0 {
		t.Errorf("without one: %s", out.String())
	}
	t.Setenv(notifySocket, filepath.Join(t.TempDir(), "nowhere"))
	notify(log, notifyReady)
	if !strings.Contains(out.String(), "level=WARN") {
		t.Errorf("with one that has gone: %s", out.String())
	}
}
