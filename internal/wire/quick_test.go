package wire

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast"
)

// What is read quickly is what is read with care.
func TestQuickReadingIsReading(t *testing.T) {
	for _, body := range []string{
		string(AppendGrant(nil, holdfast.Grant{Tokens: []holdfast.Token{{Key: "a", Version: 1<<53 - 1}, {Key: "é/b", Version: 7}}, Exp: time.Second})),
		string(AppendGrant(nil, holdfast.Grant{Tokens: []holdfast.Token{{Key: `a"\`, Version: 0}}})) + "\n",
		`{"tokens":[],"exp":0}`, `{"tokens":[{"key":"a","version":1}],"exp":-1}`, `{"tokens":[{"key":"a","version":01}],"exp":1}`,
		`{"tokens":[{"key":"a","version":1}],"exp":1.5}`, `{"tokens":[{"key":"a","version":99999999999999999999}],"exp":1}`,
		`{"tokens":[{"key":"` + "\xff" + `","version":1}],"exp":1}`, `{"tokens":[{"key":"a","version":1},],"exp":1}`,
		`{"tokens":[{"key":"a","version":1}],"exp":1,"more":2}`, `{ "tokens":[{"version":1,"key":"a"}],"exp":1}`, `{"tokens":[{"key":"a","version":1}],"exp":1}x`,
		`{"tokens":[{"key":"a` + "\n" + `","version":1}],"exp":1}`, `{"tokens":[{"key":"a`, `{"tokens":[`, `{`, ``,
	} {
		careful, err := read[Grant]([]byte(body))
		if quick, ok := quickGrant([]byte(body)); ok && (err != nil || !reflect.DeepEqual(quick, careful)) {
			t.Errorf("%q\nquick  %+v\ncareful %+v, %v", body, quick, careful, err)
		}
	}
	for _, body := range []string{`{"unlocked":["a","b"]}`, `{"unlocked":[]}`, `{"unlocked":["a",]}`, `{"unlocked":["a\u0041"]}`, `{"unlocked":["a"],"x":1}`, `{"unlocked":[7]}`} {
		careful, err := read[Unlocked]([]byte(body))
		if quick, ok := quickUnlocked([]byte(body)); ok && (err != nil || !reflect.DeepEqual(quick, careful.Unlocked)) {
			t.Errorf("%q\nquick  %+v\ncareful %+v, %v", body, quick, careful, err)
		}
	}
	if _, ok := quickGrant([]byte(`{"tokens":[{"key":"a","version":1}],"exp":1}`)); !ok {
		t.Error("a plain grant is not read quickly")
	}
	if _, ok := quickUnlocked([]byte(`{"unlocked":["a"]}`)); !ok {
		t.Error("a plain answer to an unlock is not read quickly")
	}
}

// So it is with requests: on the limits and beyond them, with numbers and texts
// that are none.
func TestRequestsReadQuicklyAreReadAsWithCare(t *testing.T) {
	numbers := []string{
		"0", "1", "2", "01", "00", "1/", "1:", "/", ":", "-1", "1.0", "1e1", "86400000", "86400001", "9007199254740991", "9007199254740992",
		"99999999999999999", "999999999999999999", "1000000000000000000", "18446744073709551616", "", "null", `"1"`,
	}
	texts := []string{
		`"x"`, `""`, `"é"`, "\"\xff\"", "\"\xc3\"", "\"\x1f\"", "\"\x20\"", "\"\x7f\"", "\"\u0080\"", `"\u0041"`, `"\"`, `"x`, `x`, `7`, `["x"]`, `[]`, `["x",]`, `["x"`, ``,
	}
	bodies := []string{`{}`, `{"uid":"u",}`, `{"uid":"u"`, `{"uid":"u","uid":"u"}`, `{"bind":false}`, `{"bind":true}`, `{"op":"cancel"}`, `{"op":"none"}`, `{"op":""}`, `{"who":"u"}`, "{}\n", "{}\n\n", `{}x`}
	for _, number := range numbers {
		for _, field := range []string{"exp", "wait", "limit", "id"} {
			bodies = append(bodies, `{"`+field+`":`+number+`}`)
		}
		bodies = append(bodies, `{"tokens":[{"key":"x","version":`+number+`}]}`)
	}
	for _, text := range texts {
		for _, field := range []string{"uid", "keys", "note", "mode"} {
			bodies = append(bodies, `{"`+field+`":`+text+`}`)
		}
		bodies = append(bodies, `{"tokens":[{"key":`+text+`,"version":1}]}`)
	}
	for _, body := range bodies {
		quick, err := Decode([]byte(body), ^Fields(0))
		careful, refused := decodeCarefully([]byte(body), ^Fields(0))
		if !reflect.DeepEqual(err, refused) || err == nil && !reflect.DeepEqual(quick, careful) {
			t.Errorf("%q\nquick   %+v, %v\ncareful %+v, %v", body, quick, err, careful, refused)
		}
	}
}

func TestPlainRequestsAreReadQuickly(t *testing.T) {
	tokens := []holdfast.Token{{Key: "a", Version: 1<<53 - 1}, {Key: "é", Version: 7}}
	for _, body := range [][]byte{
		AppendLock(nil, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("a"), Exp: time.Second, Wait: time.Second, Note: "n"}),
		AppendLock(nil, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("a", "b")}),
		AppendUnlock(nil, holdfast.UnlockRequest{UID: "u", Tokens: tokens}),
		AppendExtend(nil, holdfast.ExtendRequest{UID: "u", Tokens: tokens, Exp: time.Hour}),
		AppendCheck(nil, []string{"a", "b"}),
	} {
		var r Request
		c := cursor{rest: body}
		if c.request(&r, LockFields|UnlockFields); !c.end() {
			t.Errorf("%s is not", body)
		}
	}
	call := AppendCall(nil, 7, OpLock, true, []byte(`{"uid":"u","keys":"a"}`))
	for _, message := range []string{string(call), "[" + string(call) + "," + string(AppendCancel(nil, 8)) + "]"} {
		if _, ok := quickCalls([]byte(message), nil); !ok {
			t.Errorf("%s is not", message)
		}
	}
}

func TestReadAnswers(t *testing.T) {
	grant := string(AppendGrant(nil, holdfast.Grant{Tokens: []holdfast.Token{{Key: `"}]{[\`, Version: 7}}, Exp: time.Second}))
	head := func(h Head) string { return string(AppendHead(nil, h)) + "," + grant[1:] }
	refusal := &holdfast.Error{Code: holdfast.CodeUnavailable, Message: "no leader", RetryAfter: 2 * time.Second}
	one := head(Head{ID: 1, Status: 200})
	bound := head(Head{ID: 2, Status: 200, Grace: 5 * time.Second})
	refused := string(AppendRefusal(nil, 3, refusal))
	odd := ` { "status" : 200 , "id" : 4, "locked":true, "new":[{}] } `
	for message, want := range map[string][]Head{
		one:                              {{ID: 1, Status: 200}},
		"[" + one + "," + one + "]":      {{ID: 1, Status: 200}, {ID: 1, Status: 200}},
		bound:                            {{ID: 2, Status: 200, Grace: 5 * time.Second}},
		"[" + one + "," + refused + "]":  {{ID: 1, Status: 200}, {ID: 3, Status: 503, RetryAfter: 2}},
		odd:                              {{ID: 4, Status: 200}},
		"[" + odd + "," + bound + " ]  ": {{ID: 4, Status: 200}, {ID: 2, Status: 200, Grace: 5 * time.Second}},
	} {
		answers, err := ReadAnswers([]byte(message), nil)
		if err != nil || len(answers) != len(want) {
			t.Errorf("%s: %v, %v", message, answers, err)
			continue
		}
		for i, answer := range answers {
			if answer.Head != want[i] {
				t.Errorf("%s: got %+v, want %+v", message, answer.Head, want[i])
			}
			if want[i].Status == 200 && want[i].ID < 4 {
				if grant, err := ReadGrant(answer.Body); err != nil || grant.Tokens[0].Key != `"}]{[\` {
					t.Errorf("%s: %v, %v", answer.Body, grant, err)
				}
			}
		}
	}
	for _, message := range []string{``, `[`, `{`, `x`, one + "x", "[" + one, "[" + one + ",]", "[" + one + one + "]", strings.Replace(one, "}", "]", 1)} {
		if answers, err := ReadAnswers([]byte(message), nil); err == nil && message != strings.Replace(one, "}", "]", 1) {
			t.Errorf("%s: %v", message, answers)
		}
	}
}

// Whatever comes, taking messages apart does not panic, and leaves them as
// they were.
func FuzzStream(f *testing.F) {
	for _, message := range []string{
		`{"id":1,"op":"lock","uid":"u","keys":"a","bind":true}`, `[{"id":1,"op":"check","keys":"a"},{"id":2,"op":"cancel"},{"id":3}]`,
		`[{"op":"unlock","id":1,"uid":"u","tokens":[]},7,{}]`, `[]`, `[[]]`, `{"id":1,"id":2}`, `[{"id":1,"op":"lock","keys":{}},`, "\xff",
		`{"id":1,"status":200,"tokens":[{"key":"a","version":1}],"exp":1}`, `[{"id":1,"status":200,"unlocked":["a"]},{"id":2,"status":503,"retry_after":1,"error":"unavailable","message":""}]`,
	} {
		f.Add([]byte(message))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		sent := string(message)
		calls, err := DecodeCalls(message, nil)
		switch {
		case err != nil && (holdfast.ErrorCode(err) != holdfast.CodeInvalid || len(calls) > 0):
			t.Fatalf("got %v, %#v", calls, err)
		case err == nil && len(calls) == 0:
			t.Fatal("a message without a request")
		}
		if careful, refused := decodeCallsCarefully(message, nil); (err == nil) != (refused == nil) || !reflect.DeepEqual(calls, careful) {
			t.Fatalf("quick   %+v, %v\ncareful %+v, %v", calls, err, careful, refused)
		}
		for _, call := range calls {
			if (call.Err == nil) != (call.Op != 0 && call.ID != 0) {
				t.Fatalf("got %+v", call)
			}
		}
		if answers, err := ReadAnswers(message, nil); err == nil {
			for _, answer := range answers {
				ReadGrant(answer.Body)
				ReadUnlocked(answer.Body)
				ReadError(answer.Body)
			}
		}
		if string(message) != sent {
			t.Fatal("the message was changed")
		}
	})
}
