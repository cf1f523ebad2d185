package fence_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/fence"
)

// next counts how often it was let through to.
type next int

func (n *next) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	*n++
	fmt.Fprint(w, "done")
}

// show makes a request that shows tokens.
func show(shown ...holdfast.Token) *http.Request {
	r := httptest.NewRequest("PUT", "/invoice/2031", nil)
	fence.SetTokens(r.Header, shown...)
	return r
}

func serve(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// wantRefused sees to it that the answer is a refusal in the service's shape.
func wantRefused(t *testing.T, what string, answer *http.Response, status int, code holdfast.Code, message string) {
	t.Helper()
	var body map[string]string
	whole := json.NewDecoder(answer.Body)
	if err := whole.Decode(&body); err != nil || whole.More() {
		t.Errorf("%s: %s, and the body is not JSON alone: %v", what, answer.Status, err)
		return
	}
	if answer.StatusCode != status || body["error"] != string(code) || !strings.Contains(body["message"], message) || len(body) != 2 {
		t.Errorf("%s: %s %q; want %d, %s, %q", what, answer.Status, body, status, code, message)
	}
	if got := answer.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s: Content-Type %q", what, got)
	}
	if got := answer.Header.Get("Retry-After"); (got != "") != (status == http.StatusServiceUnavailable) {
		t.Errorf("%s: Retry-After %q", what, got)
	}
}

func wantPassed(t *testing.T, what string, answer *http.Response) {
	t.Helper()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("%s: %s; want 200", what, answer.Status)
	}
}

func TestARequestOfAnOlderVersionIsRefused(t *testing.T) {
	var passed next
	h := &fence.Handler{Gate: new(fence.Guard), Next: &passed}
	wantPassed(t, "the old owner, in time", serve(h, show(token("a", 5))))
	wantPassed(t, "the new owner", serve(h, show(token("a", 7), token("b", 7))))
	wantRefused(t, "the latecomer", serve(h, show(token("a", 6))),
		409, fence.CodeStale, `key "a": version 6 is older than the newest seen, 7`)
	wantRefused(t, "one of two is late", serve(h, show(token("c", 6), token("b", 6))), 409, fence.CodeStale, `key "b"`)
	wantPassed(t, "the new owner again", serve(h, show(token("a", 7))))
	wantPassed(t, "the one that was not late, alone", serve(h, show(token("c", 5))))
	if passed != 4 {
		t.Errorf("%d requests were let through; want 4", passed)
	}
}

func TestARequestWithoutATokenIsRefusedUnlessOptional(t *testing.T) {
	var passed next
	guard := new(fence.Guard)
	strict := &fence.Handler{Gate: guard, Next: &passed}
	wantRefused(t, "no token", serve(strict, show()), 400, holdfast.CodeInvalid, "Holdfast-Token: a token is needed")
	if passed != 0 {
		t.Error("it was let through")
	}
	lax := &fence.Handler{Gate: guard, Next: &passed, Optional: true, Keys: func(*http.Request) []string { return []string{"a"} }}
	wantPassed(t, "no token, optional", serve(lax, show()))
	wantPassed(t, "a token, optional", serve(lax, show(token("a", 2))))
	wantRefused(t, "a stale token, optional", serve(lax, show(token("a", 1))), 409, fence.CodeStale, `key "a"`)
	empty := show()
	empty.Header.Set(fence.Header, "")
	wantRefused(t, "an empty header, optional", serve(lax, empty), 400, holdfast.CodeInvalid, fence.Header)
	if passed != 2 {
		t.Errorf("%d requests were let through; want 2", passed)
	}
}

func TestATokenForAnotherKeyIsNotEnough(t *testing.T) {
	var passed next
	h := &fence.Handler{Gate: new(fence.Guard), Next: &passed, Keys: func(r *http.Request) []string {
		return []string{strings.TrimPrefix(r.URL.Path, "/"), "books"}
	}}
	wantRefused(t, "another key", serve(h, show(token("books", 2), token("invoice/7", 2))),
		400, holdfast.CodeInvalid, `a token for key "invoice/2031" is needed`)
	wantPassed(t, "the keys, and one more", serve(h, show(token("x", 2), token("books", 2), token("invoice/2031", 1))))
	if passed != 1 {
		t.Errorf("%d requests were let through; want 1", passed)
	}
}

func TestMalformedHeadersAreRefused(t *testing.T) {
	for _, value := range []string{
		"", "a", "=1", "a=", "a=x", "a=-1", "a=1.0", "a=0x10", "a=0", "a=1,", ",a=1", "%=1", "%zz=1", "%00=1", "%ff=1",
		"a=9007199254740992", "a=99999999999999999999", "a=1,a=2", strings.Repeat("k", 513) + "=1", "a b", "1 a",
	} {
		t.Run(value[:min(len(value), 30)], func(t *testing.T) {
			var passed next
			r := show()
			r.Header.Set(fence.Header, value)
			answer := serve(&fence.Handler{Gate: new(fence.Guard), Next: &passed}, r)
			wantRefused(t, value, answer, 400, holdfast.CodeInvalid, "")
			if passed != 0 {
				t.Error("it was let through")
			}
		})
	}
}

func TestTokensMayComeInOneHeaderOrInSeveral(t *testing.T) {
	header := http.Header{}
	header.Add(fence.Header, "b=2 ,\ta=b=1")
	header.Add(fence.Header, "%c3%A4%2Cx=3,b=2")
	got, err := fence.Tokens(header)
	if wanted := tokens(token("a=b", 1), token("b", 2), token("ä,x", 3)); err != nil || !slices.Equal(got, wanted) {
		t.Errorf("%v, %v; want %v", got, err, wanted)
	}
	fence.SetTokens(header, token("n", 4))
	if got, err := fence.Tokens(header); err != nil || !slices.Equal(got, tokens(token("n", 4))) {
		t.Errorf("set anew: %v, %v", got, err)
	}
	fence.SetTokens(header)
	if got, err := fence.Tokens(header); err != nil || got != nil {
		t.Errorf("set to none: %v, %v", got, err)
	}
}

// Whatever can be locked can be shown, through a real client and server.
func TestEveryKeyTravels(t *testing.T) {
	keys := []string{
		"a", "a/b", "a//b", "..", "%", "%2F", "%252f", " ", " a ", "a,b", "a=1", "=", "a=1,b=2", `"`, "\\", ";", "+", "?", "#", "äöü", "世界", "🔒", "\u2028",
		strings.Repeat("世", holdfast.MaxKey/3), strings.Repeat("=", holdfast.MaxKey),
	}
	for c := rune(0x20); c < 0x100; c++ {
		if key := string(c); holdfast.ValidKey(key) == nil {
			keys = append(keys, "x"+key+key)
		}
	}
	var got []holdfast.Token
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if got, err = fence.Tokens(r.Header); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	send := func(shown []holdfast.Token) {
		r, err := http.NewRequest("GET", server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		fence.SetTokens(r.Header, shown...)
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatalf("%v: %v", shown, err)
		}
		answer.Body.Close()
		if !slices.Equal(got, shown) {
			t.Errorf("shown %v, read %v", shown, got)
		}
	}
	slices.Sort(keys)
	var all []holdfast.Token
	for i, key := range slices.Compact(keys) {
		one := token(key, holdfast.VersionEnd-1-uint64(i))
		send(tokens(one))
		all = append(all, one)
	}
	send(all)
}

// What is read from any header can be shown again, and reads the same.
func FuzzTokens(f *testing.F) {
	f.Add("a=1")
	f.Add("invoice/2031=17, %c3%a4=18")
	f.Add("a=1=2,%2c%3d=9007199254740991")
	f.Fuzz(func(t *testing.T, value string) {
		header := http.Header{fence.Header: {value}}
		read, err := fence.Tokens(header)
		if err != nil {
			if holdfast.ErrorCode(err) != holdfast.CodeInvalid {
				t.Fatalf("%q: %v", value, err)
			}
			return
		}
		fence.SetTokens(header, read...)
		if again, err := fence.Tokens(header); err != nil || !slices.Equal(again, read) {
			t.Fatalf("%q: read %v, then %v, %v", value, read, again, err)
		}
	})
}

// An old owner's request that has passed is answered before the new owner's is
// let through; the check alone would let both write at once.
func TestHandlersOfOneKeyRunOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []string
		h := &fence.Handler{Gate: new(fence.Guard), Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			shown, _ := fence.Tokens(r.Header)
			steps = append(steps, fmt.Sprint(shown[0].Version, " begins"))
			time.Sleep(time.Minute)
			steps = append(steps, fmt.Sprint(shown[0].Version, " ends"))
		})}
		var all sync.WaitGroup
		all.Go(func() { wantPassed(t, "the old owner", serve(h, show(token("a", 1)))) })
		synctest.Wait()
		all.Go(func() { wantPassed(t, "the new owner", serve(h, show(token("a", 2)))) })
		synctest.Wait()
		all.Go(func() {
			wantRefused(t, "the latecomer", serve(h, show(token("a", 1))), 409, fence.CodeStale, "")
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantRefused(t, "who does not wait so long", serve(h, show(token("a", 9)).WithContext(ctx)), 503, holdfast.CodeUnavailable, "")
		all.Wait()
		if wanted := []string{"1 begins", "1 ends", "2 begins", "2 ends"}; !slices.Equal(steps, wanted) {
			t.Errorf("%q; want %q", steps, wanted)
		}
	})
}

// gate is a Gate that fails before or after it lets a function run.
type gate struct{ before, after error }

func (g gate) Do(_ context.Context, _ []holdfast.Token, fn func() error) error {
	if g.before != nil {
		return g.before
	}
	return errors.Join(fn(), g.after)
}

func TestNothingPassesAGateThatFails(t *testing.T) {
	var passed next
	secret := errors.New("dial 10.0.0.7: refused")
	answer := serve(&fence.Handler{Gate: gate{before: secret}, Next: &passed}, show(token("a", 1)))
	wantRefused(t, "a gate that fails", answer, 503, holdfast.CodeUnavailable, "the tokens could not be checked")
	if answer.Header.Get("Retry-After") != "1" {
		t.Error("it does not say when to ask again")
	}
	wantRefused(t, "a gate out of reach", serve(&fence.Handler{Gate: gate{before: holdfast.Unavailable(secret, "no leader")}, Next: &passed}, show(token("a", 1))),
		503, holdfast.CodeUnavailable, "the tokens could not be checked")
	late := fmt.Errorf("elsewhere: %w", fence.ErrStale)
	wantRefused(t, "a gate that refuses", serve(&fence.Handler{Gate: gate{before: late}, Next: &passed}, show(token("a", 1))),
		409, fence.CodeStale, "elsewhere")
	if passed != 0 {
		t.Error("it was let through")
	}
}

func TestAnAnswerIsTakenBackWhenTheGateFailsAfterIt(t *testing.T) {
	var passed next
	server := httptest.NewServer(&fence.Handler{Gate: gate{after: errors.New("commit failed")}, Next: &passed})
	defer server.Close()
	r, err := http.NewRequest("PUT", server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	fence.SetTokens(r.Header, token("a", 1))
	if answer, err := server.Client().Do(r); err == nil {
		t.Errorf("the client was told %s", answer.Status)
		answer.Body.Close()
	}
	server.Close()
	if passed == 0 {
		t.Error("the request never came through: the test shows nothing")
	}
}
