package memory

import (
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// await waits until the state of a key is as wanted.
func await(t *testing.T, s *Store, key string, wanted func(holdfast.Lock) bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		if state, err := s.Get(t.Context(), key); err != nil || wanted(state) {
			return
		}
	}
	t.Fatalf("key %q never came to the wanted state", key)
}

// waiting counts the requests that wait, those in one place singly.
func (s *Store) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		n += c.waiting
	}
	return n
}

// inLine does the first half of a Lock that has to wait.
func (s *Store) inLine(req holdfast.LockRequest) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.apply(&table.Command{Op: table.Lock, UID: req.UID, Keys: req.Keys, Exp: req.Exp, Wait: true})
	return s.callAt(out.Place)
}

func (s *Store) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.Holds()
}
