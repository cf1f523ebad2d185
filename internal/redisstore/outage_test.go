package redisstore

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
	"holdfast/internal/feed"
	"holdfast/internal/redistest"
)

// bare is a store that does nothing by itself: no sign of life, no message.
func bare(t testing.TB, server *redistest.Server, id string) *Store {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s := &Store{
		root: roots("holdfast", 0), scripts: theScripts, id: id,
		options: Options{Timeout: time.Minute}, feed: feed.New(), counts: newCounts(),
	}
	s.client.Store(&client)
	return s
}

// stands puts a request in line, and gives its place.
func (s *Store) stands(t testing.TB, uid, key, ticket string) string {
	t.Helper()
	return s.standsFor(t, uid, key, ticket, time.Minute)
}

// standsFor is stands with the life of the hold.
func (s *Store) standsFor(t testing.TB, uid, key, ticket string, exp time.Duration) string {
	t.Helper()
	answer, err := s.ask([]string{uid, millis(exp), "", s.id + " " + ticket + " 60000", "", "x", key})
	if err != nil || status(answer) != wordWaiting {
		t.Fatalf("%s does not stand in line: %v %v", uid, answer, err)
	}
	place, _ := answer[1].ToString()
	return place
}

// A server that counts as dead comes back with the end of a wait, before
// anybody has taken its waiters out of the line: they leave it once, not twice.
func TestWhoeverLeavesLateLeavesOnce(t *testing.T) {
	for name, life := range map[string]time.Duration{
		"in line":               time.Minute,
		"let in at this moment": 20 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			s := bare(t, server, "slow")
			if _, err := s.ask([]string{"a", strconv.FormatInt(life.Milliseconds(), 10), "", "", "", "x", "k"}); err != nil {
				t.Fatal(err)
			}
			place := s.stands(t, "b", "k", "1")
			time.Sleep(min(2*life, time.Second/10))
			server.Do("ZADD", "{holdfast}:servers", "1", "slow")
			server.Do("SET", "{holdfast}:heard", "1") // of others
			answer, err := s.run(t.Context(), s.scripts.leave, place, "slow", "1", "over")
			if err != nil || status(answer) != wordGone {
				t.Errorf("the answer: %v %v", answer, err)
			}
			f := fields{must(t, s, s.scripts.count)}
			if holds, waiters := f.number(), f.number(); holds > 1 || waiters != 0 {
				t.Errorf("%d holds, %d waiters", holds, waiters)
			}
			must(t, s, s.scripts.force, "k", "")
			server.Do("DEL", "{holdfast}:expired", "{holdfast}:heard")
			if left := server.Do("KEYS", "*"); left != "{holdfast}:last" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

// In a Redis that is full holds can be given back and extended, and end when they
// have run out.
func TestAFullRedisIsFreedOfWhatHasRunOut(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	first, second := lock(t, s, "a", "first", time.Minute), lock(t, s, "a", "second", time.Minute)
	granted, other := waits(t, s, "b", "first"), waits(t, s, "c", "second")
	_, used, _ := strings.Cut(server.Do("INFO", "memory"), "used_memory:")
	n, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(used, "\n", 2)[0]))
	if err != nil {
		t.Fatal(err)
	}
	server.Do("CONFIG", "SET", "maxmemory", strconv.Itoa(n+1<<20))
	req := holdfast.LockRequest{UID: "a", Exp: 2 * time.Second, Note: strings.Repeat("n", holdfast.MaxNote)}
	for i := 0; ; i++ {
		req.Keys = holdfast.Keys("k" + strconv.Itoa(i))
		if _, err := s.Lock(t.Context(), req); err == nil {
			continue
		} else if !strings.Contains(err.Error(), "maxmemory") {
			t.Fatal(err)
		}
		break
	}
	unlock(t, s, "a", first)
	soon(t, "b is let in", granted)
	extension, err := s.Extend(t.Context(), holdfast.ExtendRequest{UID: "a", Tokens: []holdfast.Token{second}, Exp: time.Minute})
	if err != nil || len(extension.Tokens) != 1 {
		t.Errorf("a extends: %+v %v", extension, err)
	}
	redistest.Eventually(t, "there is room again", func() bool {
		count, err := s.Count(t.Context())
		return err == nil && count.Holds == 2 && s.Ready(t.Context()) == nil
	})
	unlock(t, s, "a", second)
	soon(t, "c is let in", other)
}

// The clock of Redis may be set back, or be behind on the next primary: nothing
// has been held for less than no time.
func TestClockSetBack(t *testing.T) {
	server := redistest.Start(t)
	s := bare(t, server, "here")
	s.scripts = newScripts(func(source string) string {
		return strings.ReplaceAll(source, "call('TIME')", "{call('GET', P .. 'clock'), 0}")
	})
	server.Do("SET", "{holdfast}:clock", "2000")
	lock(t, s, "a", "k", time.Minute)
	s.stands(t, "b", "k", "1")
	server.Do("SET", "{holdfast}:clock", "1000")
	state, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if held, waited := state.Holders[0].Held, state.Waiters[0].Waited; held != 0 || waited != 0 {
		t.Errorf("held for %v, waited for %v", held, waited)
	}
}

// A server that was cut off from Redis for a while does not tell its client of a
// grant that is over by then.
func TestAGrantThatHasEndedIsNotClaimed(t *testing.T) {
	server := redistest.Start(t)
	s, other := bare(t, server, "cut"), bare(t, server, "other")
	for name, claim := range map[string]func(place string) []rueidis.RedisMessage{
		"told": func(place string) []rueidis.RedisMessage { return must(t, s, s.scripts.claim, place, "cut", "1") },
		"wait over": func(place string) []rueidis.RedisMessage {
			return must(t, s, s.scripts.leave, place, "cut", "1", "over")
		},
	} {
		t.Run(name, func(t *testing.T) {
			held := lock(t, other, "a", "k", time.Minute)
			place := s.standsFor(t, "b", "k", "1", 20*time.Millisecond)
			c := other.stands(t, "c", "k", "2")
			unlock(t, other, "a", held)
			redistest.Eventually(t, "c is let in", func() bool {
				answer := must(t, other, other.scripts.tick, "other", "60000", "1", "0", "0", "200", "0")
				return len(answer) > 0 && !inLine(t, other, "c", "k")
			})
			if answer := claim(place); status(answer) != wordGone {
				t.Errorf("b is told %q, and c holds the key", status(answer))
			}
			if answer := must(t, other, other.scripts.claim, c, "other", "2"); status(answer) != wordGranted {
				t.Errorf("c is told %q", status(answer))
			}
			must(t, other, other.scripts.force, "k", "")
		})
	}
}

// The next primary may not know of the last events. Who resumes after one of
// them misses no other without a gap.
func TestEventsThatTheNextPrimaryDoesNotKnow(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	// watch gives the events up to that of the key.
	watch := func(after uint64, key string, began func()) (seen []holdfast.Event) {
		t.Helper()
		events, err := s.Watch(t.Context(), holdfast.WatchRequest{After: after})
		if err != nil {
			t.Fatal(err)
		}
		began()
		for e, err := range events {
			if err != nil {
				t.Fatal(err)
			}
			if seen = append(seen, e); e.Key == key {
				break
			}
		}
		return seen
	}
	locks := func(prefix string) {
		for i := range 10 {
			lock(t, s, "a", prefix+strconv.Itoa(i), time.Minute)
		}
	}
	seen := watch(0, "before 9", func() { locks("before ") })
	last := seen[len(seen)-1].ID
	server.Do("SET", "{holdfast}:watched", strconv.FormatUint(last-5, 10), "KEEPTTL")
	server.Do("CLIENT", "KILL", "TYPE", "pubsub")
	redistest.Eventually(t, "the store follows events again", func() bool {
		return server.Do("GET", "{holdfast}:watched") == strconv.FormatUint(s.feed.Next()-1, 10)
	})
	redistest.Eventually(t, "the store is ready", func() bool { return s.Ready(t.Context()) == nil })
	locks("after ")
	seen = watch(last, "after 9", func() {})
	if seen[0].Type != holdfast.EventGap && len(seen) != 10 {
		t.Errorf("seen: %d events, and no gap", len(seen))
	}
}

func must(t testing.TB, s *Store, script *rueidis.Lua, args ...string) []rueidis.RedisMessage {
	t.Helper()
	answer, err := s.run(t.Context(), script, args...)
	if err != nil {
		t.Fatalf("%v: %v", err, err.(*holdfast.Error).Cause)
	}
	return answer
}

// Redis was away for longer than a server may be silent, or its clock has
// jumped: all servers are late then. Whoever is back first does not take the
// others for dead, and so nobody loses its place.
func TestNobodyIsTakenForDeadAfterAnOutage(t *testing.T) {
	server := redistest.Start(t)
	first, second := bare(t, server, "first"), bare(t, server, "second")
	ask := func(uid string) {
		t.Helper()
		if _, err := first.ask([]string{uid, "60000", "", "", "", "x", "k"}); err != nil {
			t.Fatal(err)
		}
	}
	tick := func() {
		t.Helper()
		must(t, first, first.scripts.tick, "first", "60000", "1", "0", "0", "200", "0")
	}
	wait := func(want bool) {
		t.Helper()
		if b, c := inLine(t, first, "b", "k"), inLine(t, first, "c", "k"); !b || c != want {
			t.Fatalf("in line are b: %v, c: %v; want c: %v", b, c, want)
		}
	}
	ask("a")
	first.stands(t, "b", "k", "1")
	second.stands(t, "c", "k", "1")
	tick()

	server.Do("DEL", "{holdfast}:heard") // it ends by itself
	server.Do("ZADD", "{holdfast}:servers", "1", "first", "1", "second")
	ask("d") // before anybody has given a sign of life
	wait(true)
	tick()
	wait(true)

	// A server that is late while another one is not is dead.
	server.Do("ZADD", "{holdfast}:servers", "1", "second")
	tick()
	wait(false)
}
