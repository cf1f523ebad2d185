package ui_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/api"
	"holdfast/internal/memory"
)

// site is a server over a memory store. It can go away and come back.
type site struct {
	t       testing.TB
	store   *memory.Store
	address string                          // is set once: tabs read it while the site goes and comes
	wrap    func(http.Handler) http.Handler // may answer before the service does
	down    func()
}

// refuse answers in the place of the service.
func refuse(w http.ResponseWriter, status int, answer string) {
	w.WriteHeader(status)
	io.WriteString(w, answer)
}

// serve starts a site.
func serve(t testing.TB, wrap ...func(http.Handler) http.Handler) *site {
	t.Helper()
	s := &site{t: t, store: memory.New(), wrap: func(h http.Handler) http.Handler { return h }}
	for _, w := range wrap {
		s.wrap = w
	}
	t.Cleanup(func() { s.store.Close() })
	s.up()
	t.Cleanup(func() { s.down() })
	return s
}

// up has the site answer, at the address that it had before.
func (s *site) up() {
	s.t.Helper()
	listener, err := net.Listen("tcp", cmp.Or(s.address, "127.0.0.1:0"))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.address == "" {
		s.address = listener.Addr().String()
	}
	handler := api.New(s.store, api.Options{Count: s.store.Count, Logger: slog.New(slog.DiscardHandler)})
	server := &http.Server{Handler: s.wrap(handler), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go server.Serve(listener)
	s.down = func() {
		handler.Stop()
		server.Close()
	}
}

func (s *site) url(path string) string { return "http://" + s.address + path }

type fields map[string]any

// post asks as a plain HTTP client does.
func (s *site) post(ctx context.Context, path string, body fields, answer any) error {
	sent, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url(path), bytes.NewReader(sent))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(content, answer)
}

// lock locks keys for ten minutes, and gives the function that unlocks them.
func (s *site) lock(uid, note string, keys ...string) (unlock func()) {
	s.t.Helper()
	return s.lockFor(10*time.Minute, uid, note, keys...)
}

func (s *site) lockFor(exp time.Duration, uid, note string, keys ...string) (unlock func()) {
	s.t.Helper()
	var grant struct{ Tokens []holdfast.Token }
	err := s.post(s.t.Context(), "/lock", fields{"uid": uid, "keys": keys, "exp": exp.Milliseconds(), "note": note}, &grant)
	if err != nil || len(grant.Tokens) != len(keys) {
		s.t.Fatalf("not locked: %v %v", grant, err)
	}
	return func() {
		s.t.Helper()
		if err := s.post(s.t.Context(), "/unlock", fields{"uid": uid, "tokens": grant.Tokens}, nil); err != nil {
			s.t.Fatal(err)
		}
	}
}

// waits stands in line for keys, and gives the function that leaves it.
func (s *site) waits(uid, note string, keys ...string) (leave func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	go s.post(ctx, "/lock", fields{"uid": uid, "keys": keys, "exp": 600_000, "wait": 600_000, "note": note}, nil)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		lock, err := s.store.Get(s.t.Context(), keys[0])
		if err != nil {
			s.t.Fatal(err)
		}
		for _, waiter := range lock.Waiters {
			if waiter.UID == uid {
				return cancel
			}
		}
	}
	s.t.Fatalf("%s does not stand in line", uid)
	return nil
}
