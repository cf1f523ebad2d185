package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// socket is a WebSocket client that takes the messages of a server apart.
type socket struct {
	t testing.TB
	*websocket.Conn
	answers []string // that have come and were not looked at
}

func (s *site) socket() *socket {
	s.t.Helper()
	return s.socketAs("")
}

// socketAs opens a stream with a token.
func (s *site) socketAs(token string) *socket {
	s.t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	conn, response, err := websocket.DefaultDialer.Dial("ws://"+s.address+"/stream", header)
	if err != nil {
		s.t.Fatalf("%v: %+v", err, response)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(patience))
	return &socket{t: s.t, Conn: conn}
}

func (s *socket) send(message string) {
	s.t.Helper()
	if err := s.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		s.t.Fatal(err)
	}
}

// next gives the next answer.
func (s *socket) next() answer {
	s.t.Helper()
	for len(s.answers) == 0 {
		_, message, err := s.ReadMessage()
		if err != nil {
			s.t.Fatal(err)
		}
		var several []json.RawMessage
		if message[0] == '[' {
			if err := json.Unmarshal(message, &several); err != nil || len(several) < 2 {
				s.t.Fatalf("%v in %s", err, message)
			}
		} else {
			several = []json.RawMessage{message}
		}
		for _, one := range several {
			s.answers = append(s.answers, string(one))
		}
	}
	a := answer{t: s.t, body: s.answers[0]}
	s.answers = s.answers[1:]
	var head struct{ Status int }
	a.into(&head)
	a.status = head.Status
	return a.masked("version")
}

// gives gives the next n answers, ordered.
func (s *socket) gives(n int) []string {
	s.t.Helper()
	var all []string
	for range n {
		all = append(all, s.next().masked("exp").body)
	}
	slices.Sort(all)
	return all
}

// ends gives the code with which the server closes the connection.
func (s *socket) ends() int {
	s.t.Helper()
	for {
		_, _, err := s.ReadMessage()
		if e, ok := err.(*websocket.CloseError); ok {
			return e.Code
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// Both ways to carry out calls answer the same.
func eachWay(t *testing.T, test func(t *testing.T, s *site), change ...func(*Options)) {
	for name, prompt := range map[string]bool{"prompt": true, "goroutines": false} {
		options := Options{Prompt: prompt}
		for _, change := range change {
			change(&options)
		}
		t.Run(name, func(t *testing.T) { test(t, openOver(t, openStore(t), options)) })
	}
}

func TestTheStreamAnswersEachRequest(t *testing.T) {
	eachWay(t, func(t *testing.T, s *site) {
		c := s.socket()
		c.send(`{"id":1,"op":"lock","uid":"u","keys":"a","exp":60000}`)
		c.next().masked("exp").shows(`{"id":1,"status":200,"tokens":[{"key":"a","version":#}],"exp":#}`)
		c.send(`[{"id":2,"op":"lock","uid":"v","keys":"a"},{"op":"check","keys":["a","b"],"id":3},{"id":9007199254740991,"op":"extend","uid":"u"}]`)
		got := c.gives(3)
		want := []string{
			`{"id":2,"status":409,"error":"locked","message":"key \"a\" is held by \"u\"","blockers":[{"key":"a","uid":"u","version":#,"exp":#,"mode":"exclusive","waiting":false}]}`,
			`{"id":3,"status":200,"locked":true}`,
			`{"id":9007199254740991,"status":200,"tokens":[{"key":"a","version":#}],"lost":[],"exp":#}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
		version := s.lock("u", "a")
		c.send(fmt.Sprintf(`[{"id":1,"op":"unlock","uid":"u","tokens":[{"key":"a","version":%d}]}]`, version))
		c.next().shows(`{"id":1,"status":200,"unlocked":["a"]}`)
	})
}

func TestWhoWaitsDoesNotHoldUpOthersOnTheStream(t *testing.T) {
	eachWay(t, func(t *testing.T, s *site) {
		c := s.socket()
		version := s.lock("u", "a")
		c.send(`[{"id":1,"op":"lock","uid":"v","keys":"a","wait":60000},{"id":2,"op":"check","keys":"a"}]`)
		c.next().shows(`{"id":2,"status":200,"locked":true}`)
		s.inLine("a", "v")
		s.unlock("u", "a", version)
		c.next().masked("exp").shows(`{"id":1,"status":200,"tokens":[{"key":"a","version":#}],"exp":#}`)
	})
}

func TestARequestIsWithdrawn(t *testing.T) {
	eachWay(t, func(t *testing.T, s *site) {
		c := s.socket()
		s.lock("u", "a")
		c.send(`{"id":1,"op":"lock","uid":"v","keys":"a","wait":60000}`)
		s.inLine("a", "v")
		c.send(`{"id":2,"op":"cancel"}`) // there is no such request
		c.send(`{"id":1,"op":"cancel"}`)
		c.send(`{"id":1,"op":"cancel"}`)
		c.next().shows(`{"id":1,"status":499,"error":"cancelled","message":"the request was withdrawn"}`)
		s.inLine("a")
		c.send(`{"id":1,"op":"check","keys":"b"}`) // exactly one answer came
		c.next().shows(`{"id":1,"status":200,"locked":false}`)
	})
}

func TestWhatIsWrongOnTheStream(t *testing.T) {
	const refused = `,"status":400,"error":"invalid","message":`
	many := func(n int) string {
		return `[` + strings.Repeat(`{"id":1,"op":"check","keys":"a"},`, n-1) + `{"id":1,"op":"check","keys":"a"}]`
	}
	tests := map[string]string{ // a message, and how its answer begins
		``:                               `{"id":0` + refused + `"body: is empty`,
		`nonsense`:                       `{"id":0` + refused + `"body: broken JSON`,
		"\xff":                           `{"id":0` + refused + `"body: broken JSON`,
		`[]`:                             `{"id":0` + refused + `"message: an array without a request`,
		`7`:                              `{"id":0` + refused + `"message[0]: body: must be a JSON object, not 7`,
		`[[]]`:                           `{"id":0` + refused + `"message[0]: body: must be a JSON object, not an array`,
		`{}`:                             `{"id":0` + refused + `"message[0]: id: is missing`,
		`{"id":0,"op":"check"}`:          `{"id":0` + refused + `"message[0]: id: must be a whole number from 1 to 9007199254740991, not 0`,
		`{"id":-1,"op":"check"}`:         `{"id":0` + refused + `"message[0]: id: must be`,
		`{"id":9007199254740992}`:        `{"id":0` + refused + `"message[0]: id: must be`,
		`{"id":"1","op":"check"}`:        `{"id":0` + refused + `"message[0]: id: must be`,
		`{"id":5}`:                       `{"id":5` + refused + `"op: is missing`,
		`{"op":"steal","id":5}`:          `{"id":5` + refused + `"op: must be \"lock\", \"unlock\", \"extend\", \"check\" or \"cancel\", not \"steal\"`,
		`{"op":"","id":5}`:               `{"id":5` + refused + `"op: must be`,
		`{"id":5,"op":"lock","keys":7}`:  `{"id":5` + refused + `"keys: must be a string or an array, not 7`,
		`{"wiat":1,"op":"lock","id":5}`:  `{"id":5` + refused + `"unknown field \"wiat\"`,
		`{"id":5,"op":"lock","uid":"u"}`: `{"id":5` + refused + `"keys: is missing`,
		`{"id":5,"op":"check","uid":"u","keys":"a"}`:            `{"id":5` + refused + `"unknown field \"uid\"`,
		`{"id":5,"op":"cancel","keys":"a"}`:                     `{"id":5` + refused + `"unknown field \"keys\"`,
		`{"id":5,"op":"unlock","uid":"u","tokens":[],"bind":1}`: `{"id":5` + refused + `"bind: must be true or false, not 1`,
		`{"id":5,"op":"check","keys":"a","bind":true}`:          `{"id":5` + refused + `"unknown field \"bind\"`,
		`{"id":5,"id":6,"op":"check","keys":"a"}`:               `{"id":0` + refused + `"field \"id\" is given twice`,
		`{"id":5,"op":"check","keys":"a"} {}`:                   `{"id":0` + refused + `"body: something follows`,
		`[{"id":5,"op":"lock","uid":"u","keys":"a"},{"id":6,]`:  `{"id":0` + refused + `"body: broken JSON`,
		`[{"id":5,"op":"lock","uid":"u","keys":"a"}`:            `{"id":0` + refused + `"body: broken JSON`,
		many(4097): `{"id":0` + refused + `"message: more than 4096 requests`,
	}
	eachWay(t, func(t *testing.T, s *site) {
		c := s.socket()
		for message, want := range tests {
			c.send(message)
			if got := c.next().body; !strings.HasPrefix(got, want) {
				t.Errorf("%.100s\ngot  %s\nwant %s", message, got, want)
			}
		}
		// Nothing of a broken message was done, and the connection is whole.
		c.send(`{"id":1,"op":"check","keys":"a"}`)
		c.next().shows(`{"id":1,"status":200,"locked":false}`)
		// What is wrong with one request is no matter of the others.
		c.send(`[{"id":1,"op":"lock","uid":"u","keys":"a"},{"id":2,"op":"lock","uid":""},{"op":"check"},{"id":4,"op":"check","keys":"a"}]`)
		got := strings.Join(c.gives(4), "\n")
		for _, want := range []string{`{"id":1,"status":200`, `{"id":2,"status":400`, `{"id":0,"status":400,"error":"invalid","message":"message[2]: id: is missing"`, `{"id":4,"status":200`} {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in %s", want, got)
			}
		}
	})
}

func TestAMessageMayHave4096Requests(t *testing.T) {
	s := openOver(t, openStore(t), Options{Prompt: true})
	c := s.socket()
	var message strings.Builder
	for i := range 4096 {
		fmt.Fprintf(&message, `,{"id":%d,"op":"check","keys":"a"}`, i+1)
	}
	c.send("[" + message.String()[1:] + "]")
	if got := c.gives(4096); got[0] != `{"id":1,"status":200,"locked":false}` {
		t.Errorf("got %s", got[0])
	}
}

func TestAnIDThatIsUnderWayIsRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, s *site) {
		c := s.socket()
		version := s.lock("u", "a")
		c.send(`{"id":1,"op":"lock","uid":"v","keys":"a","wait":60000}`)
		for _, op := range []string{`"check","keys":"a"`, `"lock","uid":"v","keys":"b","wait":9`} {
			c.send(`{"id":1,"op":` + op + `}`)
			c.next().shows(`{"id":0,"status":400,"error":"invalid","message":"id: 1 is that of a request that is under way"}`)
		}
		s.unlock("u", "a", version)
		c.next().is(200)
	})
}

func TestHowManyRequestsMayBeUnderWay(t *testing.T) {
	s := open(t)
	c := s.full()
	c.send(`{"id":5000,"op":"check","keys":"a"}`)
	c.next().shows(`{"id":5000,"status":429,"retry_after":1,"error":"limit","message":"too many requests are under way on this connection"}`)
	c.send(`{"id":7,"op":"cancel"}`)
	c.next().is(499)
	c.send(`{"id":5000,"op":"check","keys":"a"}`)
	c.next().is(200)
	c.Close() // rule 9
	s.inLine("a")
}

// full gives a connection that carries as many requests as it may, which stand
// in line for a behind u.
func (s *site) full() *socket {
	s.t.Helper()
	c := s.socket()
	s.lock("u", "a")
	var message strings.Builder
	for i := range maxUnderWay {
		fmt.Fprintf(&message, `,{"id":%d,"op":"lock","uid":"u%d","keys":"a","wait":3600000}`, i+1, i)
	}
	c.send("[" + message.String()[1:] + "]")
	until(s.t, func() string {
		if n := len(s.waiters("a")); n != maxUnderWay {
			return fmt.Sprintf("%d wait", n)
		}
		return ""
	})
	return c
}

// Who asks without waiting for what it stands in line for already is refused at
// the end of that line, however full the connection is.
func TestARefusalOnAFullConnectionLeavesNobodyBehind(t *testing.T) {
	s := openOver(t, openStore(t), Options{Prompt: true})
	c := s.full()
	c.send(`{"id":5000,"op":"lock","uid":"u0","keys":"a"}`)
	c.next().is(409)
	c.Close()
	s.inLine("a")
}

func TestAMessageOfMoreThan1MiBEndsTheConnection(t *testing.T) {
	s := open(t)
	c := s.socket()
	request := `{"id":1,"op":"check","keys":"a"}`
	c.send(request + strings.Repeat(" ", MaxBody-len(request)))
	c.next().is(200)
	c.send(request + strings.Repeat(" ", MaxBody-len(request)+1))
	if code := c.ends(); code != websocket.CloseMessageTooBig {
		t.Errorf("closed with %d", code)
	}
}

func TestWhoIsNoWebSocketIsRefused(t *testing.T) {
	s := open(t)
	s.ask("GET", "/stream", "").refuses(400, "invalid", "Upgrade: ")
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
	s.ask("GET", "/stream", "", append(slices.Clone(upgrade[:6]), "Sec-WebSocket-Key", "short")...).refuses(400, "invalid", "Upgrade: ")
	s.ask("GET", "/stream", "", append(upgrade[:4:4], "Sec-WebSocket-Version", "12")...).refuses(400, "invalid", "Upgrade: ")
	// A page of another origin may not open one. An old browser sends Origin only.
	for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		s.ask("GET", "/stream", "", append(upgrade[:8:8], header...)...).refuses(403, "forbidden", "a web page of another origin")
	}
	_, response, err := websocket.DefaultDialer.Dial("ws://"+s.address+"/stream", http.Header{"Origin": {"http://" + s.address}})
	if err != nil {
		t.Errorf("the server's own page: %v %v", err, response)
	}
}

func TestFramesOfAllKinds(t *testing.T) {
	s := openOver(t, openStore(t), Options{Prompt: true})
	const upgrade = "GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	const request = `{"id":1,"op":"check","keys":"a"}`
	frame := func(first byte, text string) string { // masked with zeros
		return string([]byte{first, 0x80 | byte(len(text)), 0, 0, 0, 0}) + text
	}
	const answer = "\x81\x24" + `{"id":1,"status":200,"locked":false}`
	for name, test := range map[string]struct{ sent, got string }{
		"whole":               {frame(0x81, request), answer},
		"binary":              {frame(0x82, request), answer},
		"in pieces":           {frame(0x01, request[:5]) + frame(0x00, request[5:9]) + frame(0x80, request[9:]), answer},
		"with a ping between": {frame(0x01, request[:5]) + frame(0x89, "hi") + frame(0x80, request[5:]), "\x8a\x02hi" + answer},
		"not masked":          {"\x81\x20" + request, "\x88"},
		"a piece of nothing":  {frame(0x80, request), "\x88"},
		"reserved bits":       {frame(0xf1, request), "\x88"},
		"no such kind":        {frame(0x83, request), "\x88"},
		"a long ping":         {"\x89\xfe\x00\x7e\x00\x00\x00\x00" + strings.Repeat("x", 126), "\x88"},
		"a huge length":       {"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "\x88"},
		"a negative length":   {"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.dial()
			conn.send(upgrade + "")
			head := make([]byte, len("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"))
			if _, err := conn.Read(head); err != nil || !strings.HasPrefix(string(head), "HTTP/1.1 101 ") {
				t.Fatalf("%v: %q", err, head)
			}
			conn.send(test.sent)
			if test.got == answer || strings.HasSuffix(test.got, answer) {
				conn.Conn.(interface{ CloseWrite() error }).CloseWrite()
			}
			if got := conn.rest(); !strings.HasPrefix(got, test.got) {
				t.Errorf("got %q", got)
			}
		})
	}
	s.ask("GET", "/ping", "").is(200)
}
