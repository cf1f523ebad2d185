package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/api"
	"holdfast/internal/memory"
)

// Whatever the body of a call is, it is answered with JSON in one of the
// documented ways, and a refusal as invalid changes nothing.
func FuzzBody(f *testing.F) {
	paths := []string{"/lock", "/unlock", "/extend", "/check"}
	for i, body := range []string{
		`{"uid":"u","keys":"free"}`,
		`{"uid":"u","tokens":[{"key":"held","version":1}]}`,
		`{"uid":"holder","exp":86400000}`,
		`{"keys":["held","free"]}`,
		`{"uid":"u","keys":["held",{"key":"free","mode":"shared","limit":3}],"wait":1,"note":"n"}`,
		`{"uid":"holder","tokens":[]}`,
		`{"uid":"holder","tokens":[],"exp":0}`,
		`{"keys":[]}`,
		`{"uid":"holder","keys":"held","mode":"shared"}`,
		`{"uid":"u","keys":"a","extra":1}`, `{"uid":"\ud800","keys":"a"}`, `{`, ``, `[]`, `null`, "\xff\xfe",
	} {
		f.Add(uint8(i), []byte(body))
	}
	store := memory.New()
	f.Cleanup(func() { store.Close() })
	handler := api.New(store, api.Options{Logger: slog.New(slog.DiscardHandler)})
	if _, err := store.Lock(f.Context(), holdfast.LockRequest{UID: "holder", Keys: holdfast.Keys("held"), Exp: holdfast.MaxExp}); err != nil {
		f.Fatal(err)
	}
	state := func(t *testing.T) string {
		page, err := store.List(t.Context(), holdfast.ListRequest{Limit: holdfast.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, l := range page.Locks {
			for _, h := range l.Holders {
				if h.Exp > time.Minute { // others may end at any moment
					all = append(all, fmt.Sprint(l.Key, h.UID, h.Version, h.Mode, h.Limit, h.Note))
				}
			}
		}
		return fmt.Sprint(all)
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		path := paths[int(which)%len(paths)]
		before := state(t)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // it may ask to wait for a day
		defer cancel()
		request := httptest.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body))
		answer := httptest.NewRecorder()
		func() {
			defer func() {
				if r := recover(); r != nil && r != http.ErrAbortHandler {
					panic(r)
				}
			}()
			handler.ServeHTTP(answer, request)
		}()
		if ctx.Err() != nil {
			return // nobody is there any more to be answered
		}
		status := answer.Code
		if !slices.Contains([]int{200, 400, 409, 413, 429}, status) {
			t.Fatalf("%s %q: status %d: %s", path, body, status, answer.Body)
		}
		var said struct{ Error, Message string }
		if err := json.Unmarshal(answer.Body.Bytes(), &said); err != nil {
			t.Fatalf("%s %q: %v: %s", path, body, err, answer.Body)
		}
		if (status == 200) != (said.Error == "") || (said.Error == "") != (said.Message == "") {
			t.Fatalf("%s %q: status %d with %s", path, body, status, answer.Body)
		}
		if after := state(t); status == 400 && after != before {
			t.Fatalf("%s %q: refused, and yet\n%s\nbecame\n%s", path, body, before, after)
		}
	})
}
