package api

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast"
)

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
