package wire

import (
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"holdfast"
)

// What the client writes, the server reads as the same request, and what the
// server answers, the client reads as the same answer.

var (
	anyText   = rapid.StringN(0, 20, -1) // of any runes: escapes, U+2028, astral planes
	anyMillis = func(low, high time.Duration) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.Int64Range(low.Milliseconds(), high.Milliseconds()),
			func(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond })
	}
	anyVersion = rapid.Uint64Range(0, holdfast.VersionEnd-1)
	anyMode    = rapid.SampledFrom([]holdfast.Mode{holdfast.Exclusive, holdfast.Shared})
	anyToken   = rapid.Custom(func(t *rapid.T) holdfast.Token {
		return holdfast.Token{Key: anyText.Draw(t, "key"), Version: anyVersion.Draw(t, "version")}
	})
	anyTokens = rapid.SliceOfN(anyToken, 0, 4)
	anyAsk    = rapid.Custom(func(t *rapid.T) holdfast.Ask {
		ask := holdfast.Ask{Key: anyText.Draw(t, "key"), Mode: anyMode.Draw(t, "mode")}
		if ask.Mode == holdfast.Shared {
			ask.Limit = rapid.IntRange(0, holdfast.MaxLimit).Draw(t, "limit")
		}
		return ask
	})
	anyLock = rapid.Custom(func(t *rapid.T) holdfast.Lock {
		return holdfast.Lock{
			Key:     anyText.Draw(t, "key"),
			Holders: rapid.SliceOfN(rapid.Custom(anyHolder), 0, 3).Draw(t, "holders"),
			Waiters: rapid.SliceOfN(rapid.Custom(anyWaiter), 0, 3).Draw(t, "waiters"),
		}
	})
)

func anyHolder(t *rapid.T) holdfast.Holder {
	return holdfast.Holder{
		UID:     anyText.Draw(t, "uid"),
		Version: anyVersion.Draw(t, "version"),
		Mode:    anyMode.Draw(t, "mode"),
		Limit:   rapid.IntRange(0, 9).Draw(t, "limit"),
		Exp:     anyMillis(0, holdfast.MaxExp).Draw(t, "exp"),
		Held:    anyMillis(0, holdfast.MaxExp).Draw(t, "held"),
		Note:    anyText.Draw(t, "note"),
	}
}

func anyWaiter(t *rapid.T) holdfast.Waiter {
	return holdfast.Waiter{
		UID:    anyText.Draw(t, "uid"),
		Mode:   anyMode.Draw(t, "mode"),
		Limit:  rapid.IntRange(0, 9).Draw(t, "limit"),
		Waited: anyMillis(0, holdfast.MaxWait).Draw(t, "waited"),
		Note:   anyText.Draw(t, "note"),
	}
}

func anyBlocker(t *rapid.T) holdfast.Blocker {
	b := holdfast.Blocker{
		Key:     anyText.Draw(t, "key"),
		UID:     anyText.Draw(t, "uid"),
		Mode:    anyMode.Draw(t, "mode"),
		Note:    anyText.Draw(t, "note"),
		Waiting: rapid.Bool().Draw(t, "waiting"),
	}
	if !b.Waiting {
		b.Version = anyVersion.Draw(t, "version")
		b.Exp = anyMillis(0, holdfast.MaxExp).Draw(t, "exp")
	}
	return b
}

func anyLink(t *rapid.T) holdfast.Link {
	return holdfast.Link{UID: anyText.Draw(t, "uid"), Key: anyText.Draw(t, "key")}
}

func same[T any](t *rapid.T, body []byte, got, want T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s\n%v", body, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s\ngot  %+v\nwant %+v", body, got, want)
	}
}

func TestRequestsSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lock := holdfast.LockRequest{
			UID:  anyText.Draw(t, "uid"),
			Keys: rapid.SliceOfN(anyAsk, 1, 4).Draw(t, "keys"),
			Exp:  anyMillis(0, holdfast.MaxExp).Draw(t, "exp"),
			Wait: anyMillis(0, holdfast.MaxWait).Draw(t, "wait"),
			Note: anyText.Draw(t, "note"),
		}
		body := AppendLock(nil, lock)
		gotLock, err := decodeLock(string(body))
		same(t, body, gotLock, lock, err)

		unlock := holdfast.UnlockRequest{UID: lock.UID, Tokens: anyTokens.Draw(t, "tokens")}
		body = AppendUnlock(nil, unlock)
		gotUnlock, err := decodeUnlock(string(body))
		same(t, body, gotUnlock, unlock, err)

		extend := holdfast.ExtendRequest{UID: lock.UID, Tokens: unlock.Tokens, Exp: lock.Exp}
		if len(extend.Tokens) == 0 {
			extend.Tokens = nil
		}
		body = AppendExtend(nil, extend)
		gotExtend, err := decodeExtend(string(body))
		same(t, body, gotExtend, extend, err)

		keys := rapid.SliceOfN(anyText, 0, 4).Draw(t, "check")
		body = AppendCheck(nil, keys)
		gotKeys, err := decodeCheck(string(body))
		same(t, body, gotKeys, keys, err)
	})
}

// Every answer also has exactly the members that its type says: the writing
// and the reading are two pieces of code, and must not drift apart.
func TestAnswersSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tokens := anyTokens.Draw(t, "tokens")

		grant := holdfast.Grant{Tokens: tokens, Exp: anyMillis(0, holdfast.MaxExp).Draw(t, "exp")}
		body := AppendGrant(nil, grant)
		gotGrant, err := ReadGrant(body)
		same(t, body, gotGrant, grant, err)
		exactly[Grant](t, body)

		unlocked := rapid.SliceOfN(anyText, 0, 4).Draw(t, "unlocked")
		body = AppendUnlocked(nil, unlocked)
		gotUnlocked, err := ReadUnlocked(body)
		same(t, body, gotUnlocked, unlocked, err)
		exactly[Unlocked](t, body)

		locked := rapid.Bool().Draw(t, "locked")
		body = AppendChecked(nil, locked)
		gotLocked, err := ReadChecked(body)
		same(t, body, gotLocked, locked, err)
		exactly[Checked](t, body)

		extension := holdfast.Extension{Tokens: tokens, Lost: anyTokens.Draw(t, "lost"), Exp: grant.Exp}
		body = AppendExtension(nil, extension)
		gotExtension, err := ReadExtension(body)
		same(t, body, gotExtension, extension, err)
		exactly[Extension](t, body)

		page := holdfast.Page{Locks: rapid.SliceOfN(anyLock, 0, 3).Draw(t, "locks"), Next: anyText.Draw(t, "next")}
		body = AppendPage(nil, page)
		gotPage, err := ReadPage(body)
		same(t, body, gotPage, page, err)
		exactly[Page](t, body)

		lock := anyLock.Draw(t, "lock")
		body = AppendState(nil, lock)
		gotState, err := ReadState(body)
		same(t, body, gotState, lock, err)
		exactly[Lock](t, body)

		released := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) holdfast.Released {
			return holdfast.Released{Key: anyText.Draw(t, "key"), UID: anyText.Draw(t, "uid"), Version: anyVersion.Draw(t, "version")}
		}), 0, 3).Draw(t, "released")
		body = AppendReleased(nil, released)
		gotReleased, err := ReadReleased(body)
		same(t, body, gotReleased, released, err)
		exactly[Released](t, body)
	})
}

func TestRefusalsSurviveTheWire(t *testing.T) {
	codes := []holdfast.Code{holdfast.CodeInvalid, holdfast.CodeLocked, holdfast.CodeDeadlock, holdfast.CodeUnavailable, holdfast.CodeLimit}
	rapid.Check(t, func(t *rapid.T) {
		refusal := &holdfast.Error{
			Code:           rapid.SampledFrom(codes).Draw(t, "code"),
			Message:        anyText.Draw(t, "message"),
			OutcomeUnknown: rapid.Bool().Draw(t, "unknown"),
		}
		switch refusal.Code {
		case holdfast.CodeLocked:
			refusal.Blockers = rapid.SliceOfN(rapid.Custom(anyBlocker), 1, 3).Draw(t, "blockers")
		case holdfast.CodeDeadlock:
			refusal.Cycle = rapid.SliceOfN(rapid.Custom(anyLink), 2, 3).Draw(t, "cycle")
		}
		body := AppendError(nil, refusal)
		same(t, body, ReadError(body), refusal, nil)
		exactly[Error](t, body)
	})
}

// exactly proves that body has no member that T does not know, and none that
// T would write besides: read into T and written again, it means the same.
func exactly[T any](t *rapid.T, body []byte) {
	t.Helper()
	var typed T
	if err := json.Unmarshal(body, &typed, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("%s\n%v", body, err)
	}
	again, err := json.Marshal(typed)
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := json.Unmarshal(again, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	// An exp below a millisecond is written, as 0, and left out by the type.
	if _, refusal := any(typed).(Error); refusal {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("written %s\nthe type says %s", body, again)
	}
}

func TestDurationsAreRoundedTowardsTheSafeSide(t *testing.T) {
	const short = 1500 * time.Microsecond
	if got, want := string(AppendLock(nil, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("a"), Exp: short, Wait: short})),
		`{"uid":"u","keys":"a","exp":2,"wait":2}`; got != want {
		t.Errorf("a request: got %s, want %s", got, want)
	}
	if got, want := string(AppendGrant(nil, holdfast.Grant{Exp: short})), `{"tokens":[],"exp":1}`; got != want {
		t.Errorf("an answer: got %s, want %s", got, want)
	}
}

func TestWhatIsNotSaidIsLeftOut(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{string(AppendLock(nil, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("a")})), `{"uid":"u","keys":"a"}`},
		{string(AppendExtend(nil, holdfast.ExtendRequest{UID: "u"})), `{"uid":"u"}`},
		{string(AppendEventLine(nil, holdfast.Event{ID: 7, Type: holdfast.EventGap})), `{"id":7,"type":"gap"}`},
		{string(AppendEventLine(nil, holdfast.Event{ID: 7, Type: holdfast.EventWaiting, Key: "a", UID: "u"})),
			`{"id":7,"type":"waiting","key":"a","uid":"u","mode":"exclusive"}`},
		{string(AppendEvent(nil, holdfast.Event{ID: 7, Type: holdfast.EventGap})), "id: 7\nevent: gap\ndata: {}\n\n"},
	} {
		if test.got != test.want {
			t.Errorf("got  %s\nwant %s", test.got, test.want)
		}
	}
}

func TestAClusterSurvivesTheWire(t *testing.T) {
	want := holdfast.Cluster{Name: "c", ID: "a", Leader: "b", Term: 3, Applied: 1 << 60, Nodes: []holdfast.Node{
		{ID: "a", API: "http://a", Peer: "a:1", Role: holdfast.RoleFollower, Lag: 2}, {ID: "b", Peer: "b:1", Role: holdfast.RoleAway},
	}}
	if got, err := ReadCluster(AppendCluster(nil, want)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// The exact bytes of answers, as openapi.yaml describes them.
func TestAnswersLookAsDocumented(t *testing.T) {
	tokens := []holdfast.Token{{Key: "a", Version: 17}, {Key: "b", Version: 17}}
	for _, test := range []struct{ name, got, want string }{
		{"grant", string(AppendGrant(nil, holdfast.Grant{Tokens: tokens, Exp: time.Second})),
			`{"tokens":[{"key":"a","version":17},{"key":"b","version":17}],"exp":1000}`},
		{"unlocked", string(AppendUnlocked(nil, []string{"a", "b"})), `{"unlocked":["a","b"]}`},
		{"unlocked nothing", string(AppendUnlocked(nil, nil)), `{"unlocked":[]}`},
		{"checked", string(AppendChecked(nil, true)), `{"locked":true}`},
		{"count", string(AppendCount(nil, holdfast.Count{Holds: 12, Waiters: 34})), `{"holds":12,"waiters":34}`},
		{"extension of nothing", string(AppendExtension(nil, holdfast.Extension{})), `{"tokens":[],"lost":[],"exp":0}`},
		{"a free key", string(AppendState(nil, holdfast.Lock{Key: "a"})), `{"key":"a","holders":[],"waiters":[]}`},
		{"no locks", string(AppendPage(nil, holdfast.Page{})), `{"locks":[]}`},
		{"a held key", string(AppendState(nil, holdfast.Lock{Key: "a",
			Holders: []holdfast.Holder{{UID: "u", Version: 3, Mode: holdfast.Shared, Limit: 2, Exp: time.Second, Note: "n"}},
			Waiters: []holdfast.Waiter{{UID: "v", Waited: time.Second}}})),
			`{"key":"a","holders":[{"uid":"u","version":3,"mode":"shared","limit":2,"exp":1000,"held":0,"note":"n"}],` +
				`"waiters":[{"uid":"v","mode":"exclusive","waited":1000}]}`},
		{"released", string(AppendReleased(nil, []holdfast.Released{{Key: "a", UID: "u", Version: 3}})),
			`{"released":[{"key":"a","uid":"u","version":3}]}`},
		{"locked", string(AppendError(nil, holdfast.Locked([]holdfast.Blocker{
			{Key: "a", UID: "svc-2", Version: 12, Exp: 412 * time.Millisecond, Note: "nightly"},
			{Key: "a", UID: "svc-3", Mode: holdfast.Shared, Waiting: true}}))),
			`{"error":"locked","message":"key \"a\" is held by \"svc-2\"","blockers":[` +
				`{"key":"a","uid":"svc-2","version":12,"exp":412,"mode":"exclusive","note":"nightly","waiting":false},` +
				`{"key":"a","uid":"svc-3","mode":"shared","waiting":true}]}`},
		{"locked by nobody known", string(AppendError(nil, holdfast.Locked(nil))), `{"error":"locked","message":"locked","blockers":[]}`},
		{"deadlock", string(AppendError(nil, &holdfast.Error{Code: holdfast.CodeDeadlock, Message: "m",
			Cycle: []holdfast.Link{{UID: "a", Key: "x"}, {UID: "b", Key: "y"}}})),
			`{"error":"deadlock","message":"m","cycle":[{"uid":"a","key":"x"},{"uid":"b","key":"y"}]}`},
		{"unavailable", string(AppendError(nil, &holdfast.Error{Code: holdfast.CodeUnavailable, Message: "m", OutcomeUnknown: true})),
			`{"error":"unavailable","message":"m","outcome":"unknown"}`},
		{"invalid UTF-8", string(AppendUnlocked(nil, []string{"a\xff"})), `{"unlocked":["a` + "\ufffd" + `"]}`},
		{"escapes", string(AppendUnlocked(nil, []string{"<&>\"\\\n\x00\u2028"})), `{"unlocked":["<&>\"\\\n\u0000` + "\u2028" + `"]}`},
	} {
		if test.got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.name, test.got, test.want)
		}
	}
}

func TestAnAnswerOfAnotherVersionIsUnderstood(t *testing.T) {
	grant, err := ReadGrant([]byte(`{"tokens":[{"key":"a","version":1,"shard":4}],"exp":5,"region":{"x":[1]}}`))
	if want := (holdfast.Grant{Tokens: []holdfast.Token{{Key: "a", Version: 1}}, Exp: 5 * time.Millisecond}); err != nil || !reflect.DeepEqual(grant, want) {
		t.Errorf("got %+v, %v", grant, err)
	}
	refusal := ReadError([]byte(`{"error":"quota","message":"m","more":1}`))
	if refusal.Code != "quota" || refusal.Message != "m" {
		t.Errorf("got %+v", refusal)
	}
}

func TestWhatIsNoAnswerLeavesTheOutcomeUnknown(t *testing.T) {
	for _, body := range []string{"", "<html>Bad Gateway</html>", "[]", `{"message":"m"}`, `{"error":7}`} {
		refusal := ReadError([]byte(body))
		if refusal.Code != holdfast.CodeUnavailable || !refusal.OutcomeUnknown || refusal.Cause == nil {
			t.Errorf("%s: got %+v", body, refusal)
		}
	}
	for name, read := range map[string]func([]byte) error{
		"grant":     func(body []byte) error { _, err := ReadGrant(body); return err },
		"unlocked":  func(body []byte) error { _, err := ReadUnlocked(body); return err },
		"checked":   func(body []byte) error { _, err := ReadChecked(body); return err },
		"extension": func(body []byte) error { _, err := ReadExtension(body); return err },
		"page":      func(body []byte) error { _, err := ReadPage(body); return err },
		"state":     func(body []byte) error { _, err := ReadState(body); return err },
		"released":  func(body []byte) error { _, err := ReadReleased(body); return err },
		"cluster":   func(body []byte) error { _, err := ReadCluster(body); return err },
		"event":     func(body []byte) error { _, err := ReadEvent("1", "granted", body); return err },
		"answers":   func(body []byte) error { _, err := ReadAnswers(body, nil); return err },
	} {
		err := read([]byte("<html>"))
		if refusal, ok := err.(*holdfast.Error); !ok || refusal.Code != holdfast.CodeUnavailable || !refusal.OutcomeUnknown {
			t.Errorf("%s: got %#v", name, err)
		}
	}
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	for code, want := range map[holdfast.Code]int{
		holdfast.CodeInvalid: 400, holdfast.CodeUnauthenticated: 401, holdfast.CodeForbidden: 403, holdfast.CodeNotFound: 404,
		holdfast.CodeMethodNotAllowed: 405, holdfast.CodeLocked: 409, holdfast.CodeDeadlock: 409, holdfast.CodeTooLarge: 413,
		holdfast.CodeUnsupportedMedia: 415, holdfast.CodeLimit: 429, holdfast.CodeCancelled: 499, holdfast.CodeUnavailable: 503, "something new": 503,
	} {
		if got := Status(code); got != want {
			t.Errorf("%s: got %d, want %d", code, got, want)
		}
	}
}

func TestRetryAfterIsRoundedUpToWholeSeconds(t *testing.T) {
	for _, test := range []struct {
		code  holdfast.Code
		after time.Duration
		want  int64
	}{
		{holdfast.CodeUnavailable, 0, 1},
		{holdfast.CodeUnavailable, time.Millisecond, 1},
		{holdfast.CodeUnavailable, time.Second, 1},
		{holdfast.CodeLimit, time.Second + 1, 2},
		{holdfast.CodeLocked, time.Minute, 0},
	} {
		if got := RetryAfter(&holdfast.Error{Code: test.code, RetryAfter: test.after}); got != test.want {
			t.Errorf("%s after %v: got %d, want %d", test.code, test.after, got, test.want)
		}
	}
}
