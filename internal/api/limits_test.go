package api

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"holdfast/internal/wire"
)

func limited(t *testing.T, limits Limits) *site {
	t.Helper()
	return openOver(t, openStore(t), Options{Limits: limits})
}

func TestABodyMayBeLimitedFurther(t *testing.T) {
	const request = `{"uid":"u","keys":"a"}`
	s := limited(t, Limits{Body: 100})
	full := request + strings.Repeat(" ", 100-len(request))
	s.post("/lock", full).is(200)
	s.post("/lock", full+" ").refuses(413, "too_large", "body: larger than 100 bytes")
	c := s.socket()
	message := `{"id":1,"op":"check","keys":"a"}`
	c.send(message + strings.Repeat(" ", 100-len(message)))
	c.next().is(200)
	c.send(message + strings.Repeat(" ", 101-len(message)))
	if code := c.ends(); code != websocket.CloseMessageTooBig {
		t.Errorf("ends with %d", code)
	}
	if h := New(openStore(t), Options{Limits: Limits{Body: 2 * MaxBody}}); h.options.Limits.Body != MaxBody {
		t.Error("a limit was lifted")
	}
}

func TestKeysMayBeLimitedFurther(t *testing.T) {
	s := limited(t, Limits{Keys: 2, Key: 3})
	for _, test := range []struct{ path, keys, message string }{
		{"/lock", `["aaa","bbb"]`, ""},
		{"/lock", `["aaa","bbb","ccc"]`, "keys: 3 keys; at most 2 are allowed here"},
		{"/lock", `["aaa","bbb","aaa","bbb"]`, ""}, // a key that is asked twice counts once
		{"/lock", `["aaa","bbb","aaa","ccc"]`, "keys: 3 keys; at most 2 are allowed here"},
		{"/check", `["aaa","bbb","aaa"]`, ""},
		{"/lock", `["aaa","bbbb"]`, "keys: a key of 4 bytes; at most 3 are allowed here"},
		{"/check", `["aaa","bbb"]`, ""},
		{"/check", `["aaa","bbb","ccc"]`, "keys: 3 keys; at most 2 are allowed here"},
		{"/check", `"bbbb"`, "keys: a key of 4 bytes; at most 3 are allowed here"},
	} {
		body := `{"keys":` + test.keys + `}`
		if test.path == "/lock" {
			body = `{"uid":"u","keys":` + test.keys + `}`
		}
		answer := s.post(test.path, body)
		if test.message == "" {
			answer.is(200)
		} else {
			answer.refuses(413, "too_large", test.message)
		}
	}
	if keys, _ := keysOf(s.ask("GET", "/locks", "")); len(keys) != 2 {
		t.Errorf("locked %q", keys)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	for name, limits := range map[string]Limits{
		"connections: 3 are open":                 {Connections: 3},
		"connections: 3 of your address are open": {ConnectionsOfAddress: 3},
	} {
		var log logged
		s := openOver(t, openStore(t), Options{Limits: limits, Logger: log.logger()})
		var open []*raw
		for range 3 {
			conn := s.dial()
			ping(conn)
			open = append(open, conn)
		}
		conn := s.dial()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		answer{t, response.StatusCode, response.Header, string(body)}.refuses(429, "limit", name)
		if response.Header.Get("Retry-After") != "1" {
			t.Errorf("%v", response.Header)
		}
		for _, conn := range open {
			ping(conn) // the others do not notice
		}
		open[0].Close()
		until(t, func() string {
			conn := s.dial()
			defer conn.Close()
			io.WriteString(conn, pingRequest)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != 200 {
				return "there is no room again"
			}
			return ""
		})
		// However many are turned away, the log is not filled with them.
		if line := log.soon(t, "connections are turned away", 1)[0]; "connections: "+line["reason"].(string) != name+"; more are not allowed" {
			t.Errorf("%v", line)
		}
	}
}

const pingRequest = "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"

// ping asks on a connection that stays open.
func ping(c *raw) {
	c.t.Helper()
	c.send(pingRequest)
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "pong" {
		c.t.Fatalf("%q, %v", body, err)
	}
}

func TestConnectionsOverTLSAreLimited(t *testing.T) {
	s := openSecured(t, tls.NoClientCert, Options{Limits: Limits{Connections: 2}})
	one, two := s.as("", false), s.as("", true)
	for _, client := range []*http.Client{one, two} {
		if _, _, err := s.get(client, "/ping"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.get(s.as("", false), "/ping"); err == nil {
		t.Error("a third is let in")
	}
	one.CloseIdleConnections()
	until(t, func() string {
		if _, _, err := s.get(s.as("", false), "/ping"); err != nil {
			return err.Error()
		}
		return ""
	})
}

// Whoever has an IPv6 network has more addresses than there are limits.
func TestAnIPv6NetworkIsLimitedAsOneAddress(t *testing.T) {
	c := newCensus(0, 2)
	enters := func(from string, want bool) (leave func()) {
		t.Helper()
		leave, tooMany := c.enter(from)
		if (tooMany == "") != want {
			t.Errorf("%s: %q", from, tooMany)
		}
		return leave
	}
	enters("[2001:db8:1:2::1]:1000", true)
	leave := enters("[2001:db8:1:2:ffff::2%eth0]:1000", true)
	enters("[2001:db8:1:2::3]:1000", false)
	enters("[2001:db8:1:3::3]:1000", true)
	leave()
	enters("[2001:db8:1:2::3]:1000", true)
	enters("192.0.2.1:1000", true)
	enters("[::ffff:192.0.2.1]:1000", true)
	enters("192.0.2.1:1001", false)
	enters("192.0.2.2:1000", true)
}

func TestStreamsOfAnAddressAreLimited(t *testing.T) {
	s := limited(t, Limits{StreamsOfAddress: 2})
	s.watch("", "")
	c := s.socket()
	_, response, err := websocket.DefaultDialer.Dial("ws://"+s.address+"/stream", nil)
	if err == nil || response.StatusCode != 429 || response.Header.Get("Retry-After") != "1" {
		t.Errorf("a third: %v, %v", response, err)
	}
	s.ask("GET", "/events", "").refuses(429, "limit", "streams: 2 of your address are open")
	s.ask("GET", "/locks", "").is(200)
	c.Close()
	until(t, func() string {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+s.address+"/stream", nil)
		if err != nil {
			return err.Error()
		}
		conn.Close()
		return ""
	})
}

func TestRequestsOnAStreamAreLimited(t *testing.T) {
	s := limited(t, Limits{RequestsPerSecond: 100})
	c := s.socket()
	other := s.socket()
	var calls []string
	for i := range 110 {
		calls = append(calls, fmt.Sprintf(`{"id":%d,"op":"check","keys":"a"}`, i+1))
	}
	c.send("[" + strings.Join(calls, ",") + "]")
	refused := 0
	for range calls {
		if answer := c.next(); answer.status != 200 {
			answer.is(429)
			if !strings.Contains(answer.body, `"retry_after":1,"error":"limit","message":"requests: more than 100 in a second on this connection"`) {
				t.Errorf("got %s", answer.body)
			}
			refused++
		}
	}
	if refused == 0 || refused > 10 {
		t.Errorf("%d refused", refused) // fewer, if the message took long
	}
	other.send(`{"id":1,"op":"check","keys":"a"}`)
	other.next().is(200)
}

func TestPace(t *testing.T) {
	p := pace{perSecond: 10}
	now := time.Unix(0, 0)
	passes := func(at time.Duration) (n int) {
		for p.pass(now.Add(at)) {
			n++
		}
		return n
	}
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{0, 10}, {50 * time.Millisecond, 0}, {100 * time.Millisecond, 1}, {600 * time.Millisecond, 5}, {time.Hour, 10}} {
		if got := passes(step.at); got != step.want {
			t.Errorf("at %v: %d pass, want %d", step.at, got, step.want)
		}
	}
}

// New waiters are turned away first, those who make room last.
func TestUnderLoadThoseWhoMakeRoomAreServedLast(t *testing.T) {
	l := load{limit: 16}
	count := func(op wire.Op, wait time.Duration) (n int) {
		for l.begin(op, wait) {
			n++
		}
		return n
	}
	if n := count(wire.OpLock, time.Second); n != 12 {
		t.Errorf("%d wait", n)
	}
	if n := count(wire.OpLock, 0); n != 2 {
		t.Errorf("%d lock", n)
	}
	if l.begin(wire.OpCheck, 0) {
		t.Error("one more looks")
	}
	if n := count(wire.OpExtend, 0) + count(wire.OpUnlock, 0); n != 2 {
		t.Errorf("%d extend or unlock", n)
	}
	for range 16 {
		l.end()
	}
	if l.now.Load() != 0 || !l.begin(wire.OpLock, time.Second) {
		t.Errorf("%d are left", l.now.Load())
	}
}

// However many are turned away at once, there is room for those who make room.
func TestWhoIsTurnedAwayTakesNoRoom(t *testing.T) {
	l := load{limit: 8}
	for l.begin(wire.OpLock, time.Second) {
	}
	var over atomic.Bool
	var crowd sync.WaitGroup
	for range 64 {
		crowd.Go(func() {
			for !over.Load() {
				if l.begin(wire.OpLock, time.Second) {
					t.Error("one is let in")
					return
				}
			}
		})
	}
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
		if !l.begin(wire.OpUnlock, 0) {
			t.Error("who unlocks is turned away")
			break
		}
		l.end()
	}
	over.Store(true)
	crowd.Wait()
}

func TestCallsUnderWayAreLimited(t *testing.T) {
	s := limited(t, Limits{UnderWay: 4})
	version := s.lock("u", "a")
	for i := range 3 {
		s.later(t.Context(), "/lock", fmt.Sprintf(`{"uid":"w%d","keys":"a","wait":3600000}`, i))
		s.inLine("a", []string{"w0", "w1", "w2"}[:i+1]...)
	}
	s.post("/lock", `{"uid":"v","keys":"a","wait":1000}`).refuses(429, "limit", "requests: too many are under way")
	s.post("/lock", `{"uid":"v","keys":"b"}`).is(200)
	s.post("/extend", `{"uid":"u","exp":60000}`).is(200)
	s.unlock("u", "a", version)
}

func TestHeadersAreLimitedInSizeAndTime(t *testing.T) {
	s := limited(t, Limits{Header: 8 << 10, HeaderTime: 300 * time.Millisecond, RequestTime: 600 * time.Millisecond})
	header := func(n int) string {
		const begin, end = "GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Long: ", "\r\n\r\n"
		return begin + strings.Repeat("x", n-len(begin)-len(end)) + end
	}
	conn := s.dial()
	conn.send(header(8 << 10))
	if got := conn.rest(); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("at the limit: %s", got)
	}
	conn = s.dial()
	conn.send(header(8<<10 + 1))
	if got := conn.rest(); !strings.HasPrefix(got, "HTTP/1.1 431 ") || !strings.Contains(got, "header: larger than 8192 bytes") {
		t.Errorf("one beyond: %s", got)
	}
	for _, test := range []struct {
		sent string
		low  time.Duration
	}{
		{"GET /pi", 300 * time.Millisecond},
		{"POST /lock HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{", 600 * time.Millisecond},
	} {
		began := time.Now()
		conn := s.dial()
		conn.send(test.sent)
		conn.rest()
		if took := time.Since(began); took < test.low || took > readTimeout {
			t.Errorf("%q took %v", test.sent, took)
		}
	}
}

func TestACensusForgetsWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCensus(3, 2)
		one, _ := c.enter("192.0.2.1:1")
		if _, tooMany := c.enter("192.0.2.1:2"); tooMany != "" {
			t.Error(tooMany)
		}
		if _, tooMany := c.enter("192.0.2.1:3"); tooMany == "" {
			t.Error("three of one address")
		}
		if _, tooMany := c.enter("[::ffff:192.0.2.1]:3"); tooMany == "" {
			t.Error("three of one address, written in another way")
		}
		if _, tooMany := c.enter("192.0.2.2:1"); tooMany != "" {
			t.Error(tooMany)
		}
		if _, tooMany := c.enter("192.0.2.3:1"); tooMany == "" {
			t.Error("four in all")
		}
		one()
		one() // once is enough
		if c.n != 2 || len(c.of) != 2 {
			t.Errorf("%d, %v", c.n, c.of)
		}
		if newCensus(0, 0) != nil {
			t.Error("there is something to count")
		}
	})
}
