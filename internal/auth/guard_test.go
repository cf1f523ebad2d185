package auth

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"holdfast"
	"holdfast/internal/memory"
	"holdfast/internal/servicetest"
)

// as is a guarded service that a caller asks.
type as struct {
	service holdfast.Service
	caller  *Caller
}

func (a as) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	return a.service.Lock(With(ctx, a.caller), req)
}
func (a as) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	return a.service.Unlock(With(ctx, a.caller), req)
}
func (a as) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	return a.service.Extend(With(ctx, a.caller), req)
}
func (a as) Check(ctx context.Context, keys []string) (bool, error) {
	return a.service.Check(With(ctx, a.caller), keys)
}
func (a as) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	return a.service.List(With(ctx, a.caller), req)
}
func (a as) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	return a.service.Get(With(ctx, a.caller), key)
}
func (a as) Force(ctx context.Context, req holdfast.ForceRequest) ([]holdfast.Released, error) {
	return a.service.Force(With(ctx, a.caller), req)
}
func (a as) Watch(ctx context.Context, req holdfast.WatchRequest) (iter.Seq2[holdfast.Event, error], error) {
	return a.service.Watch(With(ctx, a.caller), req)
}

// house is a guarded store and those who are known there.
type house struct {
	t     testing.TB
	store *memory.Store
	file  *File
	ring  *Keyring
}

func build(t testing.TB) *house {
	h := &house{t: t, store: memory.New(), file: new(File)}
	t.Cleanup(func() { h.store.Close() })
	h.ring = NewKeyring(h.file)
	return h
}

// let makes somebody known, with grants written PREFIX=VERB,VERB, and gives
// the service as they see it.
func (h *house) let(name, uid string, grants ...string) as {
	h.t.Helper()
	e := Entry{Name: name, Certificate: name, UID: uid}
	for _, grant := range grants {
		prefix, words, _ := strings.Cut(grant, "=")
		verbs, err := ParseVerbs(strings.FieldsFunc(words, func(r rune) bool { return r == ',' }))
		if err != nil {
			h.t.Fatal(err)
		}
		e.Grants = append(e.Grants, Grant{prefix, verbs})
	}
	if err := h.file.Add(e); err != nil {
		h.t.Fatal(err)
	}
	h.ring.Use(h.file)
	return as{Guard(h.store), h.ring.Certificate(name)}
}

const all = "=lock,check,list,watch,force"

// The rules hold for a caller that may do everything, also when what it sees
// of many keys has to be filtered.
func TestConformance(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		h := build(t)
		return servicetest.Over(h.let("free", "", all), h.let("filtered", "", all, "no key begins so="))
	})
}

func TestEachVerbOpensItsCallsOnly(t *testing.T) {
	ctx := t.Context()
	calls := []struct {
		verb string
		call func(s as, key string) error
	}{
		{"lock", func(s as, key string) error {
			_, err := s.Lock(ctx, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys(key)})
			return err
		}},
		{"lock", func(s as, key string) error {
			_, err := s.Unlock(ctx, holdfast.UnlockRequest{UID: "u", Tokens: []holdfast.Token{{Key: key, Version: 1}}})
			return err
		}},
		{"lock", func(s as, key string) error {
			_, err := s.Extend(ctx, holdfast.ExtendRequest{UID: "u", Tokens: []holdfast.Token{{Key: key, Version: 1}}})
			return err
		}},
		{"check", func(s as, key string) error { _, err := s.Check(ctx, []string{key}); return err }},
		{"list", func(s as, key string) error { _, err := s.Get(ctx, key); return err }},
		{"list", func(s as, key string) error { _, err := s.List(ctx, holdfast.ListRequest{Prefix: key}); return err }},
		{"watch", func(s as, key string) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			_, err := s.Watch(ctx, holdfast.WatchRequest{Prefix: key})
			return err
		}},
		{"force", func(s as, key string) error {
			_, err := s.Force(ctx, holdfast.ForceRequest{Key: key})
			return err
		}},
	}
	h := build(t)
	for _, verb := range VerbNames() {
		prefix := "a/"
		if verb == "admin" || verb == "metrics" {
			prefix = ""
		}
		s := h.let(verb, "", prefix+"="+verb)
		for i, call := range calls {
			if err := call.call(s, "a/x"); (err == nil) != (verb == call.verb) {
				t.Errorf("with %s, call %d, which needs %s: %v", verb, i, call.verb, err)
			}
			err := call.call(s, "b/x")
			if holdfast.ErrorCode(err) != holdfast.CodeForbidden || !strings.Contains(err.Error(), `"b/x"`) {
				t.Errorf("with %s, call %d on another key: %v", verb, i, err)
			}
		}
	}
	nobody := as{Guard(h.store), nil}
	stranger := &Caller{ring: h.ring}
	for i, call := range calls {
		for _, s := range []as{nobody, {Guard(h.store), stranger}} {
			if err := call.call(s, "a/x"); holdfast.ErrorCode(err) != holdfast.CodeUnauthenticated {
				t.Errorf("call %d of %v: %v", i, s.caller, err)
			}
		}
	}
	if _, err := Guard(h.store).Get(ctx, "a/x"); holdfast.ErrorCode(err) != holdfast.CodeUnauthenticated {
		t.Errorf("without a caller: %v", err)
	}
}

func TestOneKeyThatIsNotAllowedIsEnough(t *testing.T) {
	h := build(t)
	s := h.let("some", "", "a/=lock,check", "a/not/=")
	tokens := []holdfast.Token{{Key: "a/x", Version: 1}, {Key: "a/not/x", Version: 1}}
	_, lock := s.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("a/x", "a/not/x")})
	_, unlock := s.Unlock(t.Context(), holdfast.UnlockRequest{UID: "u", Tokens: tokens})
	_, extend := s.Extend(t.Context(), holdfast.ExtendRequest{UID: "u", Tokens: tokens})
	_, check := s.Check(t.Context(), []string{"a/x", "a/not/x"})
	for i, err := range []error{lock, unlock, extend, check} {
		if holdfast.ErrorCode(err) != holdfast.CodeForbidden || !strings.Contains(err.Error(), `key "a/not/x"`) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if page, err := h.store.List(t.Context(), holdfast.ListRequest{}); err != nil || len(page.Locks) > 0 {
		t.Errorf("locked %v, %v", page, err)
	}
}

func TestAMalformedRequestIsToldSo(t *testing.T) {
	s := build(t).let("none", "")
	_, lock := s.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("\x00")})
	_, unlock := s.Unlock(t.Context(), holdfast.UnlockRequest{UID: "u", Tokens: []holdfast.Token{{Key: "\x00"}}})
	_, extend := s.Extend(t.Context(), holdfast.ExtendRequest{})
	_, check := s.Check(t.Context(), []string{"\x00"})
	_, get := s.Get(t.Context(), "")
	_, list := s.List(t.Context(), holdfast.ListRequest{Limit: -1})
	_, watch := s.Watch(t.Context(), holdfast.WatchRequest{UID: "\x00"})
	_, force := s.Force(t.Context(), holdfast.ForceRequest{})
	for i, err := range []error{lock, unlock, extend, check, get, list, watch, force} {
		if holdfast.ErrorCode(err) != holdfast.CodeInvalid {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestUidsOfOthersAreRefused(t *testing.T) {
	h := build(t)
	s := h.let("billing", "billing-", all)
	for uid, allowed := range map[string]bool{"billing-1": true, "billing-": true, "billing": false, "web-1": false, "b": false} {
		_, lock := s.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: []holdfast.Ask{{Key: "k", Mode: holdfast.Shared}}})
		_, unlock := s.Unlock(t.Context(), holdfast.UnlockRequest{UID: uid, Tokens: []holdfast.Token{{Key: "k", Version: 1}}})
		_, extend := s.Extend(t.Context(), holdfast.ExtendRequest{UID: uid})
		for i, err := range []error{lock, unlock, extend} {
			if allowed != (err == nil) || !allowed && (holdfast.ErrorCode(err) != holdfast.CodeForbidden || !strings.Contains(err.Error(), uid)) {
				t.Errorf("%q, %d: %v", uid, i, err)
			}
		}
	}
}

func hold(t testing.TB, s holdfast.Service, uid string, keys ...string) {
	t.Helper()
	if _, err := s.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(keys...), Exp: time.Minute}); err != nil {
		t.Fatal(err)
	}
}

// A list, page by page, has exactly what is allowed, and names nothing else.
func TestAListShowsWhatIsAllowedOnly(t *testing.T) {
	store := memory.New()
	defer store.Close()
	keys := everyKey("ab", 4)
	for _, key := range keys {
		if _, err := store.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys(key), Exp: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		g := drawGrants(r)
		prefix := rapid.StringMatching("[ab]{0,2}").Draw(r, "prefix")
		limit := rapid.IntRange(1, 9).Draw(r, "limit")
		var want, got []string
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) && g.allow(List, key) {
				want = append(want, key)
			}
		}
		ring := NewKeyring(&File{Entries: []Entry{{Name: "n", Certificate: "c", Grants: g}}})
		ctx := With(t.Context(), ring.Certificate("c"))
		req := holdfast.ListRequest{Prefix: prefix, Limit: limit}
		for more := true; more; more = req.After != "" {
			page, err := Guard(store).List(ctx, req)
			if holdfast.ErrorCode(err) == holdfast.CodeForbidden && len(want) == 0 {
				return
			}
			if err != nil {
				r.Fatal(err)
			}
			for _, lock := range page.Locks {
				got = append(got, lock.Key)
			}
			if req.After = page.Next; page.Next != "" && !g.allow(List, page.Next) {
				r.Fatalf("names %q", page.Next)
			}
		}
		if !slices.Equal(got, want) {
			r.Fatalf("listed %q\nwant   %q", got, want)
		}
	})
}

// Who may see nothing at all is told so, and not that there is nothing.
func TestWhoMaySeeNothingIsToldSo(t *testing.T) {
	s := build(t).let("some", "", "a/=lock")
	_, list := s.List(t.Context(), holdfast.ListRequest{})
	_, watch := s.Watch(t.Context(), holdfast.WatchRequest{})
	for i, err := range []error{list, watch} {
		if holdfast.ErrorCode(err) != holdfast.CodeForbidden {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// What lies between is not walked through key by key.
func TestALongExceptionIsSkipped(t *testing.T) {
	h := build(t)
	s := h.let("some", "", "=list", "b/=")
	free := h.let("all", "", all)
	for i := range 5000 {
		hold(t, free, "u", fmt.Sprintf("b/%d", i))
	}
	hold(t, free, "u", "a", "c")
	counted := &counting{Service: h.store}
	page, err := as{Guard(counted), s.caller}.List(t.Context(), holdfast.ListRequest{Limit: 2})
	if err != nil || len(page.Locks) != 2 || page.Locks[1].Key != "c" || counted.lists > 3 {
		t.Errorf("%v, %v, after %d lists", page, err, counted.lists)
	}
}

// There is no key behind an exception whose prefix is nearly as long as a key may
// be: it is walked through.
func TestAnExceptionOnLongKeys(t *testing.T) {
	h := build(t)
	long := strings.Repeat("b", holdfast.MaxKey-2)
	s, free := h.let("some", "", "=list", long+"="), h.let("all", "", all)
	hold(t, free, "u", long+"1", long+"2", "c")
	page, err := s.List(t.Context(), holdfast.ListRequest{Limit: 1})
	if err != nil || len(page.Locks) != 1 || page.Locks[0].Key != "c" {
		t.Errorf("%v, %v", page, err)
	}
}

type counting struct {
	holdfast.Service
	lists int
}

func (c *counting) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	c.lists++
	return c.Service.List(ctx, req)
}

func TestEventsOfOtherKeysAreNotSeen(t *testing.T) {
	for _, grants := range [][]string{
		{"a/=watch"},
		{"a/=watch", "c/=watch"},
		{"=watch", "b/="},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := build(t)
			s, free := h.let("some", "", grants...), h.let("all", "", all)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			watched, err := s.Watch(ctx, holdfast.WatchRequest{})
			if err != nil {
				t.Fatal(err)
			}
			hold(t, free, "u", "b/1")
			hold(t, free, "u", "a/1")
			hold(t, free, "u", "b/2")
			hold(t, free, "u", "a/2")
			var seen []string
			for event, err := range watched {
				seen = append(seen, fmt.Sprint(event.Key, err))
				if len(seen) == 2 {
					cancel()
				}
			}
			if !slices.Equal(seen, []string{"a/1<nil>", "a/2<nil>"}) {
				t.Errorf("%q: saw %q", grants, seen)
			}
		})
	}
}

// telling is a service that misses some events, and then cannot be reached.
type telling struct {
	holdfast.Service
	err error
}

func (s telling) Watch(context.Context, holdfast.WatchRequest) (iter.Seq2[holdfast.Event, error], error) {
	return func(yield func(holdfast.Event, error) bool) {
		_ = yield(holdfast.Event{Type: holdfast.EventGap}, nil) && yield(holdfast.Event{}, s.err)
	}, nil
}

// That some are gone, and why there are no more, is told whatever keys may be seen.
func TestAGapAndTheEndAreSeen(t *testing.T) {
	h := build(t)
	s := h.let("some", "", "a/=watch", "c/=watch")
	errGone := holdfast.Unavailable(nil, "gone")
	watched, err := as{Guard(telling{h.store, errGone}), s.caller}.Watch(t.Context(), holdfast.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for event, err := range watched {
		seen = append(seen, fmt.Sprint(event.Type, err))
	}
	if want := []string{"gap<nil>", fmt.Sprint(errGone)}; !slices.Equal(seen, want) {
		t.Errorf("saw %q, not %q", seen, want)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Watch(ended, holdfast.WatchRequest{}); err != context.Canceled {
		t.Errorf("of a client that is gone: %v", err)
	}
}

func TestARevokedTokenEndsWhatIsUnderWay(t *testing.T) {
	h := build(t)
	s, free := h.let("some", "", all), h.let("all", "", all)
	watched, err := s.Watch(t.Context(), holdfast.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	h.file.Remove("some")
	h.ring.Use(h.file)
	hold(t, free, "u", "a")
	told := 0
	for event, err := range watched {
		if told++; holdfast.ErrorCode(err) != holdfast.CodeUnauthenticated || told > 1 {
			t.Fatalf("saw %v, %v", event, err)
		}
	}
	if told == 0 {
		t.Error("it is not told why there are no more events")
	}
	if _, err := s.Get(t.Context(), "a"); holdfast.ErrorCode(err) != holdfast.CodeUnauthenticated {
		t.Errorf("got %v", err)
	}
	if s.caller.Service(List) == nil {
		t.Error("it still has rights")
	}
	again := h.let("some", "", "b=list") // the same certificate, with less
	if _, err := s.Get(t.Context(), "a"); holdfast.ErrorCode(err) != holdfast.CodeForbidden || again.caller == nil {
		t.Errorf("got %v", err)
	}
}

// Of a circle one sees the keys that one may see, and the owners next to them.
func TestACircleIsVeiled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t)
		free := h.let("all", "", all)
		hold(t, free, "u1", "a/1")
		hold(t, free, "u2", "b/2")
		hold(t, free, "u3", "b/3")
		hold(t, free, "u4", "c/4")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, wait := range [][2]string{{"u2", "b/3"}, {"u3", "c/4"}, {"u4", "a/1"}} {
			go free.Lock(ctx, holdfast.LockRequest{UID: wait[0], Keys: holdfast.Keys(wait[1]), Wait: time.Hour})
			synctest.Wait()
		}
		close := holdfast.LockRequest{UID: "u1", Keys: holdfast.Keys("b/2"), Wait: time.Hour}
		for _, test := range []struct{ grants, want string }{
			{"=lock", "[{u1 b/2} {u2 b/3} {u3 c/4} {u4 a/1}]"},
			{"b/2=lock", "[{u1 b/2} {u2 (hidden)} {(hidden) (hidden)} {(hidden) (hidden)}]"},
			{"b/2=lock c/=list", "[{u1 b/2} {u2 (hidden)} {u3 c/4} {u4 (hidden)}]"},
			{"b/2=lock c/=force,watch,check", "[{u1 b/2} {u2 (hidden)} {(hidden) (hidden)} {(hidden) (hidden)}]"},
		} {
			_, err := h.let(test.grants, "", strings.Fields(test.grants)...).Lock(t.Context(), close)
			refusal, ok := err.(*holdfast.Error)
			if !ok || refusal.Code != holdfast.CodeDeadlock || fmt.Sprint(refusal.Cycle) != test.want {
				t.Errorf("%s: %v, want %s", test.grants, err, test.want)
			} else if strings.Contains(refusal.Message, "u3") != strings.Contains(test.want, "u3") {
				t.Errorf("%s: %s", test.grants, refusal.Message)
			}
		}
	})
}

func TestTheServiceAsAWhole(t *testing.T) {
	h := build(t)
	for _, test := range []struct {
		grants                 []string
		admin, metrics, either bool
	}{
		{[]string{all}, false, false, true},
		{[]string{"=admin"}, true, false, true},
		{[]string{"=metrics"}, false, true, false},
		{[]string{"=list"}, false, false, true},
		{[]string{"=list", "a="}, false, false, false},
		{[]string{"a=list"}, false, false, false},
		{nil, false, false, false},
	} {
		c := h.let(fmt.Sprint("name ", test.grants), "", test.grants...).caller
		for i, got := range []error{c.Service(Admin), c.Service(Metrics), c.Service(Admin | List)} {
			want := []bool{test.admin, test.metrics, test.either}[i]
			if want != (got == nil) || !want && holdfast.ErrorCode(got) != holdfast.CodeForbidden {
				t.Errorf("%q, %d: %v", test.grants, i, got)
			}
		}
	}
}

func TestWhoIsKnown(t *testing.T) {
	token, hash := NewToken()
	other, _ := NewToken()
	near := hash // as much of it as tokens are looked up by
	near[len(near)-1]++
	ring := NewKeyring(&File{Entries: []Entry{
		{Name: "near", SHA256: near}, {Name: "t", SHA256: hash}, {Name: "c", Certificate: "cn"}, {Name: "zero"},
	}})
	for _, test := range []struct {
		caller *Caller
		want   string
	}{
		{ring.Token(token), "t"},
		{ring.Token(other), ""},
		{ring.Token(token[:len(token)-1]), ""},
		{ring.Token(token + " "), ""},
		{ring.Token(""), ""},
		{ring.Token(string(hash[:])), ""},
		{ring.Certificate("cn"), "c"},
		{ring.Certificate("CN"), ""},
		{ring.Certificate("t"), ""},
		{ring.Certificate(""), ""},
	} {
		got := ""
		if test.caller != nil {
			got = test.caller.Name()
		}
		if got != test.want {
			t.Errorf("known as %q, want %q", got, test.want)
		}
	}
}
