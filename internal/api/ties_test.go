package api

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/memory"
)

func bound(uid, key, exp string) string {
	return fmt.Sprintf(`{"id":1,"op":"lock","uid":%q,"keys":%q,"exp":%s,"bind":true}`, uid, key, exp)
}

const longBound = "3600000"

func TestBoundHoldsEndWithTheConnection(t *testing.T) {
	eachWay(t, func(t *testing.T, s *site) {
		s.server.handler.ties.grace = time.Millisecond
		c := s.socket()
		c.send(bound("u", "a", longBound))
		c.next().masked("exp").shows(`{"id":1,"status":200,"grace":5000,"tokens":[{"key":"a","version":#}],"exp":#}`)
		c.send(`{"id":2,"op":"lock","uid":"u","keys":"b","exp":3600000}`) // not bound
		c.next().is(200)
		c.send(`{"id":3,"op":"lock","uid":"v","keys":"c","exp":3600000,"bind":true}`)
		c.next().is(200)
		c.Close()
		for _, key := range []string{"a", "c"} {
			until(t, func() string {
				if locked, _ := s.service.Check(t.Context(), []string{key}); locked {
					return key + " is held"
				}
				return ""
			})
		}
		s.post("/check", `{"keys":"b"}`).shows(`{"locked":true}`)
		until(t, func() string {
			if n := s.server.handler.ties.count.Load(); n != 0 {
				return fmt.Sprintf("%d are still tied", n)
			}
			return ""
		})
	})
}

func TestWhoComesBackWithinTheGraceKeepsBoundHolds(t *testing.T) {
	for name, back := range map[string]func(t *testing.T, s *site, version uint64){
		"extend on another connection": func(t *testing.T, s *site, version uint64) {
			c := s.socket()
			c.send(`{"id":1,"op":"extend","uid":"u","exp":3600000}`)
			c.next().is(200)
		},
		"the same lock on another connection": func(t *testing.T, s *site, version uint64) {
			c := s.socket()
			c.send(bound("u", "a", longBound))
			c.next().is(200)
		},
		"a plain extend": func(t *testing.T, s *site, version uint64) {
			s.post("/extend", `{"uid":"u","exp":3600000}`).is(200)
		},
		"a plain lock": func(t *testing.T, s *site, version uint64) {
			if again := s.lock("u", "a"); again != version {
				t.Errorf("version %d, then %d", version, again)
			}
		},
		"another server": func(t *testing.T, s *site, version uint64) {
			over := make(chan struct{})
			t.Cleanup(func() { <-over })
			go func() {
				defer close(over)
				for exp := 2 * time.Hour; exp < holdfast.MaxExp; exp += 5 * time.Minute {
					s.service.Extend(context.Background(), holdfast.ExtendRequest{UID: "u", Exp: exp})
					time.Sleep(time.Millisecond)
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			s.server.handler.ties.grace = 200 * time.Millisecond
			first := s.socket()
			first.send(bound("u", "a", longBound))
			first.next().is(200)
			first.send(`{"id":2,"op":"lock","uid":"v","keys":"b","exp":3600000,"bind":true}`)
			first.next().is(200)
			state, err := s.service.Get(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			first.Close()
			back(t, s, state.Holders[0].Version)
			until(t, func() string {
				if locked, _ := s.service.Check(t.Context(), []string{"b"}); locked {
					return "the grace is not over"
				}
				return ""
			})
			if locked, err := s.service.Check(t.Context(), []string{"a"}); !locked || err != nil {
				t.Errorf("a was released: %v", err)
			}
		})
	}
}

// away is a service that is out of reach for a while, once it has been asked so
// often what is held.
type away struct {
	holdfast.Service
	after int32
	asked atomic.Int32
	back  atomic.Bool
}

func (a *away) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	if a.asked.Add(1) > a.after && !a.back.Load() {
		return holdfast.Lock{}, holdfast.Unavailable(nil, "no leader")
	}
	return a.Service.Get(ctx, key)
}

func (a *away) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	if !a.back.Load() {
		return nil, holdfast.Unknown(holdfast.Unavailable(nil, "no leader"))
	}
	return a.Service.Unlock(ctx, req)
}

// Its owner may have extended it at another server. As soon as that can be
// told, it is released.
func TestABoundHoldOfWhichNothingIsKnownIsReleasedLater(t *testing.T) {
	for name, after := range map[string]int32{"nothing": 0, "only when it ends": 1, "all, but nothing can be done": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			service := &away{Service: openStore(t), after: after}
			s := openOver(t, service, Options{})
			s.server.handler.ties.grace = time.Millisecond
			c := s.socket()
			c.send(bound("u", "a", longBound))
			c.next().is(200)
			c.Close()
			until(t, func() string {
				if n := service.asked.Load(); n < 5 {
					return fmt.Sprintf("asked %d times", n)
				}
				return ""
			})
			locked := func() bool {
				locked, err := service.Check(t.Context(), []string{"a"})
				if err != nil {
					t.Fatal(err)
				}
				return locked
			}
			if !locked() {
				t.Error("it was released")
			}
			service.back.Store(true)
			until(t, func() string {
				if n := s.server.handler.ties.count.Load(); n != 0 || locked() {
					return fmt.Sprintf("held: %v, %d are still tied", locked(), n)
				}
				return ""
			})
		})
	}
}

// slowly is a service that takes long to say what is held, but for the first
// time and after a while.
type slowly struct {
	holdfast.Service
	asked, slow int
}

func (s *slowly) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	state, err := s.Service.Get(ctx, key)
	if s.asked++; s.asked > 1 && s.asked <= 1+s.slow {
		time.Sleep(2 * elsewhere)
	}
	return state, err
}

// A late answer looks as if somebody had extended the hold.
func TestABoundHoldIsReleasedThoughAnswersAreSlow(t *testing.T) {
	for _, slow := range []int{0, 1, 3, 1 << 30} {
		synctest.Test(t, func(t *testing.T) {
			store := memory.New()
			defer store.Close()
			_, l, stop := servePipes(t, &slowly{Service: store, slow: slow}, false)
			conn, reader := l.dial(t)
			request := bound("u", "a", longBound)
			io.WriteString(conn, string([]byte{0x81, 0x80 | byte(len(request)), 0, 0, 0, 0})+request)
			if _, err := reader.ReadString('}'); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			time.Sleep(time.Minute)
			if locked, err := store.Check(t.Context(), []string{"a"}); err != nil || locked {
				t.Errorf("slow %d times: after a minute it is held: %v, %v", slow, locked, err)
			}
			stop()
		})
	}
}

func TestWhatHappensToBoundHoldsIsForgotten(t *testing.T) {
	s := open(t)
	count := &s.server.handler.ties.count
	c := s.socket()
	version := s.lock("u", "a")
	c.send(bound("u", "a", longBound))
	c.next().is(200)
	if count.Load() != 1 {
		t.Fatalf("%d are tied", count.Load())
	}
	s.unlock("u", "a", version)
	if count.Load() != 0 {
		t.Errorf("%d are tied after an unlock", count.Load())
	}
	c.send(bound("u", "a", longBound))
	c.next().is(200)
	s.post("/extend", `{"uid":"u"}`).is(200)
	if count.Load() != 0 {
		t.Errorf("%d are tied after a plain extend", count.Load())
	}
	c.send(`{"id":1,"op":"extend","uid":"u","bind":true}`)
	c.next().is(200)
	if count.Load() != 1 {
		t.Errorf("%d are tied after an extend that binds", count.Load())
	}
	// Those that end by themselves are forgotten now and then.
	for i := range 2500 {
		c.send(fmt.Sprintf(`{"id":1,"op":"lock","uid":"w","keys":"%d","exp":1,"bind":true}`, i))
		c.next().is(200)
	}
	until(t, func() string {
		if n := count.Load(); n > 2400 {
			return fmt.Sprintf("%d are tied", n)
		}
		return ""
	})
}

// Asking for a hold again, or extending it, never makes its life shorter; so it
// stays bound, however short the exp was.
func TestBoundHoldsThatAreAskedForAgainStayBound(t *testing.T) {
	s := open(t)
	s.server.handler.ties.grace = time.Millisecond
	count := &s.server.handler.ties.count
	c := s.socket()
	ask := func(request string) {
		t.Helper()
		c.send(request)
		c.next().is(200)
	}
	ask(bound("u", "a", longBound))
	ask(`{"id":1,"op":"lock","uid":"u","keys":"a","exp":1}`)
	ask(`{"id":1,"op":"lock","uid":"u","keys":["b","c"],"exp":3600000,"bind":true}`)
	ask(`{"id":1,"op":"extend","uid":"u","exp":1}`)
	ask(`{"id":1,"op":"lock","uid":"u","keys":"d","mode":"shared","exp":3600000,"bind":true}`)
	ask(`{"id":1,"op":"lock","uid":"u","keys":"d","exp":1,"bind":true}`) // another version
	for i := range 1100 {                                                // and now those that have ended are forgotten
		ask(fmt.Sprintf(`{"id":1,"op":"lock","uid":"w","keys":"%d","exp":1,"bind":true}`, i))
	}
	until(t, func() string {
		if n := count.Load(); n > 1000 {
			return fmt.Sprintf("nothing was forgotten: %d are tied", n)
		}
		return ""
	})
	c.Close()
	until(t, func() string {
		if locked, _ := s.service.Check(t.Context(), []string{"a", "b", "c", "d"}); locked {
			return "one is held"
		}
		return ""
	})
}

// halting is a service that halts each time that it has seen what is held, until
// the test lets it go on.
type halting struct {
	holdfast.Service
	looks chan string
	goOn  chan struct{}
}

func (h halting) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	state, err := h.Service.Get(ctx, key)
	select {
	case h.looks <- key:
		<-h.goOn
	case <-ctx.Done(): // the test is over
	}
	return state, err
}

// To look at the holds of a connection takes a while when they are many. One
// that its owner has extended meanwhile is not released.
func TestABoundHoldThatIsExtendedWhileOthersAreLookedAtStays(t *testing.T) {
	service := halting{openStore(t), make(chan string), make(chan struct{})}
	s := openOver(t, service, Options{Prompt: true})
	s.server.handler.ties.grace = time.Millisecond
	c := s.socket()
	for _, key := range []string{"a", "b"} {
		c.send(bound("u", key, longBound))
		c.next().is(200)
	}
	c.Close()
	look := func() string {
		t.Helper()
		key := soon(t, service.looks)
		service.goOn <- struct{}{}
		return key
	}
	look()
	look()
	kept := look() // it has not been extended
	other := soon(t, service.looks)
	state, err := service.Service.Get(t.Context(), kept)
	if err != nil {
		t.Fatal(err)
	}
	back := s.socket()
	back.send(fmt.Sprintf(`{"id":1,"op":"extend","uid":"u","tokens":[{"key":%q,"version":%d}],"exp":3600000,"bind":true}`, kept, state.Holders[0].Version))
	if got := back.next().is(200).body; !strings.Contains(got, `"lost":[]`) {
		t.Fatal(got)
	}
	close(service.goOn)
	go func() { // on a busy machine it looks again: the last one took long
		for {
			select {
			case <-service.looks:
			case <-t.Context().Done():
				return
			}
		}
	}()
	until(t, func() string {
		if locked, _ := s.service.Check(t.Context(), []string{other}); locked {
			return "the other one is held"
		}
		return ""
	})
	if locked, err := s.service.Check(t.Context(), []string{kept}); !locked || err != nil {
		t.Errorf("what was extended was released: %v", err)
	}
	until(t, func() string { // nothing but the one that is tied to the connection
		if n := s.server.handler.ties.count.Load(); n != 1 {
			return fmt.Sprintf("%d are tied", n)
		}
		return ""
	})
}

// A request for many tells what is left of the hold that ends first; another one
// may have been there before, and live on for long.
func TestABoundHoldThatOutlivesTheOthersOfItsRequestStaysBound(t *testing.T) {
	s := open(t)
	s.server.handler.ties.grace = time.Millisecond
	s.lock("u", "a") // for an hour
	c := s.socket()
	ask := func(request string) {
		t.Helper()
		c.send(request)
		c.next().is(200)
	}
	ask(`{"id":1,"op":"lock","uid":"u","keys":["a","b"],"exp":1,"bind":true}`)
	for i := range 1100 { // and now those that have ended are forgotten
		ask(fmt.Sprintf(`{"id":1,"op":"lock","uid":"w","keys":"%d","exp":1,"bind":true}`, i))
	}
	until(t, func() string {
		if n := s.server.handler.ties.count.Load(); n > 1000 {
			return fmt.Sprintf("nothing was forgotten: %d are tied", n)
		}
		return ""
	})
	c.Close()
	until(t, func() string {
		if locked, _ := s.service.Check(t.Context(), []string{"a"}); locked {
			return "it is held"
		}
		return ""
	})
}

// An upgrade makes another hold, which is bound only if its request says so.
func TestAnUpgradeIsBoundByItself(t *testing.T) {
	s := open(t)
	s.server.handler.ties.grace = time.Millisecond
	c := s.socket()
	for _, request := range []string{
		`{"id":1,"op":"lock","uid":"u","keys":["a","b"],"mode":"shared","exp":3600000,"bind":true}`,
		`{"id":2,"op":"lock","uid":"u","keys":"a","exp":3600000,"bind":true}`,
		`{"id":3,"op":"lock","uid":"u","keys":"b","exp":3600000}`,
	} {
		c.send(request)
		c.next().is(200)
	}
	c.Close()
	until(t, func() string {
		if n := s.server.handler.ties.count.Load(); n != 0 {
			return fmt.Sprintf("%d are tied", n)
		}
		return ""
	})
	s.post("/check", `{"keys":"a"}`).shows(`{"locked":false}`)
	s.post("/check", `{"keys":"b"}`).shows(`{"locked":true}`)
}
