package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"holdfast"
)

// before is the state that no bad input may change: a hold, another with a
// waiter.
func before(t *testing.T) (s *site, held uint64, state func() string) {
	s = open(t)
	held = s.lock("u", "held")
	s.lock("u", "wanted")
	s.later(t.Context(), "/lock", `{"uid":"w","keys":"wanted","wait":3600000}`)
	s.inLine("wanted", "w")
	state = func() string { return s.ask("GET", "/locks", "").masked("exp", "held", "waited").body }
	return s, held, state
}

// Bad input of every kind gets the documented refusal, and changes nothing.
// The wording of each is proved in internal/wire.
func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	s, held, state := before(t)
	was := state()

	keys := make([]string, 300)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"key-%d"`, i)
	}
	many := "[" + strings.Join(keys, ",") + "]"
	token := fmt.Sprintf(`{"key":"held","version":%d}`, held)
	huge := strings.Repeat("x", MaxBody-100)

	for _, test := range []struct {
		name, path, body, message string
	}{
		{"uid of a wrong type", "/lock", `{"uid":1,"keys":"a"}`, "uid: "},
		{"keys of a wrong type", "/lock", `{"uid":"u","keys":true}`, "keys: "},
		{"exp of a wrong type", "/lock", `{"uid":"u","keys":"a","exp":"1000"}`, "exp: "},
		{"wait of a wrong type", "/lock", `{"uid":"u","keys":"a","wait":{}}`, "wait: "},
		{"mode of a wrong type", "/lock", `{"uid":"u","keys":"a","mode":1}`, "mode: "},
		{"note of a wrong type", "/lock", `{"uid":"u","keys":"a","note":1}`, "note: "},
		{"null", "/lock", `{"uid":"u","keys":"a","exp":null}`, "exp: "},
		{"tokens of a wrong type", "/unlock", `{"uid":"u","tokens":"held"}`, "tokens: "},
		{"a version of a wrong type", "/unlock", fmt.Sprintf(`{"uid":"u","tokens":[{"key":"held","version":"%d"}]}`, held), "tokens[0].version: "},
		{"one bad token among good ones", "/unlock", `{"uid":"u","tokens":[` + token + `,{"key":"held"}]}`, "tokens[1].version: "},

		{"a token without a name", "/unlock", `{"uid":"u","tokens":[` + token + `,{"key":"","version":1}]}`, "tokens: a key must not be empty"},
		{"a token of no key", "/extend", `{"uid":"u","tokens":[` + token + `,{"key":"a\u0000b","version":1}]}`, "tokens: key "},

		{"no uid", "/lock", `{"keys":"a"}`, "uid: is missing"},
		{"no keys", "/lock", `{"uid":"u"}`, "keys: is missing"},
		{"no tokens", "/unlock", `{"uid":"u"}`, "tokens: is missing"},
		{"no uid to unlock", "/unlock", `{"tokens":[` + token + `]}`, "uid: is missing"},
		{"no uid to extend", "/extend", `{"tokens":[` + token + `]}`, "uid: is missing"},
		{"no keys to check", "/check", `{}`, "keys: is missing"},
		{"an empty object", "/lock", `{}`, "uid: is missing"},

		{"an empty uid", "/lock", `{"uid":"","keys":"a"}`, "uid: "},
		{"an empty key", "/lock", `{"uid":"u","keys":""}`, "keys: "},
		{"an empty key among others", "/lock", `{"uid":"u","keys":["a",""]}`, "keys: "},
		{"an empty array of keys", "/lock", `{"uid":"u","keys":[]}`, "keys: at least one key is needed"},
		{"an empty array of tokens", "/unlock", `{"uid":"u","tokens":[]}`, "tokens: at least one token is needed"},
		{"an empty array of tokens to extend", "/extend", `{"uid":"u","tokens":[],"exp":86400000}`, "tokens: at least one token is needed"},
		{"an empty array to check", "/check", `{"keys":[]}`, "keys: at least one key is needed"},

		{"300 keys", "/lock", `{"uid":"u","keys":` + many + `}`, "keys: 300 different keys; at most 256"},
		{"300 keys to check", "/check", `{"keys":` + many + `}`, "keys: 300 keys; at most 256"},
		{"300 tokens", "/unlock", `{"uid":"u","tokens":[` + strings.Repeat(token+",", 299) + token + `]}`, "tokens: 300 tokens; at most 256"},
		{"a key of 1 MB", "/lock", `{"uid":"u","keys":"` + huge + `"}`, "keys: a key of 1048476 bytes"},
		{"a uid of 1 MB", "/lock", `{"uid":"` + huge + `","keys":"a"}`, "uid: 1048476 bytes"},
		{"a note of 1 MB", "/lock", `{"uid":"u","keys":"a","note":"` + huge + `"}`, "note: 1048476 bytes"},
		{"a field name of 1 MB", "/lock", `{"` + huge + `":1}`, "unknown field"},
		{"a number of 1 MB", "/lock", `{"uid":"u","keys":"a","exp":` + strings.Repeat("9", MaxBody-100) + `}`, "exp: "},
		{"brackets 1 MB deep", "/lock", `{"uid":` + strings.Repeat("[", MaxBody-100), "body: broken JSON"},

		{"exp NaN", "/lock", `{"uid":"u","keys":"a","exp":NaN}`, "body: broken JSON"},
		{"exp Infinity", "/lock", `{"uid":"u","keys":"a","exp":-Infinity}`, "body: broken JSON"},
		{"exp 0", "/lock", `{"uid":"u","keys":"a","exp":0}`, "exp: "},
		{"exp negative", "/lock", `{"uid":"u","keys":"a","exp":-1000}`, "exp: "},
		{"exp fractional", "/lock", `{"uid":"u","keys":"a","exp":0.5}`, "exp: "},
		{"exp fractional to extend", "/extend", `{"uid":"u","exp":1000.5}`, "exp: "},
		{"exp negative to extend", "/extend", `{"uid":"u","exp":-1}`, "exp: "},
		{"wait negative", "/lock", `{"uid":"u","keys":"a","wait":-1}`, "wait: "},
		{"wait fractional", "/lock", `{"uid":"u","keys":"a","wait":0.1}`, "wait: "},
		{"limit 0", "/lock", `{"uid":"u","keys":"a","mode":"shared","limit":0}`, "limit: "},
		{"limit with exclusive", "/lock", `{"uid":"u","keys":"a","limit":2}`, "limit: "},
		{"an unknown mode", "/lock", `{"uid":"u","keys":"a","mode":"write"}`, "mode: "},
		{"the same key in two modes", "/lock", `{"uid":"u","keys":["a",{"key":"a","mode":"shared"}]}`, `keys: key "a" is asked twice`},

		{"broken UTF-8", "/lock", "{\"uid\":\"\xc3\x28\",\"keys\":\"a\"}", "body: broken JSON"},
		{"half a surrogate pair", "/lock", `{"uid":"u","keys":"\udc00"}`, "body: broken JSON"},
		{"a control character", "/lock", `{"uid":"u","keys":"a\u0000b"}`, "keys: key "},
		{"another control character", "/lock", `{"uid":"u\u0085","keys":"a"}`, "uid: "},
		{"nothing", "/lock", ``, "body: is empty"},
		{"broken JSON", "/lock", `{"uid":"u","keys":`, "body: broken JSON at byte 18"},
		{"no JSON", "/lock", `uid=u&keys=a`, "body: broken JSON at byte 0"},
		{"an array", "/lock", `[{"uid":"u","keys":"a"}]`, "body: must be a JSON object"},
		{"trailing garbage", "/lock", `{"uid":"v","keys":"a"}}`, "body: something follows"},
		{"a second request", "/unlock", `{"uid":"u","tokens":[` + token + `]}{"uid":"u"}`, "body: something follows"},
		{"an unknown field", "/lock", `{"uid":"u","keys":"a","expp":5}`, `unknown field "expp"`},
		{"a field in another case", "/lock", `{"UID":"u","keys":"a"}`, `unknown field "UID"`},
		{"a field twice", "/lock", `{"uid":"u","keys":"a","keys":"b"}`, `field "keys" is given twice`},
		{"an unknown field to unlock", "/unlock", `{"uid":"u","tokens":[` + token + `],"force":true}`, `unknown field "force"`},
		{"an unknown field in a token", "/unlock", fmt.Sprintf(`{"uid":"u","tokens":[{"key":"held","version":%d,"uid":"u"}]}`, held), `tokens[0]: unknown field "uid"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := s.post(test.path, test.body)
			answer.t = t
			answer.refuses(400, "invalid", test.message)
			if len(answer.body) > 500 {
				t.Errorf("an answer of %d bytes", len(answer.body))
			}
			if is := state(); is != was {
				t.Errorf("changed from %s\nto %s", was, is)
			}
		})
	}
}

func TestWhatABrowserSendsFromAnotherOriginIsRefusedAndChangesNothing(t *testing.T) {
	s, held, state := before(t)
	was := state()
	unlock := fmt.Sprintf(`{"uid":"u","tokens":[{"key":"held","version":%d}]}`, held)
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
	} {
		s.ask("POST", "/lock", `{"uid":"u","keys":"a"}`, header...).refuses(403, "forbidden", "a web page of another origin")
		s.ask("POST", "/unlock", unlock, header...).refuses(403, "forbidden", "a web page of another origin")
		s.ask("DELETE", "/locks/held", "", header...).refuses(403, "forbidden", "a web page of another origin")
	}
	if is := state(); is != was {
		t.Errorf("changed from %s\nto %s", was, is)
	}
	// The page that the server itself shows may ask.
	s.ask("POST", "/check", `{"keys":"a"}`, "Sec-Fetch-Site", "same-origin").is(200)
	s.ask("POST", "/check", `{"keys":"a"}`, "Origin", "http://"+s.address).is(200)
}

func TestACompressedBodyIsRefusedAndChangesNothing(t *testing.T) {
	s, _, state := before(t)
	was := state()
	var body bytes.Buffer
	packed := gzip.NewWriter(&body)
	if _, err := packed.Write([]byte(`{"uid":"u","keys":"a"}`)); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, coding := range []string{"gzip", "br", "deflate, gzip", "identity, gzip", "unknown", ""} {
		s.ask("POST", "/lock", body.String(), "Content-Encoding", coding).
			refuses(415, "unsupported_media_type", fmt.Sprintf("Content-Encoding: %q", coding))
	}
	// A compressed body that says nothing is no JSON.
	s.post("/lock", body.String()).refuses(400, "invalid", "body: broken JSON at byte 0")
	if is := state(); is != was {
		t.Errorf("changed from %s\nto %s", was, is)
	}
}

func TestEveryLimitHoldsToTheByte(t *testing.T) {
	s := open(t)
	keys := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`"k%d"`, i)
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	tokens := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`{"key":"k%d","version":9007199254740991}`, i)
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	text := func(n int) string { return strings.Repeat("x", n) }
	wide := func(n int) string { return strings.Repeat("ü", n/2) + text(n%2) } // limits are in bytes

	for _, test := range []struct {
		name         string
		limit        int
		method, path string
		body         func(n int) string
		message      string
	}{
		{"uid", holdfast.MaxUID, "POST", "/lock", func(n int) string { return `{"uid":"` + text(n) + `","keys":"a","mode":"shared"}` }, "uid: 257 bytes"},
		{"uid in UTF-8", holdfast.MaxUID, "POST", "/lock", func(n int) string { return `{"uid":"` + wide(n) + `","keys":"a","mode":"shared"}` }, "uid: 257 bytes"},
		{"key", holdfast.MaxKey, "POST", "/lock", func(n int) string { return `{"uid":"u","keys":"` + text(n) + `"}` }, "keys: a key of 513 bytes"},
		{"key in UTF-8", holdfast.MaxKey, "POST", "/check", func(n int) string { return `{"keys":"` + wide(n) + `"}` }, "keys: a key of 513 bytes"},
		{"keys", holdfast.MaxKeys, "POST", "/lock", func(n int) string { return `{"uid":"u","keys":` + keys(n) + `}` }, "keys: 257 different keys"},
		{"keys to check", holdfast.MaxKeys, "POST", "/check", func(n int) string { return `{"keys":` + keys(n) + `}` }, "keys: 257 keys"},
		{"tokens", holdfast.MaxKeys, "POST", "/unlock", func(n int) string { return `{"uid":"u","tokens":` + tokens(n) + `}` }, "tokens: 257 tokens"},
		{"key of a token", holdfast.MaxKey, "POST", "/unlock", func(n int) string { return `{"uid":"u","tokens":[{"key":"` + text(n) + `","version":1}]}` }, "tokens: a key of 513 bytes"},
		{"tokens to extend", holdfast.MaxKeys, "POST", "/extend", func(n int) string { return `{"uid":"u","tokens":` + tokens(n) + `}` }, "tokens: 257 tokens"},
		{"version", holdfast.VersionEnd - 1, "POST", "/unlock", func(n int) string { return fmt.Sprintf(`{"uid":"u","tokens":[{"key":"a","version":%d}]}`, n) }, "tokens[0].version: "},
		{"exp", 86_400_000, "POST", "/lock", func(n int) string { return fmt.Sprintf(`{"uid":"u","keys":"a","mode":"shared","exp":%d}`, n) }, "exp: "},
		{"exp to extend", 86_400_000, "POST", "/extend", func(n int) string { return fmt.Sprintf(`{"uid":"u","exp":%d}`, n) }, "exp: "},
		{"wait", 86_400_000, "POST", "/lock", func(n int) string { return fmt.Sprintf(`{"uid":"u","keys":"a","mode":"shared","wait":%d}`, n) }, "wait: "},
		{"limit", holdfast.MaxLimit, "POST", "/lock", func(n int) string { return fmt.Sprintf(`{"uid":"u","keys":"a","mode":"shared","limit":%d}`, n) }, "limit: "},
		{"note", holdfast.MaxNote, "POST", "/lock", func(n int) string { return `{"uid":"u","keys":"a","mode":"shared","note":"` + wide(n) + `"}` }, "note: 1025 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := s.ask(test.method, test.path, test.body(test.limit))
			answer.t = t
			answer.is(200)
			answer = s.ask(test.method, test.path, test.body(test.limit+1))
			answer.t = t
			answer.refuses(400, "invalid", test.message)
		})
	}
	for _, parameter := range []struct {
		path    string
		limit   int
		message string
	}{
		{"/locks?prefix=", holdfast.MaxKey, "prefix: longer than 512 bytes"},
		{"/locks?after=", holdfast.MaxKey, "after: longer than 512 bytes"},
		{"/locks?uid=", holdfast.MaxUID, "uid: 257 bytes"},
	} {
		s.ask("GET", parameter.path+text(parameter.limit), "").is(200)
		s.ask("GET", parameter.path+text(parameter.limit+1), "").refuses(400, "invalid", parameter.message)
	}
	s.ask("DELETE", "/locks/a?reason="+text(holdfast.MaxNote), "").is(200)
	s.ask("DELETE", "/locks/a?reason="+text(holdfast.MaxNote+1), "").refuses(400, "invalid", "reason: 1025 bytes")
}

func TestABodyMayHave1MiBAndNotAByteMore(t *testing.T) {
	const request = `{"uid":"u","keys":"a"}`
	s := open(t)
	full := request + strings.Repeat(" ", MaxBody-len(request))
	s.post("/lock", full).is(200)
	s.post("/lock", full+" ").refuses(413, "too_large", "body: larger than 1048576 bytes")
	s.post("/lock", full+full).refuses(413, "too_large", "body: ")

	// The same without a length that is known beforehand.
	chunked := func(body string) string {
		conn := s.dial()
		conn.send("POST /lock HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
		conn.send(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body))
		return conn.rest()
	}
	if got := chunked(full); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("at the limit: %s", got)
	}
	if got := chunked(full + " "); !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.Contains(got, `{"error":"too_large"`) {
		t.Errorf("beyond it: %s", got)
	}
}
