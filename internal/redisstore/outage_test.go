package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
	"holdfast/internal/feed"
	"holdfast/internal/redistest"
)

// bare is a store that does nothing by itself: no sign of life, no message. Its
// clock stands still; see setClock.
func bare(t testing.TB, server *redistest.Server, id string) *Store {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s := &Store{
		root: roots("holdfast", 0), scripts: clocked, id: id,
		options: Options{Timeout: time.Minute}, feed: feed.New(), counts: newCounts(),
	}
	s.client.Store(&client)
	setClock(server, 1000)
	return s
}

var clocked = newScripts(func(source string) string {
	return strings.ReplaceAll(source, "call('TIME')", "{call('GET', P .. 'clock'), 0}")
})

// setClock sets the clock of bare stores, in seconds.
func setClock(server *redistest.Server, at int) {
	server.Do("SET", "{holdfast}:clock", strconv.Itoa(at))
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
		"let in at this moment": time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			s := bare(t, server, "slow")
			lock(t, s, "a", "k", life)
			place := s.stands(t, "b", "k", "1")
			setClock(server, 1010)
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
			server.Do("DEL", "{holdfast}:expired", "{holdfast}:heard", "{holdfast}:clock")
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
	server.Do("CONFIG", "SET", "maxmemory", strconv.Itoa(n+1<<19))
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

// However many holds run out in a Redis that is full, it is soon rid of them.
func TestAFullRedisIsFreedOfMuch(t *testing.T) {
	server := redistest.Start(t)
	s := openOver(t, server.URL())
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for j := range 200 {
				lock(t, s, "u", fmt.Sprint(i, " ", j), 5*time.Second)
			}
		})
	}
	all.Wait()
	server.Do("CONFIG", "SET", "maxmemory", "1")
	redistest.Eventually(t, "all have ended", func() bool {
		count, err := s.Count(t.Context())
		return err == nil && count.Holds == 0
	})
	if err := s.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "maxmemory") {
		t.Errorf("it is still full, and the store says: %v", err)
	}
}

// A Redis that is full knows who is alive, too: waiters of a server that died
// leave the line, and those of others stay.
func TestServersDieInAFullRedis(t *testing.T) {
	server := redistest.Start(t)
	s, dead := bare(t, server, "alive"), bare(t, server, "dead")
	lock(t, s, "a", "k", time.Minute)
	dead.stands(t, "b", "k", "1")
	s.stands(t, "c", "k", "1")
	server.Do("CONFIG", "SET", "maxmemory", "1")
	tick := func() {
		t.Helper()
		must(t, s, s.scripts.tick, "alive", "60000", "1", "0", "0", "200", "0")
	}
	tick()
	server.Do("CONFIG", "SET", "maxmemory", "0")
	server.Do("ZADD", "{holdfast}:servers", "1", "alive", "1", "dead") // time goes by
	server.Do("CONFIG", "SET", "maxmemory", "1")
	tick()
	if b, c := inLine(t, s, "b", "k"), inLine(t, s, "c", "k"); b || !c {
		t.Errorf("in line are b: %v, c: %v; want c alone", b, c)
	}
}

// Whoever gives back is not refused for those who ask at the same moment.
func TestAFullRedisTakesBackWhatComesWithOtherRequests(t *testing.T) {
	server := redistest.Start(t)
	s := bare(t, server, "here")
	token := lock(t, s, "a", "k", time.Minute)
	server.Do("CONFIG", "SET", "maxmemory", "1")
	answer, err := s.run(t.Context(), s.scripts.many, "",
		"l", "b", "other", "60000", "", "u", "a", "k", strconv.FormatUint(token.Version, 10), "")
	if err != nil {
		t.Fatal(err)
	}
	if released, _ := answer[1].AsInt64(); released != 1 {
		t.Errorf("the answer: %v", answer)
	}
}

// It may have been granted, and have run out, when Redis does not know the place
// any more; the request that asks anew cannot say that nothing was done.
func TestWhoHasStoodInLineIsNotToldThatNothingWasDone(t *testing.T) {
	for name, wait := range map[string]time.Duration{"in time": time.Minute, "too late": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			s := bare(t, server, "here")
			s.byAsk, s.byTicket, s.closing = map[string]*call{}, map[string]*call{}, make(chan struct{})
			lock(t, s, "a", "x", time.Minute)
			answer := make(chan error, 1)
			go func() {
				_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x"), Exp: time.Minute, Wait: wait})
				answer <- err
			}()
			redistest.Eventually(t, "b stands in line", func() bool { return s.knowsPlace("b") })
			server.Do("FLUSHALL")
			setClock(server, 1000)
			server.Do("CONFIG", "SET", "maxmemory", "1")
			if wait == time.Minute {
				s.mu.Lock()
				for _, c := range s.byTicket {
					c.tell()
				}
				s.mu.Unlock()
			}
			select {
			case err := <-answer:
				if e, ok := errors.AsType[*holdfast.Error](err); !ok || e.Code != holdfast.CodeUnavailable || !e.OutcomeUnknown {
					t.Errorf("the answer: %#v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("no answer")
			}
		})
	}
}

// The clock of Redis may be set back, or be behind on the next primary: nothing
// has been held for less than no time.
func TestClockSetBack(t *testing.T) {
	server := redistest.Start(t)
	s := bare(t, server, "here")
	lock(t, s, "a", "k", time.Minute)
	s.stands(t, "b", "k", "1")
	setClock(server, 900)
	state, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if held, waited := state.Holders[0].Held, state.Waiters[0].Waited; held != 0 || waited != 0 {
		t.Errorf("held for %v, waited for %v", held, waited)
	}
}

// Versions go on from those of another store, which may be ahead of the clock.
func TestVersionsGoOnAfterAMove(t *testing.T) {
	server := redistest.Start(t)
	s := openOver(t, server.URL())
	ahead := uint64(time.Now().UnixMicro()) + 1<<40
	server.Do("SET", "{holdfast}:last", strconv.FormatUint(ahead, 10))
	token := lock(t, s, "a", "short", time.Minute)
	grant, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x", "y")})
	if err != nil || token.Version != ahead+1 || grant.Tokens[0].Version != ahead+2 {
		t.Errorf("versions %d, then %+v (%v) after %d", token.Version, grant.Tokens, err, ahead)
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
			setClock(server, 1000)
			held := lock(t, other, "a", "k", time.Minute)
			place := s.standsFor(t, "b", "k", "1", time.Second)
			c := other.stands(t, "c", "k", "2")
			unlock(t, other, "a", held)
			setClock(server, 1010)
			must(t, other, other.scripts.tick, "other", "60000", "1", "0", "0", "200", "0") // c is let in
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

// A server of an earlier version has let somebody in: it did not note when the
// grant ends.
func TestAGrantOfAnEarlierVersionIsClaimed(t *testing.T) {
	server := redistest.Start(t)
	s, other := bare(t, server, "new"), bare(t, server, "other")
	held := lock(t, other, "a", "k", time.Minute)
	place := s.standsFor(t, "b", "k", "1", time.Second)
	unlock(t, other, "a", held)
	server.Do("HDEL", "{holdfast}:w:"+place, "ending")
	setClock(server, 1010)
	if answer := must(t, s, s.scripts.claim, place, "new", "1"); status(answer) != wordGone {
		t.Errorf("b is told %q", status(answer))
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

// However many ask a Redis that hangs, each is told in time; and what was not
// sent by then is not sent later.
func TestManyAskARedisThatHangs(t *testing.T) {
	server := redistest.Start(t)
	s := openQuick(t, server.URL())
	lock(t, s, "a", "x", time.Minute)
	server.Pause()
	const askers = 4000
	began := time.Now()
	var asking sync.WaitGroup
	var certain atomic.Int64
	for i := range askers {
		asking.Go(func() {
			_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys(fmt.Sprint("k", i)), Exp: time.Minute})
			if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
				t.Errorf("answer: %v", err)
			}
			if e, ok := errors.AsType[*holdfast.Error](err); ok && !e.OutcomeUnknown {
				certain.Add(1)
			}
		})
	}
	asking.Wait()
	took := time.Since(began)
	server.Resume()
	// One script after the other, each until its timeout, they would take twice as long.
	if most := askers / (manyMost * manyFlying) / 2 * s.options.Timeout; took > most {
		t.Errorf("the answers took %v with a timeout of %v", took, s.options.Timeout)
	}
	var count holdfast.Count
	redistest.Eventually(t, "Redis answers", func() (yes bool) {
		var err error
		count, err = s.Count(t.Context())
		return err == nil
	})
	if unknown := askers - certain.Load(); unknown == askers || int64(count.Holds) > 1+unknown {
		t.Errorf("%d holds, and %d of %d were told that they may have one", count.Holds, unknown, askers)
	}
}

// Calls that had begun when the store was closed leave nothing behind.
func TestCallsBegunBeforeTheEnd(t *testing.T) {
	server := redistest.Start(t)
	s := openMortal(t, server.URL())
	s.Close()
	if err := s.hearEvents(t.Context()); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Errorf("a watcher: %v", err)
	}
	if s.watch.live != nil {
		t.Error("somebody listens for events that nobody stops")
	}
	_, err := s.ask([]string{"u", "1000", "", "", "", "x", "k"})
	if e, ok := errors.AsType[*holdfast.Error](err); !ok || !strings.Contains(e.Message, "shutting down") {
		t.Errorf("a lock: %v", err)
	}
}

// A connection that is closed while a request is on its way says nothing about
// what became of it.
func TestClosedWhileARequestIsOnItsWay(t *testing.T) {
	server := redistest.Start(t)
	s, err := New(t.Context(), Options{URL: server.URL(), Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	lock(t, s, "u", "w", time.Minute) // Redis knows the script from now on
	server.Pause()
	answer := make(chan error, 1)
	go func() {
		_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Minute})
		answer <- err
	}()
	redistest.Eventually(t, "the request is on its way", func() bool {
		s.many.mu.Lock()
		defer s.many.mu.Unlock()
		return s.many.alone == 1
	})
	time.Sleep(50 * time.Millisecond)
	s.Close()
	err = <-answer
	server.Resume()
	e, ok := errors.AsType[*holdfast.Error](err)
	if !ok || e.Code != holdfast.CodeUnavailable {
		t.Fatalf("the answer: %+v", err)
	}
	if !e.OutcomeUnknown {
		redistest.Eventually(t, "it has happened", func() bool { return server.Do("EXISTS", "{holdfast}:k:x") == "1" })
		t.Errorf("the answer: %+v, and it has happened", err)
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
