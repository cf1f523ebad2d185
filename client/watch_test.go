package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/client"
)

// A watcher whose connection is cut goes on behind the last event that it
// has seen; if it has seen none, it is told of the gap.
func TestWatchGoesOnWhereItWasCut(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		asked = append(asked, r.Header.Get("Last-Event-ID"))
		switch len(asked) {
		case 1: // cut before anything has happened
		case 2:
			fmt.Fprint(w, ": still here\n\nid: 5\nevent: granted\ndata: {\"key\":\"x\",\"uid\":\"a\",\"mode\":\"exclusive\"}\n\nid: 6\nevent: gra")
		default:
			fmt.Fprint(w, "id: 6\nevent: released\ndata: {\"key\":\"x\",\"uid\":\"a\",\"mode\":\"exclusive\"}\n\n")
		}
	}))
	defer server.Close()
	c, err := client.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	events, err := c.Watch(t.Context(), holdfast.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, fmt.Sprint(e.Type, " ", e.ID)); len(seen) == 3 {
			break
		}
	}
	if want := []string{"gap 0", "granted 5", "released 6"}; !slices.Equal(seen, want) {
		t.Errorf("seen %q, not %q", seen, want)
	}
	if want := []string{"", "", "5"}; !slices.Equal(asked, want) {
		t.Errorf("asked behind %q, not %q", asked, want)
	}
}

// hooked counts what is to be called when a context ends.
type hooked struct {
	context.Context
	hooks atomic.Int64
}

// Value hides what package context would hook into instead.
func (h *hooked) Value(any) any { return nil }

func (h *hooked) AfterFunc(call func()) func() bool {
	h.hooks.Add(1)
	stop := context.AfterFunc(h.Context, call)
	return func() bool {
		stopped := stop()
		if stopped {
			h.hooks.Add(-1)
		}
		return stopped
	}
}

// Nothing of a watch that is over stays with a context that goes on.
func TestWatchLetsGoOfItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "id: 5\nevent: granted\ndata: {\"key\":\"x\",\"uid\":\"a\",\"mode\":\"exclusive\"}\n\n")
	}))
	defer server.Close()
	c := connect(t, server.URL)
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx := &hooked{Context: parent}
	events, err := c.Watch(ctx, holdfast.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == 3 { // each from a connection of its own
			break
		}
	}
	if left := ctx.hooks.Load(); left != 0 {
		t.Errorf("%d hooks are left", left)
	}
}

// Such as a site that has a page for every path.
func TestWatchRefusesWhatIsNoLockService(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "<!doctype html>\n")
	}))
	defer server.Close()
	c := connect(t, server.URL)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	events, err := c.Watch(ctx, holdfast.WatchRequest{})
	if holdfast.ErrorCode(err) != holdfast.CodeUnavailable || !strings.Contains(err.Error(), "not that of a lock service") {
		t.Errorf("got %v, %v", events, err)
	}
}

// Such as something in between that lost the server behind it.
func TestWatchPausesWhenStreamsEndAsSoonAsTheyHaveBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		transport := roundTrip(func(*http.Request) (*http.Response, error) {
			asked++
			time.Sleep(time.Millisecond)
			header := http.Header{"Content-Type": {"text/event-stream"}}
			return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(strings.NewReader(": still here\n\n"))}, nil
		})
		c := connectWith(t, client.Options{Transport: transport}, "one", "two")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		events, err := c.Watch(ctx, holdfast.WatchRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range events {
			if err != nil {
				t.Fatal(err)
			}
		}
		if asked < 20 || asked > 100 {
			t.Errorf("it was asked %d times in a minute", asked)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWatchEndsWithAnErrorWhenNobodyAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
	}))
	c, err := client.Options{Patience: -1}.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	events, err := c.Watch(t.Context(), holdfast.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	for _, err := range events {
		if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
			t.Errorf("%v", err)
		}
	}
}

// Whoever is only slow, or has nothing to tell, is not left; whoever is silent is.
func TestWatchLeavesAServerThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		state := store(t)
		n.serve(t, "a", state)
		n.serve(t, "b", state)
		count := &counted{RoundTripper: n.transport(t)}
		c := connectWith(t, client.Options{Transport: count}, "a", "b")
		events, err := c.Watch(t.Context(), holdfast.WatchRequest{})
		if err != nil {
			t.Fatal(err)
		}
		change := func(uid string) {
			if _, err := state.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(uid), Exp: 24 * time.Hour}); err != nil {
				t.Error(err)
			}
		}
		var cut time.Time
		step := 0
		time.AfterFunc(time.Hour, func() { change("first") })
		for e, err := range events {
			if err != nil || e.Type != holdfast.EventGranted {
				t.Fatalf("%v, %v", e, err)
			}
			switch step++; step {
			case 1: // the server had nothing to tell
				time.Sleep(50 * time.Second) // and now nobody listens
				change("second")
				continue
			case 2:
				if asked := count.others.Load(); asked != 1 {
					t.Errorf("it was asked %d times", asked)
				}
				n.setCut(true)
				cut = time.Now()
				time.AfterFunc(50*time.Second, func() { n.setCut(false) })
				change("third")
				continue
			}
			if passed := time.Since(cut); passed > time.Minute || count.others.Load() < 2 {
				t.Errorf("it was left after %v, and asked %d times", passed, count.others.Load())
			}
			break
		}
	})
}
