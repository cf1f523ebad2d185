package wire

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast"
)

// Each call takes its own fields, and no others, whether it is read quickly or
// with care.
func TestACallTakesItsFields(t *testing.T) {
	values := map[string]string{
		"uid": `"u"`, "keys": `"a"`, "tokens": `[{"key":"a","version":1}]`, "exp": "5", "wait": "5", "mode": `"shared"`, "limit": "5", "note": `"n"`, "bind": "true",
	}
	for op, takes := range map[Op]string{
		OpLock: "uid keys exp wait mode limit note bind", OpUnlock: "uid tokens", OpExtend: "uid tokens exp bind", OpCheck: "keys", OpCancel: "",
	} {
		for field, value := range values {
			message := fmt.Sprintf(`{"id":7,"op":%q,%q:%s}`, op, field, value)
			taken := strings.Contains(" "+takes+" ", " "+field+" ")
			for _, message := range []string{message, "[" + message + "]", strings.Replace(message, ":", ": ", 1)} {
				calls, err := DecodeCalls([]byte(message), nil)
				if err != nil || len(calls) != 1 || calls[0].ID != 7 {
					t.Errorf("%s: %+v, %v", message, calls, err)
					continue
				}
				want := fmt.Sprintf("invalid: unknown field %q", field)
				switch err := calls[0].Err; {
				case taken && (err != nil || calls[0].Op != op):
					t.Errorf("%s: %v", message, err)
				case !taken && (err == nil || err.Error() != want):
					t.Errorf("%s: %v, not %s", message, err, want)
				}
			}
		}
	}
}

// What is wrong with one request of a message is said under its id, or under its
// place if it has none, and concerns no other.
func TestARequestThatIsWrongIsToldByItself(t *testing.T) {
	const good = `{"id":9007199254740991,"op":"check","keys":"a"}`
	for request, want := range map[string]struct {
		id  uint64
		err string
	}{
		`{"id":5,"op":"check","bind":true}`:            {5, `unknown field "bind"`},
		`{"id":5,"op":"check","bind":false,"keys":""}`: {5, `unknown field "bind"`},
		`{"id":5,"op":"lock","bind":7}`:                {5, `bind: must be true or false, not 7`},
		`{"id":5}`:                                     {5, `op: is missing`},
		`{"op":"check","keys":"a"}`:                    {0, `message[1]: id: is missing`},
		`{"op":"look","id":5}`:                         {5, `op: must be "lock", "unlock", "extend", "check" or "cancel", not "look"`},
		`{"op":"","id":5}`:                             {5, `op: must be "lock", "unlock", "extend", "check" or "cancel", not ""`},
		`{"op":3,"id":5}`:                              {5, `op: must be "lock", "unlock", "extend", "check" or "cancel", not 3`},
		`{"id":0,"op":"cancel"}`:                       {0, `message[1]: id: must be a whole number from 1 to 9007199254740991, not 0`},
		`{"id":9007199254740992,"op":"cancel"}`:        {0, `message[1]: id: must be a whole number from 1 to 9007199254740991, not 9007199254740992`},
		`{"id":9007199254740991,"op":"lock","x":1}`:    {9007199254740991, `unknown field "x"`},
		`{"x":{"id":4},"id":5,"op":"lock"}`:            {5, `unknown field "x"`},
		`{"id":"5","op":"cancel"}`:                     {0, `message[1]: id: must be a whole number from 1 to 9007199254740991, not "5"`},
		`7`:                                            {0, `message[1]: body: must be a JSON object, not 7`},
		`{"id":5,"op":"unlock","uid":"u","tokens":[{"key":"a","version":1},{"key":"a"}]}`: {5, `tokens[1].version: is missing`},
		`{"id":5,"op":"unlock","uid":"u","tokens":[{"key":"a","version":1},{"no":7}]}`:    {5, `tokens[1]: unknown field "no"`},
		`{"id":5,"op":"lock","uid":"u","keys":["a",7]}`:                                   {5, `keys[1]: must be a string or an object, not 7`},
		`{"id":5,"op":"lock","uid":"u","keys":7}`:                                         {5, `keys: must be a string or an array, not 7`},
		`{"id":5,"op":"lock","uid":"u","keys":[{"key":"a","mode":"both"}]}`:               {5, `keys[0].mode: must be "exclusive" or "shared", not "both"`},
	} {
		for _, before := range [][]Call{nil, {{Request: Request{ID: 1}}}} {
			message := "[" + good + "," + request + "," + good + "]"
			calls, err := DecodeCalls([]byte(message), before)
			if err != nil || len(calls) != len(before)+3 {
				t.Errorf("%s: %d requests, %v", message, len(calls), err)
				continue
			}
			calls = calls[len(before):]
			if calls[0].Err != nil || calls[2].Err != nil || calls[0].ID != holdfast.VersionEnd-1 || !reflect.DeepEqual(calls[0], calls[2]) {
				t.Errorf("%s: the others are %+v and %+v", message, calls[0], calls[2])
			}
			if got := calls[1]; got.ID != want.id || got.Err == nil || got.Err.Error() != "invalid: "+want.err || got.Given != 0 {
				t.Errorf("%s: id %d, %v\nwant id %d, %s", request, got.ID, got.Err, want.id, want.err)
			}
		}
	}
}

// What is no message at all is refused as a whole, and leaves what was decoded
// before.
func TestWhatIsNoMessage(t *testing.T) {
	const good = `{"id":1,"op":"cancel"}`
	for message, want := range map[string]string{
		``:                                 "body: is empty; a JSON object is needed",
		`[]`:                               "message: an array without a request",
		good + good:                        "body: something follows the JSON object at byte",
		"[" + good + "]]":                  "body: something follows the JSON object at byte",
		"[" + good + "," + good:            "body: broken JSON at byte",
		"[" + good + `,{"id":}]`:           "body: broken JSON at byte",
		"[" + good + good + "]":            "body: broken JSON at byte",
		`{"id":1,"op":"check","keys":"a"`:  "body: broken JSON at byte",
		`{"id":1,"op":"check","keys":"\x"`: "body: broken JSON at byte",
	} {
		before := []Call{{Request: Request{ID: 9}}}
		calls, err := DecodeCalls([]byte(message), before)
		if holdfast.ErrorCode(err) != holdfast.CodeInvalid || !strings.HasPrefix(err.Error(), "invalid: "+want) {
			t.Errorf("%s: %v, not %s", message, err, want)
		}
		if len(calls) > 1 || len(calls) == 1 && calls[0].ID != 9 {
			t.Errorf("%s: %+v", message, calls)
		}
	}
}

func TestAMessageMayHave4096Requests(t *testing.T) {
	for _, request := range []string{`{"id":1,"op":"cancel"}`, `{"id": 1,"op":"cancel"}`, `{"id":1,"op":"none"}`} {
		most := strings.Repeat(request+",", 4095) + request
		if calls, err := DecodeCalls([]byte("["+most+"]"), nil); err != nil || len(calls) != 4096 {
			t.Errorf("%s: %d requests, %v", request, len(calls), err)
		}
		if calls, err := DecodeCalls([]byte("["+most+","+request+"]"), nil); len(calls) != 0 || fmt.Sprint(err) != "invalid: message: more than 4096 requests" {
			t.Errorf("%s: %d requests, %v", request, len(calls), err)
		}
	}
}

// The exact bytes of a message, as docs/stream.md shows them.
func TestTheStreamLooksAsDocumented(t *testing.T) {
	const body = `{"uid":"u"}`
	refusal := &holdfast.Error{Code: holdfast.CodeUnavailable, Message: "m", RetryAfter: 1500 * time.Millisecond}
	for _, test := range []struct{ got, want string }{
		{string(AppendCall(nil, 12, OpLock, false, []byte(body))), `{"id":12,"op":"lock","uid":"u"}`},
		{string(AppendCall(nil, 12, OpExtend, true, []byte(body))), `{"id":12,"op":"extend","bind":true,"uid":"u"}`},
		{string(AppendCancel([]byte("x"), 12)), `x{"id":12,"op":"cancel"}`},
		{string(AppendHead(nil, Head{ID: 12, Status: 200})), `{"id":12,"status":200`},
		{string(AppendHead(nil, Head{ID: 12, Status: 200, Grace: time.Second})), `{"id":12,"status":200,"grace":1000`},
		{string(AppendHead(nil, Head{ID: 12, Status: 503, RetryAfter: 10})), `{"id":12,"status":503,"retry_after":10`},
		{string(AppendRefusal(nil, 12, refusal)), `{"id":12,"status":503,"retry_after":2,"error":"unavailable","message":"m"}`},
	} {
		if test.got != test.want {
			t.Errorf("got  %s\nwant %s", test.got, test.want)
		}
	}
}

func TestPlainAnswersAreReadQuickly(t *testing.T) {
	const one = `{"id":12,"status":200,"unlocked":["}]\\\"{["]}`
	for message, want := range map[string]int{one: 1, "[" + one + "]": 1, "[" + one + "," + one + "," + one + "]": 3} {
		answers, ok := readQuickly([]byte(message), nil)
		if !ok || len(answers) != want {
			t.Errorf("%s: %v, %v", message, answers, ok)
			continue
		}
		for _, answer := range answers {
			if answer.Head != (Head{ID: 12, Status: 200}) || string(answer.Body) != `{"unlocked":["}]\\\"{["]}` {
				t.Errorf("%s: %+v, %s", message, answer.Head, answer.Body)
			}
		}
	}
	for _, message := range []string{
		``, `[`, `{}`, `{"id":12}`, `{"id":12,"status":200}`, one + one, one + "]", "[" + one, "[" + one + ",", "[" + one + "," + one[:20],
		`{"id":12,"status":200,"grace":5,"unlocked":[]}`, `{"id":12,"status":503,"retry_after":1,"error":"limit"}`,
		`{"status":200,"id":12,"unlocked":[]}`, `{"id":12,"status":2 0,"unlocked":[]}`, `{"id":12,"status":200,"unlocked":[`,
	} {
		if answers, ok := readQuickly([]byte(message), nil); ok {
			t.Errorf("%s: %+v", message, answers)
		}
	}
}
