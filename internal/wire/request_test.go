package wire

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast"
)

func decodeLock(body string) (holdfast.LockRequest, error) {
	r, err := Decode([]byte(body), LockFields)
	if err != nil {
		return holdfast.LockRequest{}, err
	}
	return r.Lock()
}

func decodeUnlock(body string) (holdfast.UnlockRequest, error) {
	r, err := Decode([]byte(body), UnlockFields)
	if err != nil {
		return holdfast.UnlockRequest{}, err
	}
	return r.Unlock()
}

func decodeExtend(body string) (holdfast.ExtendRequest, error) {
	r, err := Decode([]byte(body), ExtendFields)
	if err != nil {
		return holdfast.ExtendRequest{}, err
	}
	return r.Extend()
}

func decodeCheck(body string) ([]string, error) {
	r, err := Decode([]byte(body), CheckFields)
	if err != nil {
		return nil, err
	}
	return r.Check()
}

func TestALockRequestIsReadAsItWasMeant(t *testing.T) {
	shared := func(key string, limit int) holdfast.Ask {
		return holdfast.Ask{Key: key, Mode: holdfast.Shared, Limit: limit}
	}
	exclusive := func(key string) holdfast.Ask { return holdfast.Ask{Key: key} }
	asks := func(asks ...holdfast.Ask) holdfast.LockRequest {
		return holdfast.LockRequest{UID: "u", Keys: asks}
	}
	for _, test := range []struct {
		name, body string
		want       holdfast.LockRequest
	}{
		{"one key", `{"uid":"u","keys":"a"}`, asks(exclusive("a"))},
		{"an array of one", `{"uid":"u","keys":["a"]}`, asks(exclusive("a"))},
		{"two keys in order", `{"uid":"u","keys":["b","a"]}`, asks(exclusive("b"), exclusive("a"))},
		{"an object", `{"uid":"u","keys":[{"key":"a"}]}`, asks(exclusive("a"))},
		{"an object that says exclusive", `{"uid":"u","keys":[{"key":"a","mode":"exclusive"}]}`, asks(exclusive("a"))},
		{"no keys to which a limit goes", `{"uid":"u","keys":[],"mode":"shared","limit":3}`, holdfast.LockRequest{UID: "u", Keys: []holdfast.Ask{}}},
		{"an object of its own mode", `{"uid":"u","keys":[{"key":"a","mode":"shared","limit":3},"b"]}`,
			asks(shared("a", 3), exclusive("b"))},
		{"mode for all", `{"uid":"u","keys":["a","b"],"mode":"shared"}`, asks(shared("a", 0), shared("b", 0))},
		{"mode in front of the keys", `{"mode":"shared","keys":["a"],"uid":"u"}`, asks(shared("a", 0))},
		{"mode for those that say none", `{"uid":"u","keys":[{"key":"a","mode":"exclusive"},"b"],"mode":"shared"}`,
			asks(exclusive("a"), shared("b", 0))},
		{"limit for all", `{"uid":"u","keys":["a","b"],"mode":"shared","limit":2}`, asks(shared("a", 2), shared("b", 2))},
		{"limit for those that say none", `{"uid":"u","keys":[{"key":"a","limit":7},"b"],"mode":"shared","limit":2}`,
			asks(shared("a", 7), shared("b", 2))},
		{"limit not for one that says exclusive", `{"uid":"u","keys":[{"key":"a","mode":"exclusive"},"b"],"mode":"shared","limit":2}`,
			asks(exclusive("a"), shared("b", 2))},
		{"limit for one that says shared itself", `{"uid":"u","keys":[{"key":"a","mode":"shared"}],"limit":2}`, asks(shared("a", 2))},
		{"durations and a note", `{"uid":"u","keys":"a","exp":1500,"wait":20,"note":"why"}`, holdfast.LockRequest{
			UID: "u", Keys: holdfast.Keys("a"), Exp: 1500 * time.Millisecond, Wait: 20 * time.Millisecond, Note: "why"}},
		{"no wait", `{"uid":"u","keys":"a","wait":0}`, asks(exclusive("a"))},
		{"an empty note", `{"uid":"u","keys":"a","note":""}`, asks(exclusive("a"))},
		{"escapes", `{"u\u0069d":"\u0075","keys":["\u00e9\"\\\/\ud83d\ude00"]}`, asks(exclusive(`é"\/😀`))},
		{"space around", " \r\n\t{ \"uid\" : \"u\" , \"keys\" : \"a\" } \n", asks(exclusive("a"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := decodeLock(test.body)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestTheOtherRequestsAreReadAsTheyWereMeant(t *testing.T) {
	tokens := []holdfast.Token{{Key: "a", Version: 7}, {Key: "b", Version: holdfast.VersionEnd - 1}}
	written := `[{"key":"a","version":7},{"version":9007199254740991,"key":"b"}]`

	unlock, err := decodeUnlock(`{"uid":"u","tokens":` + written + `}`)
	if want := (holdfast.UnlockRequest{UID: "u", Tokens: tokens}); err != nil || !reflect.DeepEqual(unlock, want) {
		t.Errorf("unlock: got %+v, %v; want %+v", unlock, err, want)
	}
	extend, err := decodeExtend(`{"uid":"u","tokens":` + written + `,"exp":5}`)
	if want := (holdfast.ExtendRequest{UID: "u", Tokens: tokens, Exp: 5 * time.Millisecond}); err != nil || !reflect.DeepEqual(extend, want) {
		t.Errorf("extend: got %+v, %v; want %+v", extend, err, want)
	}
	all, err := decodeExtend(`{"uid":"u"}`)
	if err != nil || all.Tokens != nil || all.Exp != 0 {
		t.Errorf("extend everything: got %+v, %v", all, err)
	}
	for _, body := range []string{`{"keys":"a"}`, `{"keys":["a"]}`} {
		keys, err := decodeCheck(body)
		if want := []string{"a"}; err != nil || !reflect.DeepEqual(keys, want) {
			t.Errorf("check %s: got %q, %v", body, keys, err)
		}
	}
}

// Every refusal has a message that names the field, or says where the body
// breaks.
func TestAMalformedRequestIsRefusedByName(t *testing.T) {
	const exp = "exp: must be a whole number of milliseconds from 1 to 86400000"
	const wait = "wait: must be a whole number of milliseconds from 0 to 86400000"
	const version = "tokens[0].version: must be a whole number from 0 to 9007199254740991"
	lock := func(body string) error { _, err := decodeLock(body); return err }
	unlock := func(body string) error { _, err := decodeUnlock(body); return err }
	extend := func(body string) error { _, err := decodeExtend(body); return err }
	check := func(body string) error { _, err := decodeCheck(body); return err }
	with := func(member string) string { return `{"uid":"u","keys":"a",` + member + `}` }
	token := func(token string) string { return `{"uid":"u","tokens":[` + token + `]}` }

	for _, test := range []struct {
		name   string
		decode func(string) error
		body   string
		want   string
	}{
		{"nothing", lock, ``, "body: is empty; a JSON object is needed"},
		{"only space", lock, " \n", "body: is empty; a JSON object is needed"},
		{"null", lock, `null`, "body: must be a JSON object, not null"},
		{"an array", lock, `[]`, "body: must be a JSON object, not an array"},
		{"a string", lock, `"lock"`, `body: must be a JSON object, not "lock"`},
		{"not JSON", lock, `uid=u&keys=a`, "body: broken JSON at byte 0: invalid character 'u' at start of value"},
		{"cut off", lock, `{"uid":"u","ke`, "body: broken JSON at byte 14"},
		{"cut off in a value", lock, `{"uid":"u`, `body: broken JSON at byte 9 (in "uid")`},
		{"a comma too many", lock, `{"uid":"u","keys":["a",]}`, `body: broken JSON at byte 22 (in "keys"): invalid character ','`},
		{"a comma at the end", lock, `{"uid":"u","keys":"a",}`, "body: broken JSON at byte 21: invalid character ','"},
		{"no comma", lock, `{"uid":"u" "keys":"a"}`, "body: broken JSON at byte 11"},
		{"no colon", lock, `{"uid" "u"}`, "body: broken JSON at byte 7"},
		{"single quotes", lock, `{'uid':'u'}`, "body: broken JSON at byte 1"},
		{"a comment", lock, `{/**/"uid":"u"}`, "body: broken JSON at byte 1"},
		{"a name that is no string", lock, `{1:2}`, "body: broken JSON at byte 1"},
		{"NaN", lock, with(`"exp":NaN`), `body: broken JSON at byte 28 (in "exp"): invalid character 'N' at start of value`},
		{"Infinity", lock, with(`"exp":Infinity`), `body: broken JSON at byte 28 (in "exp")`},
		{"trailing garbage", lock, `{"uid":"u","keys":"a"}x`, "body: something follows the JSON object at byte 22"},
		{"a second object", lock, `{"uid":"u","keys":"a"} {}`, "body: something follows the JSON object"},
		{"invalid UTF-8", lock, "{\"uid\":\"u\xff\",\"keys\":\"a\"}", `body: broken JSON at byte 9 (in "uid"): invalid UTF-8`},
		{"half a surrogate pair", lock, `{"uid":"\ud800","keys":"a"}`, `body: broken JSON at byte 8 (in "uid")`},
		{"a raw control character", lock, "{\"uid\":\"u\n\",\"keys\":\"a\"}", `body: broken JSON at byte 9 (in "uid")`},
		{"a byte order mark", lock, "\ufeff{}", "body: broken JSON at byte 0"},

		{"an unknown field", lock, with(`"expp":5`), `unknown field "expp"`},
		{"another case", lock, with(`"Exp":5`), `unknown field "Exp"`},
		{"a field of another call", lock, with(`"tokens":[]`), `unknown field "tokens"`},
		{"a long unknown field", lock, `{"` + strings.Repeat("x", 1000) + `":1}`, `unknown field "` + strings.Repeat("x", 64) + `…"`},
		{"unknown in a key", lock, `{"uid":"u","keys":[{"key":"a","wait":5}]}`, `keys[0]: unknown field "wait"`},
		{"unknown in a token", unlock, token(`{"key":"a","version":1,"uid":"u"}`), `tokens[0]: unknown field "uid"`},
		{"wait for an unlock", unlock, `{"uid":"u","tokens":[],"wait":5}`, `unknown field "wait"`},
		{"uid for a check", check, `{"uid":"u","keys":"a"}`, `unknown field "uid"`},
		{"wait for an extend", extend, `{"uid":"u","wait":5}`, `unknown field "wait"`},

		{"uid twice", lock, `{"uid":"u","keys":"a","uid":"v"}`, `field "uid" is given twice`},
		{"uid twice, escaped", lock, `{"uid":"u","keys":"a","\u0075id":"v"}`, `field "uid" is given twice`},
		{"key twice", lock, `{"uid":"u","keys":[{"key":"a","key":"b"}]}`, `field "keys[0].key" is given twice`},

		{"no uid", lock, `{"keys":"a"}`, "uid: is missing"},
		{"no keys", lock, `{"uid":"u"}`, "keys: is missing"},
		{"nothing in it", lock, `{}`, "uid: is missing"},
		{"uid null", lock, `{"uid":null,"keys":"a"}`, "uid: must be a string, not null"},
		{"uid a number", lock, `{"uid":7,"keys":"a"}`, "uid: must be a string, not 7"},
		{"keys null", lock, `{"uid":"u","keys":null}`, "keys: must be a string or an array, not null"},
		{"keys a number", lock, `{"uid":"u","keys":1}`, "keys: must be a string or an array, not 1"},
		{"keys an object", lock, `{"uid":"u","keys":{"key":"a"}}`, "keys: must be a string or an array, not an object"},
		{"a key null", lock, `{"uid":"u","keys":["a",null]}`, "keys[1]: must be a string or an object, not null"},
		{"a key an array", lock, `{"uid":"u","keys":["a",["b"]]}`, "keys[1]: must be a string or an object, not an array"},
		{"a key without key", lock, `{"uid":"u","keys":[{"mode":"shared"}]}`, "keys[0].key: is missing"},
		{"a key with key null", lock, `{"uid":"u","keys":[{"key":null}]}`, "keys[0].key: must be a string, not null"},
		{"a key of another mode", lock, `{"uid":"u","keys":[{"key":"a","mode":"x"}]}`, `keys[0].mode: must be "exclusive" or "shared", not "x"`},
		{"a key with limit 0", lock, `{"uid":"u","keys":[{"key":"a","mode":"shared","limit":0}]}`, "keys[0].limit: must be a whole number from 1 to 1000000, not 0"},

		{"exp 0", lock, with(`"exp":0`), exp + ", not 0"},
		{"exp -0", lock, with(`"exp":-0`), exp + ", not -0"},
		{"exp negative", lock, with(`"exp":-1`), exp + ", not -1"},
		{"exp fractional", lock, with(`"exp":1.5`), exp + ", not 1.5"},
		{"exp with an exponent", lock, with(`"exp":1e3`), exp + ", not 1e3"},
		{"exp too long", lock, with(`"exp":86400001`), exp + ", not 86400001"},
		{"exp beyond 64 bits", lock, with(`"exp":18446744073709551617`), exp + ", not 18446744073709551617"},
		{"exp in many digits", lock, with(`"exp":` + strings.Repeat("9", 5000)), exp + ", not " + strings.Repeat("9", 64) + "…"},
		{"exp a string", lock, with(`"exp":"1000"`), exp + `, not "1000"`},
		{"exp null", lock, with(`"exp":null`), exp + ", not null"},
		{"exp true", lock, with(`"exp":true`), exp + ", not true"},
		{"exp an object", lock, with(`"exp":{"ms":1}`), exp + ", not an object"},
		{"exp of an extend", extend, `{"uid":"u","exp":0}`, exp + ", not 0"},
		{"wait negative", lock, with(`"wait":-1`), wait + ", not -1"},
		{"wait too long", lock, with(`"wait":86400001`), wait + ", not 86400001"},
		{"wait null", lock, with(`"wait":null`), wait + ", not null"},
		{"mode unknown", lock, with(`"mode":"read"`), `mode: must be "exclusive" or "shared", not "read"`},
		{"mode empty", lock, with(`"mode":""`), `mode: must be "exclusive" or "shared", not ""`},
		{"mode null", lock, with(`"mode":null`), `mode: must be "exclusive" or "shared", not null`},
		{"limit 0", lock, with(`"mode":"shared","limit":0`), "limit: must be a whole number from 1 to 1000000, not 0"},
		{"limit too high", lock, with(`"mode":"shared","limit":1000001`), "limit: must be a whole number from 1 to 1000000, not 1000001"},
		{"limit fractional", lock, with(`"mode":"shared","limit":1.0`), "limit: must be a whole number from 1 to 1000000, not 1.0"},
		{"limit for nobody", lock, `{"uid":"u","keys":[{"key":"a","mode":"exclusive"}],"limit":2}`, `limit: goes with mode "shared" only`},
		{"note null", lock, with(`"note":null`), "note: must be a string, not null"},
		{"note an array", lock, with(`"note":["a"]`), "note: must be a string, not an array"},

		{"no tokens", unlock, `{"uid":"u"}`, "tokens: is missing"},
		{"tokens null", unlock, `{"uid":"u","tokens":null}`, "tokens: must be an array, not null"},
		{"tokens an object", unlock, `{"uid":"u","tokens":{"key":"a","version":1}}`, "tokens: must be an array, not an object"},
		{"a token a string", unlock, token(`"a"`), `tokens[0]: must be an object with key and version, not "a"`},
		{"a token null", unlock, token(`null`), "tokens[0]: must be an object with key and version, not null"},
		{"a token without key", unlock, token(`{"version":1}`), "tokens[0].key: is missing"},
		{"a token without version", unlock, token(`{"key":"a"}`), "tokens[0].version: is missing"},
		{"version a string", unlock, token(`{"key":"a","version":"1"}`), version + `, not "1"`},
		{"version negative", unlock, token(`{"key":"a","version":-1}`), version + ", not -1"},
		{"version too high", unlock, token(`{"key":"a","version":9007199254740992}`), version + ", not 9007199254740992"},
		{"tokens null to extend", extend, `{"uid":"u","tokens":null}`, "tokens: must be an array, not null"},
		{"no token to extend", extend, `{"uid":"u","tokens":[]}`, "tokens: at least one token is needed; leave the field out"},
		{"nobody to extend", extend, `{}`, "uid: is missing"},
		{"nothing to check", check, `{}`, "keys: is missing"},
		{"a check of a mode", check, `{"keys":[{"key":"a"}]}`, "keys: must be a string or an array of strings"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.decode(test.body)
			if err == nil {
				t.Fatal("accepted")
			}
			refusal, ok := err.(*holdfast.Error)
			if !ok || refusal.Code != holdfast.CodeInvalid {
				t.Fatalf("got %#v", err)
			}
			if !strings.HasPrefix(refusal.Message, test.want) {
				t.Errorf("got  %s\nwant %s", refusal.Message, test.want)
			}
			if len(refusal.Message) > 300 {
				t.Errorf("a message of %d bytes", len(refusal.Message))
			}
		})
	}
}

func TestNumbersUpToTheirLimitsAreAccepted(t *testing.T) {
	got, err := decodeLock(`{"uid":"u","keys":["a"],"mode":"shared","limit":1000000,"exp":86400000,"wait":86400000}`)
	if err != nil {
		t.Fatal(err)
	}
	if got.Exp != holdfast.MaxExp || got.Wait != holdfast.MaxWait || got.Keys[0].Limit != holdfast.MaxLimit {
		t.Errorf("got %+v", got)
	}
	got, err = decodeLock(`{"uid":"u","keys":["a"],"mode":"shared","limit":1,"exp":1,"wait":0}`)
	if err != nil {
		t.Fatal(err)
	}
	if got.Exp != time.Millisecond || got.Wait != 0 || got.Keys[0].Limit != 1 {
		t.Errorf("got %+v", got)
	}
}

// A reader is used again and again: what one request held must not show in
// the next, and a request must not change when its body does.
func TestARequestKeepsNothingOfItsBody(t *testing.T) {
	body := []byte(`{"uid":"owner","keys":["first",{"key":"second"}],"note":"a \"note\""}`)
	r, err := Decode(body, LockFields)
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = 'x'
	}
	if _, err := Decode(body, LockFields); err == nil {
		t.Fatal("a body of x is no JSON")
	}
	want := holdfast.LockRequest{UID: "owner", Keys: holdfast.Keys("first", "second"), Note: `a "note"`}
	if got, err := r.Lock(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func BenchmarkDecodeLock(b *testing.B) {
	body := []byte(`{"uid":"worker-17","keys":["orders/4711"],"exp":30000}`)
	b.ReportAllocs()
	for b.Loop() {
		r, err := Decode(body, LockFields)
		if err == nil {
			_, err = r.Lock()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendGrant(b *testing.B) {
	grant := holdfast.Grant{Tokens: []holdfast.Token{{Key: "orders/4711", Version: 1_700_000_000_000_000}}, Exp: 30 * time.Second}
	buffer := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buffer = AppendGrant(buffer[:0], grant)
	}
}
