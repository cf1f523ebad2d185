package api

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"holdfast"
	"holdfast/internal/wire"
)

// keysOf gives the keys of a list, and what stands in next.
func keysOf(a answer) (keys []string, next string) {
	var page struct {
		Locks []struct{ Key string }
		Next  string
	}
	a.is(200).into(&page)
	keys = []string{}
	for _, lock := range page.Locks {
		keys = append(keys, lock.Key)
	}
	return keys, page.Next
}

func TestListGivesTheLocksThatAreAskedFor(t *testing.T) {
	s := open(t)
	for i, key := range []string{"b/2", "a", "b/1", "b/ü", "c&d=e"} {
		s.lock([]string{"odd", "even"}[i%2], key)
	}
	for _, test := range []struct{ query, want, next string }{
		{"", "[a b/1 b/2 b/ü c&d=e]", ""},
		{"?prefix=b/", "[b/1 b/2 b/ü]", ""},
		{"?prefix=b%2F%C3%BC", "[b/ü]", ""},
		{"?prefix=nothing", "[]", ""},
		{"?uid=even", "[a b/ü]", ""},
		{"?uid=odd&prefix=b", "[b/1 b/2]", ""},
		{"?limit=2", "[a b/1]", "b/1"},
		{"?limit=2&after=b/1", "[b/2 b/ü]", "b/ü"},
		{"?limit=2&after=b/%C3%BC", "[c&d=e]", ""},
		{"?after=b/1&prefix=b", "[b/2 b/ü]", ""},
		{"?after=c%26d%3De", "[]", ""},
		{"?limit=1000", "[a b/1 b/2 b/ü c&d=e]", ""},
		{"?prefix=&after=", "[a b/1 b/2 b/ü c&d=e]", ""},
	} {
		keys, next := keysOf(s.ask("GET", "/locks"+test.query, ""))
		if got := fmt.Sprint(keys); got != test.want || next != test.next {
			t.Errorf("%s: %s, next %q; want %s, next %q", test.query, got, next, test.want, test.next)
		}
	}
}

func TestListGivesOnlyWhatIsWaitedFor(t *testing.T) {
	s := open(t)
	s.lock("u", "a")
	s.lock("u", "b")
	s.later(t.Context(), "/lock", `{"uid":"w","keys":"b","wait":3600000}`)
	s.inLine("b", "w")
	for query, want := range map[string]string{"?waited=true": "[b]", "?waited=false": "[a b]", "?waited=true&prefix=a": "[]"} {
		if keys, _ := keysOf(s.ask("GET", "/locks"+query, "")); fmt.Sprint(keys) != want {
			t.Errorf("%s: %q, want %s", query, keys, want)
		}
	}
}

func TestWhatThereIsIsCounted(t *testing.T) {
	store := openStore(t)
	s := openOver(t, store, Options{Count: store.Count})
	s.ask("GET", "/count", "").is(200).shows(`{"holds":0,"waiters":0}`)
	s.post("/lock", `{"uid":"u","keys":["a","b"],"exp":3600000}`).is(200)
	s.later(t.Context(), "/lock", `{"uid":"w","keys":["a","b"],"wait":3600000}`)
	s.inLine("b", "w")
	s.ask("GET", "/count", "").is(200).shows(`{"holds":2,"waiters":1}`)
	open(t).ask("GET", "/count", "").refuses(404, "not_found", "path: this store does not count")
}

// What is used for one request is used again for the next. How often is up to
// the runtime, and so this is tried often.
func TestNothingOfOneRequestShowsInTheNext(t *testing.T) {
	s := open(t)
	s.lock("u", "a")
	for range 50 {
		keys, _ := keysOf(s.ask("GET", "/locks?prefix=b&uid=nobody", ""))
		if len(keys) != 0 {
			t.Fatalf("with a prefix: %q", keys)
		}
		if keys, _ = keysOf(s.ask("GET", "/locks", "")); len(keys) != 1 {
			t.Fatalf("without: %q", keys)
		}
		s.post("/check", `{"keys":["a","something longer"]}`).is(200).shows(`{"locked":true}`)
		s.post("/check", `{"keys":"b"}`).is(200).shows(`{"locked":false}`)
	}
}

func TestListAndGetShowWhoHoldsAndWhoWaits(t *testing.T) {
	s := open(t)
	s.post("/lock", `{"uid":"v","keys":[{"key":"a","mode":"shared","limit":3}],"exp":3600000,"note":"n"}`).is(200)
	s.post("/lock", `{"uid":"u","keys":["a"],"mode":"shared","exp":3600000}`).is(200)
	s.later(t.Context(), "/lock", `{"uid":"w","keys":"a","wait":3600000,"note":"m"}`)
	s.inLine("a", "w")
	s.later(t.Context(), "/lock", `{"uid":"x","keys":"a","mode":"shared","limit":4,"wait":3600000}`)
	s.inLine("a", "w", "x")

	const state = `{"key":"a","holders":[` +
		`{"uid":"u","version":#,"mode":"shared","exp":#,"held":#},` +
		`{"uid":"v","version":#,"mode":"shared","limit":3,"exp":#,"held":#,"note":"n"}],"waiters":[` +
		`{"uid":"w","mode":"exclusive","waited":#,"note":"m"},` +
		`{"uid":"x","mode":"shared","limit":4,"waited":#}]}`
	s.ask("GET", "/locks/a", "").is(200).masked("version", "exp", "held", "waited").shows(state)
	s.ask("GET", "/locks", "").is(200).masked("version", "exp", "held", "waited").shows(`{"locks":[` + state + `]}`)
	keys, _ := keysOf(s.ask("GET", "/locks?uid=w", ""))
	if len(keys) != 1 {
		t.Errorf("a waiter is not found: %q", keys)
	}
}

func TestAKeyThatNobodyHoldsHasEmptyLists(t *testing.T) {
	open(t).ask("GET", "/locks/free", "").is(200).shows(`{"key":"free","holders":[],"waiters":[]}`)
	open(t).ask("GET", "/locks", "").is(200).shows(`{"locks":[]}`)
}

func TestForceReleasesWhoeverHolds(t *testing.T) {
	s := open(t)
	version := s.lock("u", "a/b")
	waiting := s.later(t.Context(), "/lock", `{"uid":"w","keys":"a/b","wait":3600000}`)
	s.inLine("a/b", "w")
	s.ask("DELETE", "/locks/a%2Fb?reason=stuck%20since%20noon", "").is(200).
		shows(fmt.Sprintf(`{"released":[{"key":"a/b","uid":"u","version":%d}]}`, version))
	soon(t, waiting).answer.is(200)
	s.ask("DELETE", "/locks/free", "").is(200).shows(`{"released":[]}`)
}

// oddKeys are legal keys that paths and browsers are fond of changing.
var oddKeys = []string{
	"a/b", "a//b", "/", "//", "/a", "a/", ".", "..", "../..", "./a", "a/../b", "a/./b",
	"%", "%25", "%2F", "%2f", "a%2Fb", "a+b", "a b", " ", "a?b", "a#b", "a&b=c", "a;b", "a:b@c", "*",
	`a\b`, `"`, "'", "<>", "{key}", "ü", "日本", "😀", "\u2028", "a%zz", strings.Repeat("ü", holdfast.MaxKey/2),
}

func TestEveryLegalKeyIsOneSegmentOfThePath(t *testing.T) {
	s := open(t)
	for _, key := range oddKeys {
		version := s.lock("u", key)
		spellings := map[string]string{
			"escaped as PathEscape does": url.PathEscape(key),
			"escaped byte for byte":      escapeAll(key),
			"as plain as can be":         escapeLittle(key),
		}
		for how, segment := range spellings {
			var state struct {
				Key     string
				Holders []struct{ Version uint64 }
			}
			s.ask("GET", "/locks/"+segment, "").is(200).into(&state)
			if state.Key != key || len(state.Holders) != 1 || state.Holders[0].Version != version {
				t.Errorf("%q %s as %s: got %+v", key, how, segment, state)
			}
		}
		s.ask("DELETE", "/locks/"+url.PathEscape(key), "").is(200)
		s.post("/check", fmt.Sprintf(`{"keys":["%s"]}`, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key))).
			is(200).shows(`{"locked":false}`)
	}
}

func escapeAll(key string) string {
	var all strings.Builder
	for _, b := range []byte(key) {
		fmt.Fprintf(&all, "%%%02x", b)
	}
	return all.String()
}

// escapeLittle escapes only what would end the segment or the path.
func escapeLittle(key string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F", "?", "%3F", "#", "%23", " ", "%20").Replace(key)
}

// A browser would send none of them as they are in a path.
func TestForceTakesTheKeyFromTheQueryToo(t *testing.T) {
	s := open(t)
	for _, key := range oddKeys {
		version := s.lock("u", key)
		s.ask("DELETE", "/locks?reason=r&key="+url.QueryEscape(key), "").is(200).
			shows(strings.TrimSuffix(string(wire.AppendReleased(nil, []holdfast.Released{{Key: key, UID: "u", Version: version}})), "\n"))
	}
	s.lock("u", "a")
	s.ask("DELETE", "/locks", "").refuses(400, "invalid", "keys: a key must not be empty")
	s.ask("DELETE", "/locks?key=", "").refuses(400, "invalid", "keys: a key must not be empty")
	s.ask("DELETE", "/locks?key=a&key=b", "").refuses(400, "invalid", `query parameter "key" is given twice`)
	s.ask("DELETE", "/locks?prefix=a", "").refuses(400, "invalid", `unknown query parameter "prefix"`)
	if keys, _ := keysOf(s.ask("GET", "/locks", "")); len(keys) != 1 {
		t.Errorf("changed: %q", keys)
	}
}
