package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"holdfast"
)

func TestLockAnswersATokenForEachKeyInTheOrderAsked(t *testing.T) {
	for _, test := range []struct {
		name, body string
		keys       []string // as they stand in JSON
		exp        int
	}{
		{"one key", `{"uid":"u","keys":"a"}`, []string{"a"}, 1000},
		{"several keys", `{"uid":"u","keys":["b","a"],"exp":5000}`, []string{"b", "a"}, 5000},
		{"the same key twice", `{"uid":"u","keys":["a","a"]}`, []string{"a"}, 1000},
		{"modes of their own", `{"uid":"u","keys":[{"key":"a","mode":"shared","limit":2},"b"]}`, []string{"a", "b"}, 1000},
		{"one mode for all", `{"uid":"u","keys":["a","b"],"mode":"shared","limit":1}`, []string{"a", "b"}, 1000},
		{"what needs escapes", `{"uid":"u","keys":"<\"\\\u2028\ud83d\ude00>"}`, []string{`<\"\\` + "\u2028" + `😀>`}, 1000},
		{"with a note and a wait", `{"uid":"u","keys":"a","note":"n","wait":1}`, []string{"a"}, 1000},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			a := s.post("/lock", test.body).is(200)
			var grant struct {
				Tokens []holdfast.Token
				Exp    int
			}
			a.into(&grant)
			for _, token := range grant.Tokens {
				if token.Version == 0 || token.Version != grant.Tokens[0].Version {
					t.Errorf("versions in %s", a.body)
				}
			}
			if grant.Exp < test.exp/2 || grant.Exp > test.exp { // what is left of it
				t.Errorf("exp %d, of %d", grant.Exp, test.exp)
			}
			want := `{"key":"` + strings.Join(test.keys, `","version":#},{"key":"`) + `","version":#}`
			a.masked("version", "exp").shows(`{"tokens":[` + want + `],"exp":#}`)
		})
	}
}

func TestLockIsRefusedWithWhoIsInTheWay(t *testing.T) {
	s := open(t)
	s.post("/lock", `{"uid":"svc-2","keys":["a","free"],"exp":60000,"note":"nightly"}`).is(200)
	for _, body := range []string{`{"uid":"u","keys":"a"}`, `{"uid":"u","keys":["other","a"]}`, `{"uid":"u","keys":"a","wait":1}`} {
		s.post("/lock", body).refuses(409, "locked", `key "a" is held by "svc-2"`).masked("version", "exp").
			shows(`{"error":"locked","message":"key \"a\" is held by \"svc-2\"","blockers":[` +
				`{"key":"a","uid":"svc-2","version":#,"exp":#,"mode":"exclusive","note":"nightly","waiting":false}]}`)
	}
	s.post("/check", `{"keys":"other"}`).is(200).shows(`{"locked":false}`) // all or nothing
}

func TestLockNamesThoseAheadInLine(t *testing.T) {
	s := open(t)
	version := s.lock("holder", "a")
	waiting := s.later(t.Context(), "/lock", `{"uid":"waiter","keys":["a","b"],"wait":60000,"note":"soon"}`)
	s.inLine("b", "waiter")
	s.post("/lock", `{"uid":"u","keys":"b"}`).refuses(409, "locked", `"waiter" waits for key "b" ahead of you`).
		shows(`{"error":"locked","message":"\"waiter\" waits for key \"b\" ahead of you","blockers":[` +
			`{"key":"b","uid":"waiter","mode":"exclusive","note":"soon","waiting":true}]}`)
	s.unlock("holder", "a", version)
	soon(t, waiting).answer.is(200)
}

func TestLockWithWaitStandsInLineUntilItsTurn(t *testing.T) {
	s := open(t)
	version := s.lock("first", "a")
	second := s.later(t.Context(), "/lock", `{"uid":"second","keys":"a","wait":86400000,"exp":86400000}`)
	s.inLine("a", "second")
	third := s.later(t.Context(), "/lock", `{"uid":"third","keys":"a","wait":86400000}`)
	s.inLine("a", "second", "third")

	s.unlock("first", "a", version)
	var grant struct{ Tokens []holdfast.Token }
	soon(t, second).answer.is(200).into(&grant)
	if grant.Tokens[0].Version <= version {
		t.Errorf("version %d after %d", grant.Tokens[0].Version, version)
	}
	s.inLine("a", "third")
	s.unlock("second", "a", grant.Tokens[0].Version)
	soon(t, third).answer.is(200)
}

func TestLockAnswersTheCircleOfADeadlock(t *testing.T) {
	s := open(t)
	x, y := s.lock("b", "x"), s.lock("a", "y")
	waiting := s.later(t.Context(), "/lock", `{"uid":"a","keys":"x","wait":60000}`)
	s.inLine("x", "a")
	s.post("/lock", `{"uid":"b","keys":"y","wait":60000}`).refuses(409, "deadlock", "waiting would never end: ").
		shows(`{"error":"deadlock","message":"waiting would never end: \"b\" waits for \"y\", held by \"a\", who waits for \"x\", held by \"b\"",` +
			`"cycle":[{"uid":"b","key":"y"},{"uid":"a","key":"x"}]}`)
	s.unlock("b", "x", x)
	soon(t, waiting).answer.is(200)
	s.unlock("a", "y", y)
}

func TestLockAgainAnswersTheSameVersion(t *testing.T) {
	s := open(t)
	if first, again := s.lock("u", "a"), s.lock("u", "a"); first != again {
		t.Errorf("%d, then %d", first, again)
	}
}

func TestUnlockAnswersTheKeysThatItReleased(t *testing.T) {
	s := open(t)
	a, b, other := s.lock("u", "a"), s.lock("u", "b"), s.lock("other", "c")
	tokens := func(tokens ...string) string {
		return `{"uid":"u","tokens":[` + strings.Join(tokens, ",") + `]}`
	}
	token := func(key string, version uint64) string { return fmt.Sprintf(`{"key":%q,"version":%d}`, key, version) }
	s.post("/unlock", tokens(token("nobody", 1), token("c", other), token("a", a+1_000_000), token("a", 0))).is(200).shows(`{"unlocked":[]}`)
	s.post("/unlock", tokens(token("b", b), token("c", other), token("a", a))).is(200).shows(`{"unlocked":["b","a"]}`)
	s.post("/unlock", tokens(token("b", b))).is(200).shows(`{"unlocked":[]}`)
	s.post("/check", `{"keys":["a","b"]}`).is(200).shows(`{"locked":false}`)
	s.post("/check", `{"keys":"c"}`).is(200).shows(`{"locked":true}`)
}

func TestCheckAnswersWhetherAnyKeyIsHeld(t *testing.T) {
	s := open(t)
	s.lock("u", "a")
	for body, want := range map[string]string{
		`{"keys":"a"}`:       `{"locked":true}`,
		`{"keys":["a"]}`:     `{"locked":true}`,
		`{"keys":["b","a"]}`: `{"locked":true}`,
		`{"keys":"b"}`:       `{"locked":false}`,
		`{"keys":["b","c"]}`: `{"locked":false}`,
	} {
		s.post("/check", body).is(200).shows(want)
	}
}

func TestExtendAnswersWhatLivesOnAndWhatIsLost(t *testing.T) {
	s := open(t)
	a, b := s.lock("u", "a"), s.lock("u", "b")
	body := fmt.Sprintf(`{"uid":"u","tokens":[{"key":"a","version":%d},{"key":"gone","version":1}],"exp":7200000}`, a)
	answer := s.post("/extend", body).is(200)
	var extension struct{ Exp int }
	answer.into(&extension)
	if extension.Exp <= 3600000 || extension.Exp > 7200000 {
		t.Errorf("exp %d", extension.Exp)
	}
	answer.masked("exp").shows(fmt.Sprintf(`{"tokens":[{"key":"a","version":%d}],"lost":[{"key":"gone","version":1}],"exp":#}`, a))

	s.post("/extend", `{"uid":"u","exp":86400000}`).is(200).masked("exp").
		shows(fmt.Sprintf(`{"tokens":[{"key":"a","version":%d},{"key":"b","version":%d}],"lost":[],"exp":#}`, a, b))
	s.post("/extend", `{"uid":"nobody"}`).is(200).shows(`{"tokens":[],"lost":[],"exp":0}`)
}

// An answer says what is left, rounded down: here of what a recording service
// was asked for.
func TestTheDefaultExpIsThatOfTheOptions(t *testing.T) {
	for _, test := range []struct {
		name    string
		options Options
		want    string
	}{
		{"nothing said", Options{}, "1s"},
		{"something said", Options{DefaultExp: 2500e6}, "2.5s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake := &fakeService{}
			s := openOver(t, fake, test.options)
			s.post("/lock", `{"uid":"u","keys":"a"}`).is(200)
			s.post("/extend", `{"uid":"u"}`).is(200)
			s.post("/lock", `{"uid":"u","keys":"a","exp":7}`).is(200)
			s.post("/extend", `{"uid":"u","exp":7}`).is(200)
			want := fmt.Sprintf("[lock %s extend %s lock 7ms extend 7ms]", test.want, test.want)
			if got := fmt.Sprint(fake.calls); got != want {
				t.Errorf("asked for %s, want %s", got, want)
			}
		})
	}
}

func TestAnythingIsReadAsJSONWhateverItsContentType(t *testing.T) {
	s := open(t)
	for _, contentType := range []string{"", "application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "nonsense"} {
		s.ask("POST", "/check", `{"keys":"a"}`, "Content-Type", contentType).is(200)
	}
	s.ask("POST", "/check", `{"keys":"a"}`, "Content-Encoding", "Identity").is(200)
	s.ask("POST", "/check", `{"keys":"a"}`, "Accept", "text/html").is(200)
}

func TestPingAnswersPong(t *testing.T) {
	answer := open(t).ask("GET", "/ping", "").is(200)
	if answer.body != "pong" || answer.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%q, %s", answer.body, answer.header.Get("Content-Type"))
	}
}

func TestHealthAndReadiness(t *testing.T) {
	s := open(t)
	s.ask("GET", "/healthz", "").is(200).shows(`{"status":"ok"}`)
	s.ask("GET", "/readyz", "").is(200).shows(`{"status":"ready"}`)
}

func TestEveryAnswerSaysItsLength(t *testing.T) {
	s := open(t)
	s.lock("u", "a")
	for _, path := range []string{"/ping", "/healthz", "/locks", "/locks/a", "/openapi.yaml", "/nowhere"} {
		answer := s.ask("GET", path, "")
		if got, want := answer.header.Get("Content-Length"), fmt.Sprint(len(answer.body)); got != want {
			t.Errorf("%s: Content-Length %q of %s bytes", path, got, want)
		}
		if path != "/ping" && path != "/openapi.yaml" && !json.Valid([]byte(answer.body)) {
			t.Errorf("%s: no JSON: %s", path, answer.body)
		}
	}
}
