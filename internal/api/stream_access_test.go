package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"holdfast/internal/auth"
)

// A stream is opened once, and carries many calls: each needs the rights that
// its caller has when it comes.
func TestEachMessageOfAStreamNeedsItsRights(t *testing.T) {
	file := new(auth.File)
	token, hash := auth.NewToken()
	let := func(grants ...auth.Grant) {
		file.Remove("t")
		if err := file.Add(auth.Entry{Name: "t", SHA256: hash, UID: "u", Grants: grants}); err != nil {
			t.Fatal(err)
		}
	}
	let(auth.Grant{Prefix: "a/", Verbs: auth.Lock | auth.Check})
	ring := auth.NewKeyring(file)
	eachWay(t, func(t *testing.T, s *site) {
		let(auth.Grant{Prefix: "a/", Verbs: auth.Lock | auth.Check})
		ring.Use(file)
		c := s.socketAs(token)
		c.send(`{"id":1,"op":"lock","uid":"u","keys":"a/1","exp":60000}`)
		c.next().is(200)
		for _, test := range []struct{ call, message string }{
			{`"op":"lock","uid":"u","keys":["a/1","b/1"]`, `key \"b/1\": \"t\" has no grant to lock it`},
			{`"op":"lock","uid":"u","keys":"b/1","wait":1000`, `key \"b/1\": \"t\" has no grant to lock it`},
			{`"op":"lock","uid":"v","keys":"a/2"`, `uid \"v\": \"t\" may only use uids that begin with \"u\"`},
			{`"op":"unlock","uid":"u","tokens":[{"key":"b/1","version":1}]`, `key \"b/1\": `},
			{`"op":"extend","uid":"u","tokens":[{"key":"b/1","version":1}]`, `key \"b/1\": `},
			{`"op":"check","keys":"b/1"`, `key \"b/1\": \"t\" has no grant to check it`},
		} {
			c.send(`{"id":2,` + test.call + `}`)
			answer := c.next().is(403)
			if !strings.Contains(answer.body, `"error":"forbidden","message":"`+test.message) {
				t.Errorf("%s: %s", test.call, answer.body)
			}
		}

		// What changes while the stream is open counts for the next message.
		let(auth.Grant{Prefix: "a/", Verbs: auth.Check})
		ring.Use(file)
		c.send(`[{"id":3,"op":"lock","uid":"u","keys":"a/1"},{"id":4,"op":"check","keys":"a/1"}]`)
		if got := c.gives(2); !strings.HasPrefix(got[0], `{"id":3,"status":403,`) || !strings.HasPrefix(got[1], `{"id":4,"status":200,`) {
			t.Errorf("got %s", got)
		}
		ring.Use(new(auth.File))
		c.send(`{"id":5,"op":"check","keys":"a/1"}`)
		c.next().is(401)
	}, func(o *Options) { o.Keyring = ring })
}

// What is tied to a stream is released by the server, whoever may do what.
func TestHoldsOfARevokedTokenEndWithTheirStream(t *testing.T) {
	file := new(auth.File)
	token, hash := auth.NewToken()
	if err := file.Add(auth.Entry{Name: "t", SHA256: hash, Grants: []auth.Grant{{Verbs: auth.Lock}}}); err != nil {
		t.Fatal(err)
	}
	ring := auth.NewKeyring(file)
	s := openOver(t, openStore(t), Options{Keyring: ring, BindGrace: time.Millisecond})
	c := s.socketAs(token)
	c.send(`{"id":1,"op":"lock","uid":"u","keys":"a","exp":86400000,"bind":true}`)
	c.next().is(200)
	ring.Use(new(auth.File))
	c.Close()
	until(t, func() string {
		state, err := s.service.Get(t.Context(), "a")
		if err != nil || len(state.Holders) > 0 {
			return "it is held"
		}
		return ""
	})
}

func TestAStreamIsNotOpenedForStrangers(t *testing.T) {
	s := openOver(t, openStore(t), Options{Keyring: auth.NewKeyring(new(auth.File))})
	for _, header := range []http.Header{{}, {"Authorization": {"Bearer x"}}} {
		_, response, err := websocket.DefaultDialer.Dial("ws://"+s.address+"/stream", header)
		if err == nil || response.StatusCode != 401 {
			t.Errorf("%v: %v, %v", header, response, err)
		}
	}
	open := open(t)
	for _, header := range []http.Header{{"Origin": {"https://evil.example"}}, {"Host": {"evil.example"}}} {
		_, response, err := websocket.DefaultDialer.Dial("ws://"+open.address+"/stream", header)
		if err == nil || response.StatusCode != 403 {
			t.Errorf("%v: %v, %v", header, response, err)
		}
	}
}
