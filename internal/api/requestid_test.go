package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func TestRequestIDIsGivenBack(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	const parent = "00-" + trace + "-00f067aa0ba902b7-01"
	longest := strings.Repeat("x", maxRequestID)
	s := open(t)
	for _, test := range []struct {
		name   string
		header []string
		want   string
	}{
		{"none", nil, ""},
		{"an id", []string{"X-Request-Id", "job-7/a_b:c"}, "job-7/a_b:c"},
		{"one of the longest", []string{"X-Request-Id", longest}, longest},
		{"a longer one", []string{"X-Request-Id", longest + "x"}, ""},
		{"one with a blank", []string{"X-Request-Id", "a b"}, ""},
		{"one that is not ASCII", []string{"X-Request-Id", "ü"}, ""},
		{"an empty one", []string{"X-Request-Id", ""}, ""},
		{"two", []string{"X-Request-Id", "a", "X-Request-Id", "b"}, ""},
		{"a trace", []string{"traceparent", parent}, trace},
		{"both", []string{"traceparent", parent, "X-Request-Id", "a"}, "a"},
		{"a malformed id and a trace", []string{"traceparent", parent, "X-Request-Id", "a b"}, trace},
		{"two traces", []string{"traceparent", parent, "traceparent", parent}, ""},
		{"a later version", []string{"traceparent", "cc" + parent[2:] + "-more"}, trace},
		{"a later version that goes on", []string{"traceparent", "cc" + parent[2:] + "more"}, ""},
		{"this version with more", []string{"traceparent", parent + "-more"}, ""},
		{"no version", []string{"traceparent", "ff" + parent[2:]}, ""},
		{"no trace", []string{"traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"}, ""},
		{"no span", []string{"traceparent", "00-" + trace + "-0000000000000000-01"}, ""},
		{"upper case", []string{"traceparent", strings.ToUpper(parent)}, ""},
		{"too short", []string{"traceparent", parent[:54]}, ""},
		{"not apart", []string{"traceparent", strings.ReplaceAll(parent, "-", "0")}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for path, status := range map[string]int{"/ping": 200, "/nowhere": 404} {
				answer := s.ask("GET", path, "", test.header...).is(status)
				if got := answer.header.Get("X-Request-Id"); got != test.want {
					t.Errorf("%s: got %q, want %q", path, got, test.want)
				}
			}
		})
	}
}

func TestRequestIDOfAStreamIsGivenBack(t *testing.T) {
	s := open(t)
	for _, id := range []string{"", "id-1"} {
		conn, response, err := websocket.DefaultDialer.Dial("ws://"+s.address+"/stream", http.Header{"X-Request-Id": {id}})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if got := response.Header.Get("X-Request-Id"); got != id {
			t.Errorf("got %q, want %q", got, id)
		}
	}
}
