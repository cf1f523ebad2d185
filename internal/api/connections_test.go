package api

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast"
)

// impatient makes a server that gives clients little time: as little as a
// client on a busy machine can be sure to need.
func impatient(s *Server) {
	s.http.ReadHeaderTimeout = 500 * time.Millisecond
	s.http.ReadTimeout = 500 * time.Millisecond
}

// outlast returns when more time has passed than an impatient server gives
// its clients: one of them was cut off.
func (s *site) outlast() {
	s.t.Helper()
	conn := s.dial()
	conn.send("GET /lo")
	conn.rest()
}

func TestWhatIsNoHTTPIsRefusedInJSON(t *testing.T) {
	s := open(t)
	const host = "Host: localhost\r\n"
	for _, test := range []struct {
		name, sent string
		status     int
		code       holdfast.Code
		message    string
	}{
		{"no HTTP at all", "hello\r\n\r\n", 400, "invalid", "malformed HTTP request"},
		{"a bad escape in the path", "GET /locks/%zz HTTP/1.1\r\n" + host + "\r\n", 400, "invalid", "malformed HTTP request"},
		{"half an escape in the path", "DELETE /locks/% HTTP/1.1\r\n" + host + "\r\n", 400, "invalid", "malformed HTTP request"},
		{"a space in the path", "GET /locks/a b HTTP/1.1\r\n" + host + "\r\n", 400, "invalid", "malformed HTTP request"},
		{"a bad method", "GE(T /locks HTTP/1.1\r\n" + host + "\r\n", 400, "invalid", "malformed HTTP request"},
		{"no Host", "GET /locks HTTP/1.1\r\n\r\n", 400, "invalid", "malformed HTTP request: missing required Host header"},
		{"two Hosts", "GET /locks HTTP/1.1\r\n" + host + host + "\r\n", 400, "invalid", "malformed HTTP request"},
		{"a bad Host", "GET /locks HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "invalid", "malformed HTTP request: malformed Host header"},
		{"a bad header name", "GET /locks HTTP/1.1\r\n" + host + "a b: c\r\n\r\n", 400, "invalid", "malformed HTTP request"},
		{"a bad header value", "GET /locks HTTP/1.1\r\n" + host + "a: \x01\r\n\r\n", 400, "invalid", "malformed HTTP request"},
		{"a bad Content-Length", "POST /lock HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", 400, "invalid", "malformed HTTP request"},
		{"two lengths", "POST /lock HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "invalid", "malformed HTTP request"},
		{"an unknown Transfer-Encoding", "POST /lock HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", 501, "invalid", "Transfer-Encoding: "},
		{"HTTP/2 without TLS", "GET /locks HTTP/2.0\r\n" + host + "\r\n", 505, "invalid", "only HTTP/1.0 and HTTP/1.1"},
		{"an unknown expectation", "POST /lock HTTP/1.1\r\n" + host + "Expect: more\r\nContent-Length: 2\r\n\r\n{}", 417, "invalid", "Expect: "},
		{"a huge header", "GET /locks HTTP/1.1\r\n" + host + "a: " + strings.Repeat("x", maxHeader+8192) + "\r\n\r\n", 431, "too_large", "header: larger than 65536 bytes"},
		{"a huge path", "GET /locks/" + strings.Repeat("x", maxHeader+8192) + " HTTP/1.1\r\n" + host + "\r\n", 431, "too_large", "header: "},
		{"very many headers", "GET /locks HTTP/1.1\r\n" + host + strings.Repeat("a: b\r\n", 20_000) + "\r\n", 431, "too_large", "header: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := s.dial()
			// The refusal may come, and the connection close, before all is sent.
			go io.WriteString(conn, test.sent)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			answer{t, response.StatusCode, response.Header, string(body)}.refuses(test.status, test.code, test.message)
			if problem := checkShape(body); problem != "" || !response.Close {
				t.Errorf("%s; closes: %v", problem, response.Close)
			}
		})
	}
	s.ask("GET", "/locks", "").is(200).shows(`{"locks":[]}`)
}

func TestAHeaderOf64KiBIsFine(t *testing.T) {
	s := open(t)
	s.ask("GET", "/ping", "", "X-Long", strings.Repeat("x", maxHeader-1024)).is(200)
}

// A note may hold what a refusal of net/http's own looks like. It is an
// answer all the same.
func TestAnAnswerThatQuotesARefusalIsLeftAlone(t *testing.T) {
	s := open(t)
	note := "HTTP/1.1 400 Bad Request" + string(ownHeader) + "400 Bad Request"
	written, err := json.Marshal(note)
	if err != nil {
		t.Fatal(err)
	}
	s.post("/lock", `{"uid":"u","keys":"a","note":`+string(written)+`}`).is(200)
	var refusal struct{ Blockers []struct{ Note string } }
	s.post("/lock", `{"uid":"v","keys":"a"}`).is(409).into(&refusal)
	if refusal.Blockers[0].Note != note {
		t.Errorf("got %q", refusal.Blockers[0].Note)
	}
}

func TestHTTP10IsServed(t *testing.T) {
	conn := open(t).dial()
	conn.send("GET /ping HTTP/1.0\r\n\r\n")
	if got := conn.rest(); !strings.HasPrefix(got, "HTTP/1.0 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\npong") {
		t.Errorf("got %q", got)
	}
}

func TestAPipelineIsAnsweredInOrder(t *testing.T) {
	conn := open(t).dial()
	conn.send(post("/check", `{"keys":"a"}`) + post("/nowhere", `{}`) + "GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	reader := bufio.NewReader(conn)
	for _, want := range []int{200, 404, 200} {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != want {
			t.Fatalf("%d, %v; want %d", response.StatusCode, err, want)
		}
	}
}

// A client that has sent more behind its request, and goes, leaves the line as
// any other (rule 9).
func TestWhoHasSentMoreLeavesTheLineToo(t *testing.T) {
	check := post("/check", `{"keys":"a"}`)
	for _, more := range []string{"\r\n", check, check[:9], strings.Repeat(check, 20), strings.Repeat("x", mostAhead-1)} {
		plain, secured := open(t), openSecured(t, tls.NoClientCert, Options{})
		for _, s := range []*site{plain, secured.site} {
			conn := s.dial()
			if s == secured.site {
				conn.Conn = tls.Client(conn.Conn, secured.config("", "http/1.1"))
			}
			s.lock("u", "a")
			conn.send(post("/lock", `{"uid":"w","keys":"a","wait":3600000}`))
			s.inLine("a", "w")
			conn.send(more)
			conn.Close()
			s.inLine("a")
		}
	}
}

// What a client sends while its request stands in line is answered after it,
// however much that is.
func TestAPipelineBehindAWaiterIsAnsweredInOrder(t *testing.T) {
	s := open(t)
	for _, spaces := range []int{0, 5000, mostAhead, 5 * mostAhead} {
		version := s.lock("u", "a")
		conn := s.dial()
		conn.send(post("/lock", `{"uid":"w","keys":"a","wait":3600000,"exp":3600000}`))
		s.inLine("a", "w")
		conn.send(post("/check", strings.Repeat(" ", spaces)+`{"keys":"a"}`) + post("/check", `{"keys":"b"}`))
		s.unlock("u", "a", version)
		reader := bufio.NewReader(conn)
		for _, want := range []string{`"exp":`, `{"locked":true}`, `{"locked":false}`} {
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != 200 || !strings.Contains(string(body), want) {
				t.Fatalf("%d %s, %v; want %s", response.StatusCode, body, err, want)
			}
		}
		s.ask("DELETE", "/locks/a", "").is(200)
	}
}

func TestExpectContinueIsServed(t *testing.T) {
	conn := open(t).dial()
	body := `{"keys":"a"}`
	conn.send("POST /check HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	conn.send(body)
	rest, err := io.ReadAll(reader)
	if err != nil || !strings.Contains(string(rest), `{"locked":false}`) {
		t.Errorf("got %s, %v", rest, err)
	}
}

// Slow clients lose their connections; what they sent has no effect.
func TestSlowClientsAreCutOff(t *testing.T) {
	s := open(t)
	slow := openOver(t, s.service, Options{}, impatient)
	t.Run("", func(t *testing.T) { // returns when all have been cut off
		slowClients(t, slow)
	})
	s.ask("GET", "/locks", "").is(200).shows(`{"locks":[]}`)
}

func slowClients(t *testing.T, slow *site) {
	whole := post("/lock", `{"uid":"slow","keys":"a"}`)
	head, _, _ := strings.Cut(whole, "\r\n\r\n")
	for _, test := range []struct{ name, sent, want string }{
		{"nothing", "", ""},
		{"half a request line", "POST /lo", `{"error":"invalid","message":"malformed HTTP request"}`},
		{"half a header", head[:len(head)-3], ""},
		{"half a body", whole[:len(whole)-3], `{"error":"invalid","message":"body: did not arrive in time"}`},
		{"no body", head + "\r\n\r\n", `{"error":"invalid","message":"body: did not arrive in time"}`},
		{"half a chunked body", "POST /lock HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"ui",
			`{"error":"invalid","message":"body: did not arrive in time"}`},
		{"the body of a GET", "GET /locks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n", `{"locks":[]}`},
		{"the body of a refused request", "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n", `{"error":"not_found"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn := slow.dial()
			conn.t = t
			conn.send(test.sent)
			got := conn.rest()
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestABodyThatEndsTooSoonIsRefused(t *testing.T) {
	s := open(t)
	for _, sent := range []string{
		"POST /lock HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"uid\":\"u\",\"keys\":\"a\"}",
		"POST /lock HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n{\"uid\":\"u\",\"keys\":\"a\"}\r\n",
	} {
		conn := s.dial()
		conn.send(sent)
		if err := conn.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := conn.rest(); !strings.Contains(got, `{"error":"invalid","message":"body: ended after 22 bytes, before it was complete"}`) {
			t.Errorf("got %s", got)
		}
	}
	conn := s.dial()
	conn.send("POST /lock HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
	if got := conn.rest(); !strings.Contains(got, `{"error":"invalid","message":"body: cannot be read: `) {
		t.Errorf("got %s", got)
	}
	s.ask("GET", "/locks", "").is(200).shows(`{"locks":[]}`)
}

// The time that clients have to send a request is not that which they may
// wait.
func TestWhoStandsInLineIsNotCutOff(t *testing.T) {
	s := open(t)
	version := s.lock("first", "a")
	quick := openOver(t, s.service, Options{}, impatient)
	waiting := quick.later(t.Context(), "/lock", `{"uid":"second","keys":"a","wait":3600000}`)
	quick.inLine("a", "second")
	quick.outlast()
	quick.inLine("a", "second")
	s.unlock("first", "a", version)
	soon(t, waiting).answer.is(200)
}

// A service that takes its time does not look like a client that has gone.
func TestAServiceMayTakeLongerThanAClientMayTakeToAsk(t *testing.T) {
	s, answers, release := askEverything(t, impatient)
	s.outlast()
	close(release)
	for i, done := range answers {
		if result := soon(t, done); result.err != nil || result.answer.status != 200 {
			t.Errorf("%v: %+v", everyCall[i], result)
		}
	}
}

func TestAClientThatGoesAwayLeavesTheLine(t *testing.T) {
	const request = `{"uid":"second","keys":"a","wait":3600000}`
	chunked := fmt.Sprintf("POST /lock HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(request), request)
	for _, test := range []struct {
		name string
		sent string
		away func(*net.TCPConn) error
	}{
		{"closed", post("/lock", request), (*net.TCPConn).Close},
		{"closed after a chunked body", chunked, (*net.TCPConn).Close},
		{"closed on its side only", post("/lock", request), (*net.TCPConn).CloseWrite},
		{"reset", post("/lock", request), func(conn *net.TCPConn) error {
			if err := conn.SetLinger(0); err != nil {
				return err
			}
			return conn.Close()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			version := s.lock("first", "a")
			conn := s.dial()
			conn.send(test.sent)
			s.inLine("a", "second")
			third := s.later(t.Context(), "/lock", `{"uid":"third","keys":"a","wait":3600000}`)
			s.inLine("a", "second", "third")

			if err := test.away(conn.Conn.(*net.TCPConn)); err != nil {
				t.Fatal(err)
			}
			s.inLine("a", "third")
			s.unlock("first", "a", version)
			soon(t, third).answer.is(200)
		})
	}
}

// The second request on a connection is noticed to go away as the first is.
func TestAClientThatGoesAwayOnAConnectionUsedBeforeLeavesTheLine(t *testing.T) {
	s := open(t)
	s.lock("first", "a")
	conn := s.dial()
	conn.send(post("/check", `{"keys":"a"}`))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	conn.send(post("/lock", `{"uid":"second","keys":"a","wait":3600000}`))
	s.inLine("a", "second")
	conn.Close()
	s.inLine("a")
}

// After a refusal net/http says that nothing more follows, and waits a little
// before it cuts the connection, so that a client that is still sending can
// read it.
func TestAConnectionCanBeClosedOnOneSide(t *testing.T) {
	tcp := listen(t)
	defer tcp.Close()
	client, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener{Listener: tcp}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(client); err != nil || len(rest) != 0 {
		t.Errorf("read %q, %v", rest, err)
	}
	if _, err := io.WriteString(client, "more"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 4)); err != nil {
		t.Error(err)
	}
}
