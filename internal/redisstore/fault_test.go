package redisstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/logtest"
	"holdfast/internal/redistest"
)

func TestServesBeforeRedisIsThere(t *testing.T) {
	server := redistest.New(t)
	var log logtest.Log
	options := quick(server.URL())
	options.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, err := New(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ready(t.Context()); err == nil {
		t.Fatal("ready without Redis")
	}
	if e := unavailable(t, s); e.OutcomeUnknown || !strings.Contains(e.Message, "cannot be reached") {
		t.Fatalf("answer: %+v", e)
	}
	if !strings.Contains(log.String(), "cannot be used") || !strings.Contains(log.String(), "connection refused") {
		t.Fatalf("log: %s", &log)
	}
	server.Start()
	redistest.Eventually(t, "the store is ready", func() bool { return s.Ready(t.Context()) == nil })
	unlock(t, s, "a", lock(t, s, "a", "x", time.Minute))
	if !strings.Contains(log.String(), "Redis is there") {
		t.Fatal("not a word in the log when Redis is there")
	}
}

// Redis is killed, comes back empty, and whoever waited stands in line again;
// versions grow all the same.
func TestRedisIsKilledAndReturnsEmpty(t *testing.T) {
	server := redistest.Start(t)
	s, other := openQuick(t, server.URL()), openQuick(t, server.URL())
	before := lock(t, s, "a", "x", time.Minute)
	answer := waits(t, other, "b", "x")
	server.Kill()
	unavailable(t, s)
	redistest.Eventually(t, "the store is not ready", func() bool { return s.Ready(t.Context()) != nil })
	server.Start()
	// Its holder's hold is lost with Redis; nobody is in the way of b.
	soon(t, "b is let in", answer)
	redistest.Eventually(t, "the store is ready", func() bool { return s.Ready(t.Context()) == nil })
	if after := lock(t, s, "a", "y", time.Minute); after.Version <= before.Version {
		t.Fatalf("version %d after %d", after.Version, before.Version)
	}
	// And a message still wakes those who wait.
	holder := lock(t, s, "a", "z", time.Minute)
	answer = waits(t, other, "c", "z")
	unlock(t, s, "a", holder)
	soon(t, "c is let in", answer)
}

// Who stands in line when its server stops, or when Redis goes away, is told
// that it may yet be granted: its place is there still.
func TestWhoIsSentAwayMayStillBeGranted(t *testing.T) {
	server := redistest.Start(t)
	stopped, cutOff := openQuick(t, server.URL()), openQuick(t, server.URL())
	lock(t, stopped, "a", "x", time.Minute)
	sentAway := waits(t, stopped, "b", "x")
	gaveUp := make(chan error, 1)
	go func() {
		_, err := cutOff.Lock(t.Context(), holdfast.LockRequest{UID: "c", Keys: holdfast.Keys("x"), Wait: time.Second})
		gaveUp <- err
	}()
	redistest.Eventually(t, "c stands in line", func() bool { return inLine(t, stopped, "c", "x") })
	stopped.Stop()
	server.Kill()
	for who, answer := range map[string]<-chan error{"b": sentAway, "c": gaveUp} {
		select {
		case err := <-answer:
			if e, ok := errors.AsType[*holdfast.Error](err); !ok || e.Code != holdfast.CodeUnavailable || !e.OutcomeUnknown {
				t.Errorf("%s: answer: %#v", who, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no answer", who)
		}
	}
}

func TestFlushAll(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	before := lock(t, s, "a", "x", time.Minute)
	answer := waits(t, s, "b", "x")
	server.Do("FLUSHALL")
	soon(t, "b is let in", answer)
	if after := lock(t, s, "a", "y", time.Minute); after.Version <= before.Version {
		t.Fatalf("version %d after %d", after.Version, before.Version)
	}
}

func TestScriptFlush(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	for range 3 {
		token := lock(t, s, "a", "x", time.Minute)
		server.Do("SCRIPT", "FLUSH")
		unlock(t, s, "a", token)
		server.Do("SCRIPT", "FLUSH")
	}
}

// A Redis that hangs: answers come in time and say that it may have happened.
func TestRedisHangs(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	lock(t, s, "a", "x", time.Minute)
	server.Pause()
	if e := unavailable(t, s); !e.OutcomeUnknown {
		t.Errorf("the outcome is known: %v", e)
	}
	began := time.Now()
	_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Exp: time.Minute, Wait: time.Minute})
	if e, ok := errors.AsType[*holdfast.Error](err); !ok || !e.OutcomeUnknown || time.Since(began) > 5*s.options.Timeout {
		t.Errorf("with a wait: %v after %v", err, time.Since(began))
	}
	server.Resume()
	redistest.Eventually(t, "the store is ready", func() bool { return s.Ready(t.Context()) == nil })
	// b was told that nobody knows; it must not stand in line for ever.
	redistest.Eventually(t, "nobody stands in line", func() bool { return !inLine(t, s, "b", "x") })
}

// What the message says when Redis refuses.
func TestRedisRefuses(t *testing.T) {
	t.Run("wrong password", func(t *testing.T) {
		server := redistest.Start(t, "--requirepass", "secret")
		says(t, "redis://:guess@"+server.Addr(), "does not accept the user name or the password")
	})
	t.Run("no password", func(t *testing.T) {
		server := redistest.Start(t, "--requirepass", "secret")
		says(t, server.URL(), "wants a password")
	})
	t.Run("no such database", func(t *testing.T) {
		says(t, redistest.Start(t).URL()+"/99", "no database with that number")
	})
	t.Run("read only", func(t *testing.T) {
		primary := redistest.Start(t)
		replica := redistest.Start(t, "--replicaof", primary.Host+" "+fmt.Sprint(primary.Port))
		redistest.Eventually(t, "the replica is linked", func() bool {
			return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up")
		})
		says(t, replica.URL(), "replica, which can only be read")
	})
	t.Run("out of memory", func(t *testing.T) {
		server := redistest.Start(t)
		s := openQuick(t, server.URL())
		lock(t, s, "a", "x", time.Minute)
		server.Do("CONFIG", "SET", "maxmemory", "1")
		if e := unavailable(t, s); !strings.Contains(e.Message, "maxmemory") || e.OutcomeUnknown {
			t.Fatalf("answer: %+v", e)
		}
		redistest.Eventually(t, "the store is not ready", func() bool { return s.Ready(t.Context()) != nil })
		server.Do("CONFIG", "SET", "maxmemory", "0")
		redistest.Eventually(t, "the store is ready", func() bool { return s.Ready(t.Context()) == nil })
	})
	t.Run("no permission", func(t *testing.T) {
		server := redistest.Start(t, "--user", "app", "on", ">pw", "~{holdfast}:*", "&{holdfast}:*", "+@read", "+@connection")
		says(t, "redis://app:pw@"+server.Addr(), "may not do what is needed")
	})
	// It would show when somebody is let in, in the middle of a script.
	t.Run("no permission for channels", func(t *testing.T) {
		server := redistest.Start(t, "--user", "app", "on", ">pw", "~{holdfast}:*", "+@all")
		s := openQuick(t, "redis://app:pw@"+server.Addr())
		redistest.Eventually(t, "Ready says so", func() bool {
			err := s.Ready(t.Context())
			return err != nil && strings.Contains(err.Error(), "may not do what is needed")
		})
	})
}

func says(t *testing.T, url, message string) {
	t.Helper()
	s := openQuick(t, url)
	redistest.Eventually(t, fmt.Sprintf("Ready says %q", message), func() bool {
		err := s.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), message)
	})
	if e := unavailable(t, s); !strings.Contains(e.Message, message) || e.OutcomeUnknown {
		t.Errorf("answer: %+v; want %q", e, message)
	}
}

func TestTooOldARedisIsRefused(t *testing.T) {
	for info, refused := range map[string]bool{
		"# Server\r\nredis_version:6.0.16\r\n":  true,
		"# Server\r\nredis_version:7.0.15\r\n":  false,
		"# Server\r\nredis_version:10.1.0\r\n":  false,
		"# Server\r\nserver_name:something\r\n": false,
	} {
		if err := newEnough(said(info, "redis_version")); (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "too old") {
			t.Errorf("%q: %v", info, err)
		}
	}
}

// One that is too old takes no more than one word after INFO.
func TestAnOldRedisIsToldFromOneThatRefuses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go oldRedis(conn)
		}
	}()
	says(t, "redis://"+listener.Addr().String(), "too old: it is 6.2.7")
}

// oldRedis answers what is asked when a connection begins.
func oldRedis(conn net.Conn) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		var words []string
		var n, length int
		if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
			return
		}
		for range n {
			var word string
			if _, err := fmt.Fscanf(r, "$%d\r\n%s\r\n", &length, &word); err != nil {
				return
			}
			words = append(words, strings.ToUpper(word))
		}
		switch {
		case words[0] == "HELLO":
			io.WriteString(conn, "%2\r\n+version\r\n+6.2.7\r\n+proto\r\n:3\r\n")
		case words[0] == "INFO" && n <= 2:
			io.WriteString(conn, "$21\r\nredis_version:6.2.7\r\n\r\n")
		case words[0] == "INFO":
			io.WriteString(conn, "-ERR syntax error\r\n")
		default:
			io.WriteString(conn, "+OK\r\n")
		}
	}
}

// Who sets a limit to the memory of Redis may have chosen that it forgets keys.
func TestARedisThatMayEvictHoldsIsWarnedOf(t *testing.T) {
	for policy, want := range map[string]bool{"noeviction": false, "volatile-lru": false, "allkeys-lru": true, "allkeys-random": true} {
		server := redistest.Start(t, "--maxmemory-policy", policy)
		var log bytes.Buffer
		s, err := New(t.Context(), Options{URL: server.URL(), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if warned := strings.Contains(log.String(), policy); warned != want {
			t.Errorf("%s: warned %v: %s", policy, warned, &log)
		}
	}
}

// The permissions that docs/redis.md gives are enough for everything.
func TestLeastPermissions(t *testing.T) {
	server := redistest.Start(t, "--user", "app", "on", ">p@ss/w", "~{holdfast}:*", "&{holdfast}:*",
		"+@read", "+@write", "+@pubsub", "+@scripting", "+@connection", "+time", "-@dangerous")
	s := openQuick(t, "redis://app:p%40ss%2Fw@"+server.Addr())
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	events, err := s.Watch(t.Context(), holdfast.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	token := lock(t, s, "a", "x", time.Minute)
	answer := waits(t, s, "b", "x")
	unlock(t, s, "a", token)
	soon(t, "b is let in", answer)
	if _, err := s.List(t.Context(), holdfast.ListRequest{}); err != nil {
		t.Fatal(err)
	}
	for e, err := range events {
		if err != nil || e.Type != holdfast.EventGranted {
			t.Fatalf("first event: %+v %v", e, err)
		}
		break
	}
}

// A server that dies keeps its places for a while, and then those behind move
// up; a client that comes back elsewhere in time finds its old place.
func TestServerDies(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	dead := openMortal(t, server.URL())
	holder := lock(t, s, "a", "x", time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	for _, uid := range []string{"b", "c"} {
		go dead.Lock(ctx, holdfast.LockRequest{UID: uid, Keys: holdfast.Keys("x"), Exp: time.Minute, Wait: time.Minute})
		redistest.Eventually(t, uid+" stands in line", func() bool { return inLine(t, s, uid, "x") })
	}
	d := waits(t, s, "d", "x")
	dead.vanish()
	defer cancel()
	c := make(chan error, 1) // comes back
	go func() {
		_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "c", Keys: holdfast.Keys("x"), Exp: time.Minute, Wait: time.Minute})
		c <- err
	}()
	redistest.Eventually(t, "b has left the line", func() bool { return !inLine(t, s, "b", "x") })
	if !inLine(t, s, "c", "x") {
		t.Fatal("c has lost its place")
	}
	unlock(t, s, "a", holder)
	soon(t, "c is let in", c)
	select {
	case <-d:
		t.Fatal("d came before c")
	default:
	}
	state, _ := s.Get(t.Context(), "x")
	unlock(t, s, "c", holdfast.Token{Key: "x", Version: state.Holders[0].Version})
	soon(t, "d is let in", d)
}

// A grant to a server that died before it could claim it is taken back.
func TestGrantToADeadServerIsTakenBack(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	dead := openMortal(t, server.URL())
	holder := lock(t, s, "a", "x", time.Minute)
	go dead.Lock(context.Background(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Exp: time.Minute, Wait: time.Minute})
	redistest.Eventually(t, "b stands in line", func() bool { return inLine(t, s, "b", "x") })
	d := waits(t, s, "d", "x")
	dead.vanish()
	unlock(t, s, "a", holder)
	soon(t, "d is let in", d)
}

// Nor do places stay of servers that died when no other one was there, however
// long ago that was: by then, whatever Redis was told to forget is forgotten.
func TestPlacesOfServersThatDiedLongAgoAreLeft(t *testing.T) {
	server := redistest.Start(t)
	dead := openMortal(t, server.URL())
	lock(t, dead, "a", "x", time.Minute)
	go dead.Lock(context.Background(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Exp: time.Minute, Wait: time.Minute})
	redistest.Eventually(t, "b stands in line", func() bool { return inLine(t, dead, "b", "x") })
	dead.vanish()
	for key := range strings.Lines(server.Do("KEYS", "*")) {
		if key = strings.TrimSpace(key); server.Do("PTTL", key) != "-1" {
			server.Do("DEL", key)
		}
	}
	s := openQuick(t, server.URL())
	redistest.Eventually(t, "b has left the line", func() bool { return !inLine(t, s, "b", "x") })
}

// A hold ends on time also for those who wait on another server than its
// owner's, and when that server is gone.
func TestEndIsNoticedElsewhere(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	for range 5 {
		owner := openMortal(t, server.URL())
		const life = 300 * time.Millisecond
		began := time.Now()
		lock(t, owner, "a", "x", life)
		begun := time.Now()
		owner.vanish()
		grant, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Exp: time.Minute, Wait: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(began) < life {
			t.Errorf("let in after %v", time.Since(began))
		}
		if late := time.Since(begun) - life; late > 50*time.Millisecond {
			t.Logf("let in %v late", late)
			if late > time.Second {
				t.Errorf("let in %v late", late)
			}
		}
		unlock(t, s, "b", grant.Tokens[0])
	}
}

// A waiter of a server that is gone is let in for a short while: the others
// hear of it at once, and need not wait until they look by themselves.
func TestAShortHoldOfADeadServersWaiterIsKnown(t *testing.T) {
	server := redistest.Start(t)
	s := openOver(t, server.URL())
	dead := openMortal(t, server.URL())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	held := lock(t, s, "a", "x", time.Minute)
	short := holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Exp: 600 * time.Millisecond, Wait: time.Minute}
	go dead.Lock(ctx, short)
	redistest.Eventually(t, "b stands in line", func() bool { return inLine(t, s, "b", "x") })
	granted := waits(t, s, "c", "x")
	dead.vanish()

	begun, heard := make(chan bool, 1), make(chan string, 16)
	var listening sync.WaitGroup
	listening.Go(func() {
		s.subscribe(ctx, s.root[0]+"wake:"+s.id, func() { begun <- true }, func(message string) { heard <- message })
	})
	<-begun
	unlock(t, s, "a", held)
	if message := <-heard; message != "+600" {
		t.Errorf("heard %q", message)
	}
	soon(t, "c is let in", granted)
	stop()
	listening.Wait()
}

// Nothing is left in Redis for keys that nobody holds or waits for.
func TestNothingIsLeft(t *testing.T) {
	keys := 100_000
	if testing.Short() {
		keys = 5_000
	}
	server := redistest.Start(t)
	s := openOver(t, server.URL())
	var all sync.WaitGroup
	const owners = 50
	for i := range owners {
		all.Go(func() {
			uid := fmt.Sprint("owner-", i)
			for j := range keys / owners {
				key := fmt.Sprintf("key-%d-%d", i, j)
				grant, err := s.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(key), Exp: time.Minute})
				if err == nil && j%2 == 0 {
					_, err = s.Unlock(t.Context(), holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens})
				} else if err == nil {
					_, err = s.Force(t.Context(), holdfast.ForceRequest{Key: key})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
			// And some that run out.
			for j := range 20 {
				s.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(fmt.Sprint("ends-", i, "-", j)), Exp: time.Second})
			}
		})
	}
	all.Wait()
	redistest.Eventually(t, "nothing is left but the counter", func() bool { return server.Do("KEYS", "*") == "{holdfast}:last" })
}

// Watchers learn of a gap when the connection was lost, and hear on.
func TestWatchAcrossALostConnection(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	events, err := s.Watch(t.Context(), holdfast.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	lock(t, s, "a", "before", time.Minute)
	server.Kill()
	server.Start()
	redistest.Eventually(t, "the store is ready", func() bool { return s.Ready(t.Context()) == nil })
	var seen []string
	go func() {
		for t.Context().Err() == nil {
			if token, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("after")}); err == nil {
				s.Unlock(t.Context(), holdfast.UnlockRequest{UID: "a", Tokens: token.Tokens})
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	last := uint64(0)
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if e.ID < last {
			t.Fatalf("event %d after %d", e.ID, last)
		}
		last = e.ID
		seen = append(seen, string(e.Type)+" "+e.Key)
		if e.Key == "after" {
			break
		}
	}
	// What was not read by then may be missing too: the gap says so.
	if n := len(seen); !slices.Contains(seen[:n-1], "gap ") {
		t.Fatalf("seen: %v", seen)
	}
}
