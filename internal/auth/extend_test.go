package auth

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast"
)

func TestExtendWithoutTokensLeavesOutWhatIsNotAllowed(t *testing.T) {
	h := build(t)
	mine, both := h.let("mine", "", "a/=lock", "c/=lock"), h.let("both", "", all)
	for i := range holdfast.MaxPage + 1 {
		hold(t, both, "u", fmt.Sprintf("a/%04d", i))
	}
	for _, uid := range []string{"t", "u"} {
		ask := []holdfast.Ask{{Key: "a/shared", Mode: holdfast.Shared}}
		if _, err := both.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: ask, Exp: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	hold(t, both, "u", "b/1")
	hold(t, both, "u", "c/1")
	hold(t, both, "other", "a/other")
	got, err := mine.Extend(t.Context(), holdfast.ExtendRequest{UID: "u", Exp: time.Hour})
	if err != nil || len(got.Tokens) != holdfast.MaxPage+3 || got.Lost != nil || got.Exp < time.Hour/2 {
		t.Fatalf("%d tokens, lost %v, exp %v, %v", len(got.Tokens), got.Lost, got.Exp, err)
	}
	for _, token := range got.Tokens {
		if strings.HasPrefix(token.Key, "b/") || token.Key == "a/other" {
			t.Errorf("extended %v", token)
		}
	}
	left := func(key string) time.Duration {
		lock, err := h.store.Get(t.Context(), key)
		if err != nil || len(lock.Holders) != 1 {
			t.Fatal(lock, err)
		}
		return lock.Holders[0].Exp
	}
	if left("b/1") > time.Minute || left("c/1") < time.Hour/2 || left("a/other") > time.Minute {
		t.Errorf("b/1: %v, c/1: %v, a/other: %v", left("b/1"), left("c/1"), left("a/other"))
	}
}

// failing is a service that extends once, and then cannot be reached.
type failing struct {
	holdfast.Service
	extended int
	down     bool // nor can it list
}

func (f *failing) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	if f.down {
		return holdfast.Page{}, holdfast.Unavailable(nil, "no leader")
	}
	return f.Service.List(ctx, req)
}

func (f *failing) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	if f.extended++; f.extended > 1 {
		return holdfast.Extension{}, holdfast.Unavailable(nil, "no leader")
	}
	return f.Service.Extend(ctx, req)
}

// What a caller may not extend all of is extended in parts: some may be done when
// the next one fails.
func TestAnExtensionThatIsHalfDoneSaysSo(t *testing.T) {
	h := build(t)
	free := h.let("free", "", all)
	some := h.let("some", "", "k=lock")
	service := &failing{Service: h.store}
	some.service = Guard(service)
	for i := range holdfast.MaxKeys + 1 {
		hold(t, free, "u", fmt.Sprint("k", i))
	}
	_, err := some.Extend(t.Context(), holdfast.ExtendRequest{UID: "u"})
	if refusal, ok := err.(*holdfast.Error); !ok || !refusal.OutcomeUnknown {
		t.Errorf("after one part: %#v", err)
	}
	_, err = some.Extend(t.Context(), holdfast.ExtendRequest{UID: "u"})
	if refusal, ok := err.(*holdfast.Error); !ok || refusal.OutcomeUnknown {
		t.Errorf("after none: %#v", err)
	}
	service.down = true
	_, err = some.Extend(t.Context(), holdfast.ExtendRequest{UID: "u"})
	if refusal, ok := err.(*holdfast.Error); !ok || refusal.OutcomeUnknown {
		t.Errorf("without a list: %#v", err)
	}
}

// fading is a service that extends one part after the other for these times; with
// none, the holds of the part have just ended.
type fading struct {
	holdfast.Service
	exps []time.Duration
}

func (f *fading) Extend(_ context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	exp := f.exps[0]
	f.exps = f.exps[1:]
	if exp == 0 {
		return holdfast.Extension{Lost: req.Tokens}, nil
	}
	return holdfast.Extension{Tokens: req.Tokens, Exp: exp}, nil
}

func TestAnExtensionInPartsTellsWhatIsLeft(t *testing.T) {
	h := build(t)
	free := h.let("free", "", all)
	some := h.let("some", "", "k=lock")
	for i := range holdfast.MaxKeys + 1 {
		hold(t, free, "u", fmt.Sprint("k", i))
	}
	for _, test := range []struct{ first, second, want time.Duration }{
		{0, time.Hour, time.Hour},
		{time.Hour, 0, time.Hour},
		{time.Hour, 2 * time.Hour, time.Hour},
		{2 * time.Hour, time.Hour, time.Hour},
		{0, 0, 0},
	} {
		some.service = Guard(&fading{h.store, []time.Duration{test.first, test.second}})
		got, err := some.Extend(t.Context(), holdfast.ExtendRequest{UID: "u", Exp: 2 * time.Hour})
		extended := 0
		if test.first > 0 {
			extended += holdfast.MaxKeys
		}
		if test.second > 0 {
			extended++
		}
		if err != nil || len(got.Tokens) != extended || got.Exp != test.want {
			t.Errorf("%v and %v: %d extended, not %d, %v left, %v", test.first, test.second, len(got.Tokens), extended, got.Exp, err)
		}
	}
}
