package client_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"holdfast"
	"holdfast/client"
)

// A watcher whose connection is cut goes on behind the last event that it
// has seen; if it has seen none, it is told of the gap.
func TestWatchGoesOnWhereItWasCut(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

func TestWatchEndsWithAnErrorWhenNobodyAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
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
