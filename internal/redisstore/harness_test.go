package redisstore

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/redistest"
)

func openOver(t testing.TB, url string) *Store {
	t.Helper()
	s, err := New(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// quick are options with which a fault is noticed soon.
func quick(url string) Options {
	return Options{URL: url, Timeout: 400 * time.Millisecond, DeadAfter: 2 * time.Second}
}

func openQuick(t testing.TB, url string) *Store {
	t.Helper()
	s := openMortal(t, url)
	t.Cleanup(func() { s.Close() })
	return s
}

// openMortal opens a store that is to vanish: nobody closes it.
func openMortal(t testing.TB, url string) *Store {
	t.Helper()
	s, err := New(t.Context(), quick(url))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func lock(t testing.TB, s *Store, uid, key string, exp time.Duration) holdfast.Token {
	t.Helper()
	grant, err := s.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(key), Exp: exp})
	if err != nil {
		t.Fatal(err)
	}
	return grant.Tokens[0]
}

// waits starts a request that has to stand in line, and gives its answer.
func waits(t testing.TB, s *Store, uid, key string) <-chan error {
	t.Helper()
	answer := make(chan error, 1)
	go func() {
		_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(key), Exp: time.Minute, Wait: time.Minute})
		answer <- err
	}()
	redistest.Eventually(t, uid+" stands in line", func() bool { return inLine(t, s, uid, key) && s.knowsPlace(uid) })
	return answer
}

// knowsPlace says whether the store has heard where this owner stands in line.
func (s *Store) knowsPlace(uid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.byTicket {
		if strings.HasPrefix(c.ask, uid+"\x00") && c.place != "" {
			return true
		}
	}
	return false
}

func inLine(t testing.TB, s *Store, uid, key string) bool {
	state, err := s.Get(t.Context(), key)
	if err != nil {
		return false
	}
	for _, w := range state.Waiters {
		if w.UID == uid {
			return true
		}
	}
	return false
}

func unlock(t testing.TB, s *Store, uid string, token holdfast.Token) {
	t.Helper()
	keys, err := s.Unlock(t.Context(), holdfast.UnlockRequest{UID: uid, Tokens: []holdfast.Token{token}})
	if err != nil || len(keys) != 1 {
		t.Fatalf("%s unlocks %v: %v %v", uid, token, keys, err)
	}
}

func soon(t testing.TB, what string, answer <-chan error) {
	t.Helper()
	select {
	case err := <-answer:
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: no answer", what)
	}
}

// unavailable asks something and wants to be told so within the time allowed.
func unavailable(t testing.TB, s *Store) *holdfast.Error {
	t.Helper()
	began := time.Now()
	_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("any")})
	if took := time.Since(began); took > 5*s.options.Timeout {
		t.Errorf("the answer took %v with a timeout of %v", took, s.options.Timeout)
	}
	e, ok := errors.AsType[*holdfast.Error](err)
	if !ok || e.Code != holdfast.CodeUnavailable {
		t.Fatalf("answer: %v; want unavailable", err)
	}
	return e
}

// vanish ends the store as SIGKILL would: without a word to Redis, and its
// waiters never hear of anything.
func (s *Store) vanish() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.done.Wait()
	client := s.client.Swap(nil)
	(*client).Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = errNotTried
}

// slowly passes connections on to a server, what is asked so much later, and
// what is answered.
func slowly(t testing.TB, to string, asked, answered time.Duration) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			go passOn(there, from, asked)
			go passOn(from, there, answered)
		}
	}()
	return listener.Addr().String()
}

func passOn(to, from net.Conn, late time.Duration) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		time.Sleep(late)
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
