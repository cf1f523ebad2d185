package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
	"holdfast/internal/redistest"
)

// crowd is more than a script may look at when it is about one of them: while it
// runs, Redis serves nobody else.
const crowd = 500

// laborious gives a store without a keeper, whose scripts count how often they call
// a function.
func laborious(t *testing.T, function string) (s *Store, work func() int) {
	t.Helper()
	server := redistest.Start(t)
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{server.Addr()}, DisableCache: true, ForceSingleClient: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s = &Store{root: roots("holdfast", 0), id: "here", options: Options{Timeout: time.Minute}, counts: newCounts()}
	s.client.Store(&client)
	s.scripts = newScripts(func(source string) string {
		return strings.Replace(source, "local function "+function+"\n", "local function "+function+"\n call('INCR', P .. 'work')\n", 1)
	})
	return s, func() int {
		n, _ := strconv.Atoi(server.Do("GETDEL", "{holdfast}:work"))
		return n
	}
}

// put locks, or stands in line.
func put(t testing.TB, s *Store, uid, want string, keys ...holdfast.Ask) {
	t.Helper()
	args := []string{uid, "60000", "", "", ""}
	if want == wordWaiting {
		args[3] = "here " + uid + " 1000000000"
	}
	for i := range keys {
		args = append(args, code(&keys[i]), keys[i].Key)
	}
	answer, err := s.ask(args)
	if got := status(answer); err != nil || got != want && (got != "" || want != wordGranted) {
		t.Fatalf("%s: %v %v", uid, answer, err)
	}
}

// Who asks for a key that many share hears of some of them, and needs not wait
// until all were read.
func TestFewOfManyHoldersAreRead(t *testing.T) {
	s, work := laborious(t, "readHold(name, uid, record, from)")
	shared := holdfast.Ask{Key: "k", Mode: holdfast.Shared, Limit: crowd}
	for i := range crowd {
		put(t, s, fmt.Sprint("u", i), wordGranted, shared)
	}
	work()
	for name, call := range map[string]func(){
		"refused":        func() { put(t, s, "other", "locked", shared) },
		"refused, alone": func() { put(t, s, "other", "locked", holdfast.Ask{Key: "k"}) },
		"checked": func() {
			if held, err := s.Check(t.Context(), []string{"k"}); !held || err != nil {
				t.Error(held, err)
			}
		},
	} {
		if call(); work() > crowd/2 {
			t.Errorf("%s: more than half of the holds were read", name)
		}
	}
}

// Many share a key, and each waits for one of a few others; somebody waits for what
// they share. A hand-over makes nobody due but in the line of the key that comes free.
func TestAHandOverLooksAtFew(t *testing.T) {
	s, work := laborious(t, "grantable(r)")
	const children = crowd / 10
	child := func(i int) string { return fmt.Sprint("child", i%children) }
	for i := range children {
		put(t, s, "before", wordGranted, holdfast.Ask{Key: child(i)})
	}
	for i := range crowd {
		uid := fmt.Sprint("u", i)
		put(t, s, uid, wordGranted, holdfast.Ask{Key: "parent", Mode: holdfast.Shared})
		put(t, s, uid, wordWaiting, holdfast.Ask{Key: child(i)})
	}
	put(t, s, "writer", wordWaiting, holdfast.Ask{Key: "parent"})
	work()
	fewAreLookedAt(t, s, work, child)
}

// One owner waits for many keys. One of them that comes free lets in the request
// for it, and the others are not looked at.
func TestAKeyThatComesFreeMakesDueWhoAsksForIt(t *testing.T) {
	s, work := laborious(t, "grantable(r)")
	name := func(i int) string { return fmt.Sprint("item", i) }
	for i := range crowd {
		put(t, s, "before", wordGranted, holdfast.Ask{Key: name(i)})
		put(t, s, "busy", wordWaiting, holdfast.Ask{Key: name(i)})
	}
	work()
	fewAreLookedAt(t, s, work, name)
}

// fewAreLookedAt frees some keys, one after the other.
func fewAreLookedAt(t *testing.T, s *Store, work func() int, key func(i int) string) {
	t.Helper()
	for i := range 3 {
		if released, err := s.Force(t.Context(), holdfast.ForceRequest{Key: key(i)}); err != nil || len(released) != 1 {
			t.Fatal(released, err)
		}
		if n := work(); n > crowd/10 {
			t.Errorf("%d requests were looked at", n)
		}
	}
}

// A page of what an owner holds costs what a page does, and all of it is extended
// in pieces.
func TestAnOwnerOfMuch(t *testing.T) {
	s, work := laborious(t, "before(a, b)")
	const most = 2500 // more than two pieces
	var asks []holdfast.Ask
	for i := range most {
		asks = append(asks, holdfast.Ask{Key: fmt.Sprint("k", i)})
		if len(asks) == holdfast.MaxKeys || i == most-1 {
			put(t, s, "u", wordGranted, asks...)
			asks = nil
		}
	}
	if _, err := s.List(t.Context(), holdfast.ListRequest{}); err != nil { // makes them old
		t.Fatal(err)
	}
	work()
	page, err := s.List(t.Context(), holdfast.ListRequest{UID: "u", Limit: 10, After: "k2"})
	if err != nil || len(page.Locks) != 10 || page.Locks[0].Key != "k20" {
		t.Fatal(page, err)
	}
	if n := work(); n > most {
		t.Errorf("%d comparisons for a page", n)
	}
	began := s.counts.answered.Read().Count()
	extension, err := s.Extend(t.Context(), holdfast.ExtendRequest{UID: "u", Exp: time.Hour})
	if err != nil || len(extension.Tokens) != most || extension.Exp < 50*time.Minute {
		t.Fatal(len(extension.Tokens), extension.Exp, err)
	}
	if pieces := s.counts.answered.Read().Count() - began; pieces != 3 {
		t.Errorf("%d pieces", pieces)
	}
}

// A circle may be longer than what Lua takes apart at once.
func TestALongCircleIsNamed(t *testing.T) {
	const most = 4100
	s, _ := laborious(t, "none")
	name := func(i int) string { return fmt.Sprint("k", i) }
	args := []string{""}
	for i := range most {
		args = append(args, "l", fmt.Sprint("u", i), name(i), "600000", "")
		if i%manyMost == manyMost-1 || i == most-1 {
			if _, err := s.run(context.Background(), s.scripts.many, args...); err != nil {
				t.Fatal(err)
			}
			args = args[:1]
		}
	}
	wait := func(i, before int) rueidis.LuaExec {
		return rueidis.LuaExec{Keys: s.root, Args: []string{fmt.Sprint("u", i), "600000", "", fmt.Sprint("here ", i, " 1000000000"), "", "x", name(before)}}
	}
	var waits []rueidis.LuaExec
	for i := range most - 1 {
		waits = append(waits, wait(i+1, i))
	}
	waits = append(waits, wait(0, most-1))
	var answer []rueidis.RedisMessage
	for some := range slices.Chunk(waits, 100) {
		answers := s.scripts.lock.ExecMulti(t.Context(), *s.client.Load(), some...)
		var err error
		if answer, err = answers[len(some)-1].ToArray(); err != nil {
			t.Fatal(err)
		}
	}
	if status(answer) != "deadlock" || len(answer) != 1+2*most {
		t.Fatal(status(answer), len(answer))
	}
}
