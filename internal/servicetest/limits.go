package servicetest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// Limits proves that a service keeps its limits: what is at one is let in,
// what is one beyond is refused with CodeLimit and changes nothing, and
// nobody else notices. open opens an empty one with these limits.
func Limits(t *testing.T, open func(t *testing.T, limits table.Limits) holdfast.Service) {
	for _, test := range []struct {
		name   string
		limits table.Limits
		wait   bool // in line behind "holder", or at once
		keys   func(i int) string
		uid    func(i int) string
		word   string
	}{
		{"holds", table.Limits{Holds: 4}, false, numbered("k"), numbered("u"), "holds: at most 4"},
		{"holds of a uid", table.Limits{HoldsOfUID: 4}, false, numbered("k"), same("u"), "holds of a uid: "},
		{"waiters of a uid", table.Limits{WaitersOfUID: 4}, true, numbered("k"), same("u"), "waiters of a uid: "},
		{"waiters of a key", table.Limits{WaitersOfKey: 4}, true, same("k0"), numbered("u"), "waiters of a key: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, test.limits)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.wait {
				for i := range 6 {
					must(t, s, holdfast.LockRequest{UID: "holder", Keys: holdfast.Keys(fmt.Sprintf("k%d", i)), Exp: time.Hour})
				}
			}
			ask := func(i int) error {
				req := holdfast.LockRequest{UID: test.uid(i), Keys: holdfast.Keys(test.keys(i)), Exp: time.Hour}
				if !test.wait {
					_, err := s.Lock(ctx, req)
					return err
				}
				req.Wait = time.Hour
				done := make(chan error, 1)
				go func() {
					_, err := s.Lock(ctx, req)
					done <- err
				}()
				for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
					select {
					case err := <-done:
						return err
					default:
					}
					lock, err := s.Get(ctx, test.keys(i))
					if err != nil {
						return err
					}
					for _, w := range lock.Waiters {
						if w.UID == req.UID {
							return nil
						}
					}
				}
				return fmt.Errorf("neither in line nor refused")
			}
			for i := range 4 {
				if err := ask(i); err != nil {
					t.Fatalf("%d, within the limit: %v", i+1, err)
				}
			}
			before := picture(t, s)
			err := ask(4)
			if holdfast.ErrorCode(err) != holdfast.CodeLimit || !strings.Contains(err.Error(), test.word) {
				t.Fatalf("one beyond: %v", err)
			}
			if e := err.(*holdfast.Error); e.RetryAfter <= 0 {
				t.Error("no word of when to ask again")
			}
			if after := picture(t, s); after != before {
				t.Errorf("changed from %s\nto %s", before, after)
			}
			if err := ask(3); err != nil {
				t.Errorf("the same again: %v", err)
			}
			if test.limits.Holds == 0 {
				must(t, s, holdfast.LockRequest{UID: "bystander", Keys: holdfast.Keys("free"), Exp: time.Hour})
			}
		})
	}
}

// InTurn is a service that gives locks and looks in turn to services that
// share one state.
func InTurn(services ...holdfast.Service) holdfast.Service {
	return &inTurn{Service: services[0], services: services}
}

type inTurn struct {
	holdfast.Service
	services []holdfast.Service
	next     atomic.Uint64
}

func (s *inTurn) turn() holdfast.Service {
	return s.services[s.next.Add(1)%uint64(len(s.services))]
}

func (s *inTurn) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	return s.turn().Lock(ctx, req)
}

func numbered(name string) func(int) string {
	return func(i int) string { return fmt.Sprint(name, i) }
}

func same(name string) func(int) string { return func(int) string { return name } }

func must(t *testing.T, s holdfast.Service, req holdfast.LockRequest) {
	t.Helper()
	if _, err := s.Lock(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

// picture is who holds and who waits, in words.
func picture(t *testing.T, s holdfast.Service) string {
	t.Helper()
	page, err := s.List(t.Context(), holdfast.ListRequest{Limit: holdfast.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, lock := range page.Locks {
		fmt.Fprintf(&b, "%s:", lock.Key)
		for _, h := range lock.Holders {
			fmt.Fprintf(&b, " %s@%d", h.UID, h.Version)
		}
		for _, w := range lock.Waiters {
			fmt.Fprintf(&b, " %s", w.UID)
		}
		b.WriteString("; ")
	}
	return b.String()
}
