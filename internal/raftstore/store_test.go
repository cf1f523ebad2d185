package raftstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := Open(ctx, Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), KeepPlaces: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func lock(t testing.TB, s holdfast.Service, req holdfast.LockRequest) holdfast.Grant {
	t.Helper()
	grant, err := s.Lock(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return grant
}

// Rule 10 and what rule 7 says of a restart.
func TestWhatWasAnsweredIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	kept := lock(t, first, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("kept"), Exp: time.Hour, Note: "why"})
	freed := lock(t, first, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("freed"), Exp: time.Hour})
	if keys, err := first.Unlock(t.Context(), holdfast.UnlockRequest{UID: "a", Tokens: freed.Tokens}); err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := open(t, dir)
	state, err := second.Get(t.Context(), "kept")
	if err != nil || len(state.Holders) != 1 {
		t.Fatal(state, err)
	}
	h := state.Holders[0]
	if h.UID != "a" || h.Version != kept.Tokens[0].Version || h.Note != "why" || h.Exp < 59*time.Minute {
		t.Fatalf("%+v", h)
	}
	if held, err := second.Check(t.Context(), []string{"freed"}); err != nil || held {
		t.Fatal(held, err)
	}
	next := lock(t, second, holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("new"), Exp: time.Minute})
	if next.Tokens[0].Version <= freed.Tokens[0].Version {
		t.Fatalf("version %d after %d", next.Tokens[0].Version, freed.Tokens[0].Version)
	}
}

// Rule 9: the places in line outlive a restart for clients that come back,
// and for no others.
func TestPlacesAreKeptForThoseWhoComeBack(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	holder := lock(t, first, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	back := holdfast.LockRequest{UID: "back", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour}
	gone := holdfast.LockRequest{UID: "gone", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour}
	var away sync.WaitGroup
	for i, req := range []holdfast.LockRequest{gone, back} {
		away.Go(func() {
			if _, err := first.Lock(t.Context(), req); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
				t.Errorf("answer: %v", err)
			}
		})
		await(t, first, "x", func(l holdfast.Lock) bool { return len(l.Waiters) == i+1 })
	}
	first.Close()
	away.Wait()

	second := open(t, dir)
	late := make(chan holdfast.Grant, 1)
	returned := make(chan holdfast.Grant, 1)
	go func() {
		late <- lock(t, second, holdfast.LockRequest{UID: "late", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour})
	}()
	await(t, second, "x", func(l holdfast.Lock) bool { return len(l.Waiters) == 3 })
	go func() { returned <- lock(t, second, back) }()
	await(t, second, "x", func(l holdfast.Lock) bool { return len(l.Waiters) == 2 }) // gone has been left out
	if _, err := second.Unlock(t.Context(), holdfast.UnlockRequest{UID: "a", Tokens: holder.Tokens}); err != nil {
		t.Fatal(err)
	}
	grant := <-returned
	select {
	case <-late:
		t.Fatal("who came later went first")
	default:
	}
	second.Unlock(t.Context(), holdfast.UnlockRequest{UID: "back", Tokens: grant.Tokens})
	<-late
}

// Who stands in line when the service stops, or does not lead any more, is told
// that it may yet be granted: its place is there still.
func TestWhoIsSentAwayMayStillBeGranted(t *testing.T) {
	sendAway := map[string]func(*Store, *badDisk){
		"the service stops": func(s *Store, _ *badDisk) { s.Stop() },
		"the leader steps down": func(s *Store, d *badDisk) {
			d.full.Store(true)
			s.Lock(t.Context(), holdfast.LockRequest{UID: "c", Keys: holdfast.Keys("y")})
		},
	}
	for name, sendAway := range sendAway {
		t.Run(name, func(t *testing.T) {
			d := &badDisk{}
			s := openOn(t, d, 0)
			lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
			answer := make(chan error, 1)
			go func() {
				_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Wait: time.Hour})
				answer <- err
			}()
			await(t, s, "x", func(l holdfast.Lock) bool { return len(l.Waiters) == 1 })
			sendAway(s, d)
			err := <-answer
			refusal, ok := errors.AsType[*holdfast.Error](err)
			if !ok || refusal.Code != holdfast.CodeUnavailable || !refusal.OutcomeUnknown {
				t.Fatalf("answer: %#v", err)
			}
		})
	}
}

// What a kept place was granted while its client was away is taken back.
func TestAGrantToAnEmptyPlaceIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	holder := lock(t, first, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	var away sync.WaitGroup
	away.Go(func() {
		first.Lock(t.Context(), holdfast.LockRequest{UID: "gone", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour})
	})
	await(t, first, "x", func(l holdfast.Lock) bool { return len(l.Waiters) == 1 })
	first.Close()
	away.Wait()

	second := open(t, dir)
	if _, err := second.Unlock(t.Context(), holdfast.UnlockRequest{UID: "a", Tokens: holder.Tokens}); err != nil {
		t.Fatal(err)
	}
	await(t, second, "x", func(l holdfast.Lock) bool { return len(l.Holders) == 0 && len(l.Waiters) == 0 })
}

func TestASnapshotAndTheLogBehindItGiveTheSameTable(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	rng := rand.New(rand.NewPCG(3, 4))
	some := func(n int) {
		for range n {
			uid, key := fmt.Sprint("u", rng.IntN(20)), fmt.Sprint("k", rng.IntN(50))
			first.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(key), Exp: time.Hour})
			if rng.IntN(3) == 0 {
				first.Force(t.Context(), holdfast.ForceRequest{Key: key})
			}
		}
	}
	some(300)
	if err := first.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	some(300)
	want := contents(t, first)
	first.Close()
	if got := contents(t, open(t, dir)); got != want {
		t.Fatalf("before:\n%s\nafter:\n%s", want, got)
	}
}

func TestASecondProcessIsKeptOut(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := Open(t.Context(), Options{Dir: dir}); err == nil {
		t.Fatal("two stores over one directory")
	}
}

// Extensions that make no life longer cost no entry in the log.
func TestExtensionsStayOffTheLog(t *testing.T) {
	s := open(t, t.TempDir())
	req := holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Minute}
	lock(t, s, req)
	before := s.raft.LastIndex()
	for range 10 {
		lock(t, s, req)
		if e, err := s.Extend(t.Context(), holdfast.ExtendRequest{UID: "a", Exp: time.Second}); err != nil || e.Exp < 59*time.Second {
			t.Fatal(e, err)
		}
	}
	if n := s.raft.LastIndex() - before; n != 0 {
		t.Fatalf("%d entries", n)
	}
	if _, err := s.Extend(t.Context(), holdfast.ExtendRequest{UID: "a", Exp: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if n := s.raft.LastIndex() - before; n != 1 {
		t.Fatalf("%d entries for a longer life", n)
	}
}

// A request whose caller has gone leaves nothing behind, however far it had
// got.
func TestAnAbandonedRequestLeavesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	for range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(400))*time.Microsecond)
		_, err := s.Lock(ctx, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour})
		cancel()
		if err == nil {
			s.Force(t.Context(), holdfast.ForceRequest{Key: "x"})
		}
		await(t, s, "x", func(l holdfast.Lock) bool { return len(l.Holders) == 0 && len(l.Waiters) == 0 })
	}
}

// await waits until the state of a key is as wanted.
func await(t *testing.T, s *Store, key string, wanted func(holdfast.Lock) bool) {
	t.Helper()
	var state holdfast.Lock
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		var err error
		if state, err = s.Get(t.Context(), key); err == nil && wanted(state) {
			return
		}
	}
	t.Fatalf("key %q never came to the wanted state: %+v", key, state)
}

// contents is everything that a list shows, times left out.
func contents(t *testing.T, s *Store) string {
	t.Helper()
	page, err := s.List(t.Context(), holdfast.ListRequest{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var all string
	for _, l := range page.Locks {
		for _, h := range l.Holders {
			all += fmt.Sprintln(l.Key, h.UID, h.Version, h.Mode, h.Note)
		}
	}
	return all
}

// However late a command comes, it is answered.
func TestCommandsAreAnsweredWhileTheStoreIsClosed(t *testing.T) {
	for range 30 {
		s := open(t, t.TempDir())
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for {
					cmd := table.Command{Op: table.Lock, UID: fmt.Sprint(i), Keys: holdfast.Keys(fmt.Sprint(i)), Exp: time.Hour}
					if _, err := s.propose(context.Background(), cmd); err != nil {
						return
					}
				}
			})
		}
		s.Close()
		all.Wait()
	}
}

// What a store that is closed has in memory is not told any more.
func TestAClosedStoreIsNotRead(t *testing.T) {
	s := open(t, t.TempDir())
	lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	if err := (log{s}).Verify(t.Context()); err != nil {
		t.Fatalf("before: %v", err)
	}
	s.Close()
	_, err := s.Get(t.Context(), "x")
	for what, err := range map[string]error{"verify": (log{s}).Verify(t.Context()), "get": err, "backup": s.Backup(t.Context(), io.Discard)} {
		if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Who opens a store does not wait for longer than it wants to, and leaves
// nothing open.
func TestOpeningEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	d := &badDisk{}
	d.full.Store(true) // so that it never leads
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), openStorage: d.storage})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("opened on a full disk: %v", err)
	}
	open(t, dir)
}
