package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever else listens on the port is no healthy lock service, though it may
// answer every path with 200.
func TestAnotherServiceIsNotHealthy(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page":          func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>It works!</html>")) },
		"nothing":         func(w http.ResponseWriter, r *http.Request) {},
		"another status":  func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"status":"UP"}`)) },
		"another refusal": http.NotFound,
		"a page elsewhere": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/login" {
				http.Redirect(w, r, "/login", http.StatusFound)
			}
		},
	} {
		server := httptest.NewServer(answer)
		defer server.Close()
		for _, live := range []bool{false, true} {
			err := (&healthCommand{Server: server.URL, Live: live}).Run()
			if err == nil || !strings.Contains(err.Error(), "is not that of a lock service") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
