package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestWhatIsNotThereIs404(t *testing.T) {
	s := open(t)
	s.lock("u", "a")
	for _, path := range []string{
		"/Lock", "/lock/", "/lock/a", "//lock", "/./lock", "/x/../lock", "/lock%2F", "/%6cocks/a/b", "/lockss",
		"/clusters", "/cluster/", "/cluster/nodes", "/cluster/nodes/a/b", "/ui", "/ui/a/b", "/ui/../locks",
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"} {
			answer := s.ask(method, path, "")
			if method == "HEAD" {
				answer.is(404)
				continue
			}
			answer.refuses(404, "not_found", "path: ")
		}
	}
}

func TestASlashInAKeyIsAskedToBeEscaped(t *testing.T) {
	s := open(t)
	s.lock("u", "a")
	for _, path := range []string{"/locks/a/b", "/locks/a//b", "/locks/a/", "/locks//a", "/locks/a%2Fb/c", "/locks/../locks/a"} {
		for _, method := range []string{"GET", "DELETE"} {
			s.ask(method, path, "").refuses(404, "not_found", "path: a slash in a key must be written %2F")
		}
	}
	s.post("/check", `{"keys":"a"}`).is(200).shows(`{"locked":true}`)
}

func TestAnotherMethodIs405WithThoseThatAre(t *testing.T) {
	s := open(t)
	allowed := map[string][]string{}
	for _, route := range routes {
		allowed[route.path] = append(allowed[route.path], route.method)
		if route.method == http.MethodGet {
			allowed[route.path] = append(allowed[route.path], http.MethodHead)
		}
	}
	for path, methods := range allowed {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"} {
			if strings.Contains(fmt.Sprint(methods), method) {
				continue
			}
			answer := s.ask(method, named(path), "").is(405)
			got := strings.Split(answer.header.Get("Allow"), ", ")
			if len(got) != len(methods) {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got, methods)
			}
			for _, method := range methods {
				if !strings.Contains(answer.header.Get("Allow"), method) {
					t.Errorf("%s %s: Allow %q, want %q", method, path, got, methods)
				}
			}
			if method != "HEAD" {
				answer.refuses(405, "method_not_allowed", "method: this path takes ")
			}
		}
	}
}

func TestPathsThatAreNoPathsAreRefused(t *testing.T) {
	s := open(t)
	for _, target := range []string{"*", "http://localhost", "http://localhost/nowhere", "/nowhere?%zz"} {
		conn := s.dial()
		conn.send("OPTIONS " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		if got := conn.rest(); !strings.HasPrefix(got, "HTTP/1.1 404 ") || !strings.Contains(got, `{"error":"not_found"`) {
			t.Errorf("%s: %s", target, got)
		}
	}
	conn := s.dial()
	conn.send("GET http://localhost/locks/a%2Fb HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n")
	if got := conn.rest(); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, `{"key":"a/b",`) {
		t.Errorf("an absolute URL: %s", got)
	}
}

func TestQueriesAreReadStrictly(t *testing.T) {
	s := open(t)
	s.lock("u", "a")
	for _, test := range []struct{ method, path, body, message string }{
		{"GET", "/locks?prefx=a", "", `unknown query parameter "prefx"`},
		{"GET", "/locks?Prefix=a", "", `unknown query parameter "Prefix"`},
		{"GET", "/locks?" + strings.Repeat("x", 1000) + "=1", "", `unknown query parameter "` + strings.Repeat("x", 64) + `"`},
		{"GET", "/locks?uid=u&uid=v", "", `query parameter "uid" is given twice`},
		{"GET", "/locks?uid=u&uid=", "", `query parameter "uid" is given twice`},
		{"GET", "/locks?uid=%zz", "", `query: invalid URL escape "%zz"`},
		{"GET", "/locks?uid=u;limit=1", "", `query: invalid semicolon`},
		{"GET", "/locks?prefix=%ff", "", `prefix: not valid UTF-8`},
		{"GET", "/locks?after=%ff", "", `after: not valid UTF-8`},
		{"GET", "/locks?uid=%ff", "", `uid: not valid UTF-8`},
		{"GET", "/locks?uid=%00", "", `uid: "\x00" contains a control character`},
		{"GET", "/locks?uid=", "", `uid: must not be empty`},
		{"GET", "/events?uid=", "", `uid: must not be empty`},
		{"GET", "/locks?limit=", "", `limit: must be a whole number from 1 to 1000, not ""`},
		{"GET", "/locks?limit=0", "", `limit: must be a whole number from 1 to 1000, not "0"`},
		{"GET", "/locks?limit=-1", "", `limit: must be a whole number from 1 to 1000, not "-1"`},
		{"GET", "/locks?limit=1.5", "", `limit: must be a whole number from 1 to 1000, not "1.5"`},
		{"GET", "/locks?limit=ten", "", `limit: must be a whole number from 1 to 1000, not "ten"`},
		{"GET", "/locks?limit=1001", "", `limit: must be a whole number from 1 to 1000, not "1001"`},
		{"GET", "/locks?limit=18446744073709551617", "", `limit: must be a whole number from 1 to 1000`},
		{"GET", "/locks?waited=", "", `waited: must be true or false, not ""`},
		{"GET", "/locks?waited=1", "", `waited: must be true or false, not "1"`},
		{"GET", "/locks/a?prefix=a", "", `unknown query parameter "prefix"`},
		{"DELETE", "/locks/a?why=x", "", `unknown query parameter "why"`},
		{"DELETE", "/locks/a?reason=x&reason=y", "", `query parameter "reason" is given twice`},
		{"DELETE", "/locks/a?reason=%ff", "", `reason: not valid UTF-8`},
		{"DELETE", "/locks/a?reason=" + strings.Repeat("x", 1025), "", `reason: 1025 bytes; at most 1024 are allowed`},
		{"GET", "/ping?wait=1", "", `unknown query parameter "wait"`},
		{"POST", "/lock?wait=1000", `{"uid":"v","keys":"b"}`, `unknown query parameter "wait"`},
		{"POST", "/unlock?uid=u", `{"uid":"v","tokens":[]}`, `unknown query parameter "uid"`},
		{"GET", "/locks/", "", "keys: a key must not be empty"},
		{"DELETE", "/locks/%00", "", `keys: key "\x00" contains a control character`},
		{"GET", "/locks/%7f", "", `keys: key "\x7f" contains a control character`},
		{"GET", "/locks/%ff", "", "keys: a key is not valid UTF-8"},
		{"GET", "/locks/" + strings.Repeat("a", 513), "", "keys: a key of 513 bytes; at most 512 are allowed"},
	} {
		s.ask(test.method, test.path, test.body).refuses(400, "invalid", test.message)
	}
	keys, _ := keysOf(s.ask("GET", "/locks", ""))
	if len(keys) != 1 || keys[0] != "a" {
		t.Errorf("changed: %q", keys)
	}
}

// named gives the path of a route with a name in it.
func named(path string) string {
	return strings.NewReplacer("{key}", "a", "{id}", "a", "{file}", "main.js").Replace(path)
}
