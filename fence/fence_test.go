package fence_test

import (
	"errors"
	"testing"
	"time"

	"holdfast"
)

func token(key string, version uint64) holdfast.Token {
	return holdfast.Token{Key: key, Version: version}
}

func tokens(tokens ...holdfast.Token) []holdfast.Token { return tokens }

// want sees to it that err is wanted, by errors.Is; nil is no error.
func want(t testing.TB, what string, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) {
		t.Errorf("%s: %v; want %v", what, err, wanted)
	}
}

func wantInvalid(t testing.TB, what string, err error) {
	t.Helper()
	if holdfast.ErrorCode(err) != holdfast.CodeInvalid {
		t.Errorf("%s: %v; want a refusal with code invalid", what, err)
	}
}

// eventually waits until what must come true is true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come true that %s", what)
		}
	}
}

// malformed are tokens that nobody can have been granted.
var malformed = map[string][]holdfast.Token{
	"no token":              {},
	"no key":                {token("", 1)},
	"a control character":   {token("a\n", 1)},
	"not UTF-8":             {token("\xff", 1)},
	"no version":            {token("a", 0)},
	"a version too large":   {token("a", holdfast.VersionEnd)},
	"two versions of a key": {token("a", 1), token("b", 1), token("a", 2)},
}
