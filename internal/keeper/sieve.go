package keeper

import (
	"hash/maphash"
	"sync/atomic"
)

// sieve counts holds by a hash of their owner and key. So a request for what
// its owner does not hold, as most are, is told from one that only prolongs
// without waiting for the commands that are being carried out. It may let
// through what is not held; and while the clock begins anew it may hold back
// what is, which only sends it the longer way.
type sieve [1 << 12]atomic.Int32

var sieveSeed = maphash.MakeSeed()

func (s *sieve) at(key, uid string) *atomic.Int32 {
	hash := maphash.String(sieveSeed, key)*31 + maphash.String(sieveSeed, uid)
	return &s[hash%uint64(len(s))]
}

func (s *sieve) began(key, uid string) { s.at(key, uid).Add(1) }

func (s *sieve) ended(key, uid string) { s.at(key, uid).Add(-1) }

func (s *sieve) mayHold(key, uid string) bool { return s.at(key, uid).Load() > 0 }

func (s *sieve) clear() {
	for i := range s {
		s[i].Store(0)
	}
}
