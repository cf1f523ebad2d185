package memory

import (
	"testing"
	"time"

	"holdfast"
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
