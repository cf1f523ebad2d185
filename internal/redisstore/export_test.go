package redisstore

import "time"

// vanish ends the store as SIGKILL would: without a word to Redis, and its
// waiters never hear of anything.
func (s *Store) vanish() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.done.Wait()
	client := s.client.Load()
	(*client).Close()
	s.client.Store(nil)
	s.mu.Lock()
	s.trouble = errNotTried
	s.mu.Unlock()
	time.Sleep(time.Millisecond)
}
