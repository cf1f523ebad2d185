package api

import (
	"strings"
	"testing"
)

// More about the page stands in internal/ui.
func TestThePageIsForWhoeverWantsHTML(t *testing.T) {
	s := open(t)
	page := s.ask("GET", "/", "", "Accept", "text/html,*/*;q=0.8").is(200)
	if page.header.Get("Content-Type") != "text/html; charset=utf-8" || page.header.Get("Content-Security-Policy") == "" {
		t.Errorf("%v", page.header)
	}
	for _, accept := range []string{"", "*/*", "application/json", "text/plain"} {
		s.ask("GET", "/", "", "Accept", accept).refuses(404, "not_found", "path: there is nothing here; /openapi.yaml")
	}
	s.ask("GET", "/?a=b", "", "Accept", "text/html").refuses(400, "invalid", `unknown query parameter "a"`)
}

func TestAFileOfThePageIsSentOnceAsLongAsItDoesNotChange(t *testing.T) {
	s := open(t)
	first := s.ask("GET", "/ui/main.js", "").is(200)
	again := s.ask("GET", "/ui/main.js", "", "If-None-Match", first.header.Get("ETag")).is(304)
	if again.body != "" || again.header.Get("ETag") != first.header.Get("ETag") {
		t.Errorf("%q %v", again.body, again.header)
	}
	for _, name := range []string{"none.js", "..", "%2e%2e%2fui.go", "page", "", strings.Repeat("a", 1000)} {
		s.ask("GET", "/ui/"+name, "").refuses(404, "not_found", "path: the page has no such file")
	}
}
