package api

import (
	"net/http"
	"strings"
	"testing"
)

// Before there is a service, a server says that it lives, and refuses whatever
// needs one.
func TestStarting(t *testing.T) {
	s := openOver(t, nil, Options{})
	for _, route := range routes {
		path := strings.NewReplacer("{key}", "x", "{id}", "a", "{file}", "main.js").Replace(route.path)
		got := s.ask(route.method, path, "")
		needsNone := route.who == anybody && route.operation != "readyz"
		refused := got.status == http.StatusServiceUnavailable && strings.Contains(got.body, `"message":"the server is starting; ask again"`)
		if refused == needsNone {
			t.Errorf("%s %s: %d %s", route.method, path, got.status, got.body)
		}
	}
}
