package api

import (
	"cmp"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A page of another origin reaches nothing that is about locks, whatever the
// method; what is for everybody it may load.
func TestAnotherOriginReachesNoRouteThatIsAboutLocks(t *testing.T) {
	h := New(openStore(t), whole(nil))
	for _, right := range rights {
		method, path, _ := strings.Cut(right.route, " ")
		if path = cmp.Or(right.path, path); right.head {
			method = http.MethodHead
		}
		for _, test := range []struct {
			name, value string
			same        bool
		}{
			{"Sec-Fetch-Site", "cross-site", false},
			{"Sec-Fetch-Site", "same-site", false},
			{"Sec-Fetch-Site", "same-origin", true},
			{"Sec-Fetch-Site", "none", true}, // typed by a person
			{"Origin", "https://evil.example", false},
			{"Origin", "null", false},
			{"Origin", "http://locks.test:3000", true},
			{"Origin", "http://locks.test:3001", false},
		} {
			r := httptest.NewRequestWithContext(t.Context(), method, "http://locks.test:3000"+path, strings.NewReader(right.body))
			r.Header.Set(test.name, test.value)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			answer := answer{t, w.Code, w.Header(), w.Body.String()}
			if test.same || right.verb == "" {
				answer.is(cmp.Or(right.refused, 200))
			} else {
				answer.refuses(403, "forbidden", "a web page of another origin")
			}
			if len(w.Header()["Set-Cookie"]) > 0 || len(w.Header()["Access-Control-Allow-Origin"]) > 0 {
				t.Errorf("%s: %v", right.route, w.Header())
			}
		}
	}
}

// A page can give a name of its own the address of localhost. The Host that
// its requests have is still that name.
func TestAServiceOnLoopbackAnswersToLoopbackOnly(t *testing.T) {
	s := open(t)
	_, port, _ := net.SplitHostPort(s.address)
	for _, test := range []struct {
		host    string
		allowed bool
	}{
		{"localhost", true},
		{"LOCALHOST:" + port, true},
		{"localhost.", true},
		{"localhost:1", true},
		{s.address, true},
		{"127.1.2.3", true},
		{"[::1]:" + port, true},
		{"[::1]", true},
		{"evil.example", false},
		{"evil.example:" + port, false},
		{"localhost.evil.example:" + port, false},
		{"127.0.0.1.evil.example", false},
		{"192.0.2.1:" + port, false},
		{"0.0.0.0:" + port, false},
		{"0:" + port, false},
		{"[::]:" + port, false},
		{":" + port, false},
	} {
		for _, path := range []string{"/locks", "/ping", "/nowhere"} {
			conn := s.dial()
			conn.send("GET " + path + " HTTP/1.1\r\nHost: " + test.host + "\r\nConnection: close\r\n\r\n")
			got := conn.rest()
			if refused := strings.HasPrefix(got, "HTTP/1.1 403 ") && strings.Contains(got, `{"error":"forbidden","message":"Host: `); refused == test.allowed {
				t.Errorf("%s, Host %q: %s", path, test.host, got)
			}
		}
	}
}

func TestAServiceElsewhereAnswersToAnyHost(t *testing.T) {
	h := New(openStore(t), Options{})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://any.example/locks", nil))
	answer{t, w.Code, w.Header(), w.Body.String()}.is(200)
}
