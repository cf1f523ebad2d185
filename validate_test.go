package holdfast_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast"
)

// long gives a text of so many bytes.
func long(bytes int) string { return strings.Repeat("x", bytes) }

// many gives so many different keys.
func many(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("k", i)
	}
	return keys
}

func tokensOf(keys ...string) []holdfast.Token {
	tokens := make([]holdfast.Token, len(keys))
	for i, key := range keys {
		tokens[i] = holdfast.Token{Key: key, Version: 1}
	}
	return tokens
}

// wantInvalid wants a refusal whose message begins with the field that is
// wrong; with no field, none.
func wantInvalid(t *testing.T, err error, field string) {
	t.Helper()
	var refusal *holdfast.Error
	switch {
	case field == "" && err != nil:
		t.Errorf("refused: %v", err)
	case field == "":
	case !errors.As(err, &refusal) || refusal.Code != holdfast.CodeInvalid || !strings.HasPrefix(refusal.Message, field+":"):
		t.Errorf("answer: %v; it should be invalid since %s", err, field)
	}
}

// Each limit of a name, on it and beyond it: the same for those of owners and
// of keys.
func TestNames(t *testing.T) {
	for _, what := range []struct {
		field string
		most  int
		valid func(string) error
	}{
		{"uid", 256, holdfast.ValidUID},
		{"keys", 512, holdfast.ValidKey},
	} {
		for name, good := range map[string]string{
			"a byte": "x", "the longest": long(what.most), "in bytes, not letters": strings.Repeat("é", what.most/2),
			"odd": " /../%2f\"\\", "the first that is no control": "\u00a0", "the last before they begin": "~",
		} {
			t.Run(what.field+"/"+name, func(t *testing.T) { wantInvalid(t, what.valid(good), "") })
		}
		for name, bad := range map[string]string{
			"empty": "", "a byte too long": long(what.most + 1), "a letter too long": strings.Repeat("é", what.most/2) + "é",
			"not UTF-8": "x\xff", "NUL": "\x00", "a line": "a\nb", "the last of ASCII": "\x1f", "DEL": "\x7f",
			"the first of Latin-1": "\u0080", "the last of Latin-1": "\u009f",
		} {
			t.Run(what.field+"/"+name, func(t *testing.T) { wantInvalid(t, what.valid(bad), what.field) })
		}
	}
}

func TestReasons(t *testing.T) {
	for reason, field := range map[string]string{
		"": "", "a\nb": "", long(1024): "", long(1025): "reason", "\xff": "reason",
	} {
		wantInvalid(t, holdfast.ValidReason(reason), field)
	}
}

func TestKeysToLookAt(t *testing.T) {
	for _, test := range []struct {
		keys  []string
		field string
	}{
		{[]string{"x"}, ""},
		{many(256), ""},
		{many(257), "keys"},
		{nil, "keys"},
		{[]string{"x", ""}, "keys"},
	} {
		wantInvalid(t, holdfast.ValidKeys(test.keys), test.field)
	}
}

// What a request to lock may carry, each limit on it and beyond it.
func TestRequestsToLock(t *testing.T) {
	ask := func(mode holdfast.Mode, limit int) func(*holdfast.LockRequest) {
		return func(r *holdfast.LockRequest) { r.Keys = []holdfast.Ask{{Key: "x", Mode: mode, Limit: limit}} }
	}
	keys := func(keys ...string) func(*holdfast.LockRequest) {
		return func(r *holdfast.LockRequest) { r.Keys = holdfast.Keys(keys...) }
	}
	exp := func(exp time.Duration) func(*holdfast.LockRequest) {
		return func(r *holdfast.LockRequest) { r.Exp = exp }
	}
	wait := func(wait time.Duration) func(*holdfast.LockRequest) {
		return func(r *holdfast.LockRequest) { r.Wait = wait }
	}
	note := func(note string) func(*holdfast.LockRequest) {
		return func(r *holdfast.LockRequest) { r.Note = note }
	}
	for name, test := range map[string]struct {
		change func(*holdfast.LockRequest)
		field  string // that is wrong; "" if none is
	}{
		"as it is":                    {func(*holdfast.LockRequest) {}, ""},
		"no uid":                      {func(r *holdfast.LockRequest) { r.UID = "" }, "uid"},
		"no keys":                     {keys(), "keys"},
		"a key that is none":          {keys("x", ""), "keys"},
		"the most keys":               {keys(many(256)...), ""},
		"a key too many":              {keys(many(257)...), "keys"},
		"the most, one of them twice": {keys(append(many(256), "k0")...), ""},
		"a key in two modes":          {func(r *holdfast.LockRequest) { r.Keys = append(r.Keys, holdfast.Ask{Key: "x", Mode: holdfast.Shared}) }, "keys"},
		"shared":                      {ask(holdfast.Shared, 0), ""},
		"an unknown mode":             {ask(holdfast.Shared+1, 0), "mode"},
		"the least limit":             {ask(holdfast.Shared, 1), ""},
		"the highest limit":           {ask(holdfast.Shared, 1_000_000), ""},
		"a limit too high":            {ask(holdfast.Shared, 1_000_001), "limit"},
		"a limit below nothing":       {ask(holdfast.Shared, -1), "limit"},
		"a limit on exclusive":        {ask(holdfast.Exclusive, 1), "limit"},
		"the shortest life":           {exp(time.Millisecond), ""},
		"a life of almost nothing":    {exp(1), ""}, // rounded up
		"a life below nothing":        {exp(-1), "exp"},
		"the longest life":            {exp(24 * time.Hour), ""},
		"a life too long":             {exp(24*time.Hour + 1), "exp"},
		"the longest wait":            {wait(24 * time.Hour), ""},
		"a wait too long":             {wait(24*time.Hour + 1), "wait"},
		"a wait below nothing":        {wait(-time.Millisecond), "wait"},
		"the longest note":            {note(long(1024)), ""},
		"a note too long":             {note(long(1025)), "note"},
		"a note that is no text":      {note("\xff"), "note"},
	} {
		t.Run(name, func(t *testing.T) {
			r := holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x")}
			test.change(&r)
			_, err := r.Normal()
			wantInvalid(t, err, test.field)
		})
	}
}

// The one form that a service works with, and the request as it was.
func TestTheNormalForm(t *testing.T) {
	shared := holdfast.Ask{Key: "s", Mode: holdfast.Shared, Limit: 2}
	asked := holdfast.LockRequest{UID: "a", Keys: []holdfast.Ask{{Key: "y"}, shared, {Key: "x"}, shared, {Key: "y"}}, Wait: 1, Note: "why"}
	want := holdfast.LockRequest{
		UID: "a", Keys: []holdfast.Ask{{Key: "y"}, shared, {Key: "x"}}, Exp: time.Second, Wait: time.Millisecond, Note: "why",
	}
	before := fmt.Sprint(asked)
	if got, err := asked.Normal(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if fmt.Sprint(asked) != before {
		t.Errorf("the request was changed: %+v", asked)
	}
	for exp, want := range map[time.Duration]time.Duration{
		0: time.Second, 1: time.Millisecond, time.Millisecond: time.Millisecond, time.Millisecond + 1: 2 * time.Millisecond,
		2*time.Millisecond - 1: 2 * time.Millisecond,
	} {
		lock, err := holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: exp}.Normal()
		extend, err2 := holdfast.ExtendRequest{UID: "a", Exp: exp}.Normal()
		if lock.Exp != want || extend.Exp != want || err != nil || err2 != nil {
			t.Errorf("an exp of %v becomes %v and %v, not %v", exp, lock.Exp, extend.Exp, want)
		}
	}
	list, err := holdfast.ListRequest{Prefix: "p", UID: "a", Waited: true, After: "q"}.Normal()
	if want := (holdfast.ListRequest{Prefix: "p", UID: "a", Waited: true, After: "q", Limit: 100}); err != nil || list != want {
		t.Errorf("got %+v, %v\nwant %+v", list, err, want)
	}
}

// The same for the other requests.
func TestOtherRequests(t *testing.T) {
	extend := func(r holdfast.ExtendRequest) error { _, err := r.Normal(); return err }
	unlock := func(r holdfast.UnlockRequest) error { _, err := r.Normal(); return err }
	list := func(r holdfast.ListRequest) error { _, err := r.Normal(); return err }
	force := func(r holdfast.ForceRequest) error { _, err := r.Normal(); return err }
	watch := func(r holdfast.WatchRequest) error { _, err := r.Normal(); return err }
	for name, test := range map[string]struct {
		err   error
		field string
	}{
		"extend all":                   {extend(holdfast.ExtendRequest{UID: "a"}), ""},
		"extend the most":              {extend(holdfast.ExtendRequest{UID: "a", Tokens: tokensOf(many(256)...)}), ""},
		"extend too many":              {extend(holdfast.ExtendRequest{UID: "a", Tokens: tokensOf(many(257)...)}), "tokens"},
		"extend what is no key":        {extend(holdfast.ExtendRequest{UID: "a", Tokens: tokensOf("x", "")}), "tokens"},
		"extend for nobody":            {extend(holdfast.ExtendRequest{}), "uid"},
		"extend for too long":          {extend(holdfast.ExtendRequest{UID: "a", Exp: 24*time.Hour + 1}), "exp"},
		"unlock the most":              {unlock(holdfast.UnlockRequest{UID: "a", Tokens: tokensOf(many(256)...)}), ""},
		"unlock too many":              {unlock(holdfast.UnlockRequest{UID: "a", Tokens: tokensOf(many(257)...)}), "tokens"},
		"unlock nothing":               {unlock(holdfast.UnlockRequest{UID: "a"}), "tokens"},
		"unlock what is no key":        {unlock(holdfast.UnlockRequest{UID: "a", Tokens: tokensOf("\n")}), "tokens"},
		"unlock for nobody":            {unlock(holdfast.UnlockRequest{Tokens: tokensOf("x")}), "uid"},
		"list the longest names":       {list(holdfast.ListRequest{Prefix: long(512), UID: long(256), After: long(512), Limit: 1}), ""},
		"list the longest page":        {list(holdfast.ListRequest{Limit: 1000}), ""},
		"list a page too long":         {list(holdfast.ListRequest{Limit: 1001}), "limit"},
		"list a page below nothing":    {list(holdfast.ListRequest{Limit: -1}), "limit"},
		"list a prefix too long":       {list(holdfast.ListRequest{Prefix: long(513)}), "prefix"},
		"list for a uid too long":      {list(holdfast.ListRequest{UID: long(257)}), "uid"},
		"list behind a key too long":   {list(holdfast.ListRequest{After: long(513)}), "after"},
		"force":                        {force(holdfast.ForceRequest{Key: "x", Reason: long(1024)}), ""},
		"force no key":                 {force(holdfast.ForceRequest{}), "keys"},
		"force with too long a reason": {force(holdfast.ForceRequest{Key: "x", Reason: long(1025)}), "reason"},
		"watch all":                    {watch(holdfast.WatchRequest{}), ""},
		"watch the longest names":      {watch(holdfast.WatchRequest{Prefix: long(512), UID: long(256)}), ""},
		"watch a prefix too long":      {watch(holdfast.WatchRequest{Prefix: long(513)}), "prefix"},
		"watch a uid too long":         {watch(holdfast.WatchRequest{UID: long(257)}), "uid"},
	} {
		t.Run(name, func(t *testing.T) { wantInvalid(t, test.err, test.field) })
	}
}

func TestModesAreWords(t *testing.T) {
	for mode, word := range map[holdfast.Mode]string{holdfast.Exclusive: "exclusive", holdfast.Shared: "shared"} {
		written, err := mode.MarshalText()
		if err != nil || string(written) != word || mode.String() != word {
			t.Errorf("%d is written %q, %v", mode, written, err)
		}
		read := holdfast.Mode(9)
		if err := read.UnmarshalText([]byte(word)); err != nil || read != mode {
			t.Errorf("%q is read as %v, %v", word, read, err)
		}
	}
	if _, err := holdfast.Mode(2).MarshalText(); err == nil || holdfast.Mode(2).String() != "Mode(2)" {
		t.Error("an unknown mode has a word")
	}
	for _, word := range []string{"", "Shared", "shared "} {
		if new(holdfast.Mode).UnmarshalText([]byte(word)) == nil {
			t.Errorf("%q is a mode", word)
		}
	}
}

// Rule 4.
func TestWhatAHoldCovers(t *testing.T) {
	for _, test := range []struct {
		has, asked holdfast.Mode
		want       bool
	}{
		{holdfast.Exclusive, holdfast.Exclusive, true},
		{holdfast.Exclusive, holdfast.Shared, true},
		{holdfast.Shared, holdfast.Shared, true},
		{holdfast.Shared, holdfast.Exclusive, false},
	} {
		if h := (holdfast.Hold{Mode: test.has}); h.Covers(test.asked) != test.want {
			t.Errorf("%v covers %v: %v", test.has, test.asked, !test.want)
		}
	}
}
