package redisstore

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"time"

	"holdfast"
)

// Requests that come while others are on their way to Redis go there together,
// in one script: most of what a script costs is not what it does.
const (
	manyMost   = 128 // requests in one script
	manyFlying = 2   // such scripts on their way
)

// small is a request for the short way: lock one key exclusively, or give one
// token back.
type small struct {
	lock     bool
	uid, key string
	value    uint64 // exp in ms, or the version
	note     string
	answered chan struct{} // gets one value when what follows is set
	number   int64
	err      error

	sent, late bool // guarded by many.mu: it is on its way; nobody waits for it any more
}

var smalls = sync.Pool{New: func() any { return &small{answered: make(chan struct{}, 1)} }}

// many gathers small requests.
type many struct {
	mu     sync.Mutex
	queue  []*small
	flying int
	alone  int // requests on their way by themselves
}

// together carries a small request out with others, if there are any to go
// with. Otherwise, or if it is not for the short way after all, it says no, and
// the request has to go by itself; done is then to be called, if not nil.
func (s *Store) together(ctx context.Context, lock bool, uid, key string, value uint64, note string) (number int64, ok bool, done func(), err error) {
	m := &s.many
	m.mu.Lock()
	if m.flying == 0 && m.alone < manyFlying {
		m.alone++
		m.mu.Unlock()
		return 0, false, s.wasAlone, nil
	}
	r := smalls.Get().(*small)
	r.lock, r.uid, r.key, r.value, r.note, r.sent = lock, uid, key, value, note, false
	m.queue = append(m.queue, r)
	if m.flying < manyFlying {
		m.flying++
		go s.fly()
	}
	m.mu.Unlock()
	select {
	case <-r.answered:
	case <-ctx.Done():
		return 0, true, nil, context.Cause(ctx) // r is left to the one who answers
	case <-s.bounded().Done():
		return 0, true, nil, s.tooLate(r)
	}
	number, err = r.number, r.err
	r.err = nil
	smalls.Put(r)
	return number, err != nil || number >= 0, nil, err
}

// tooLate is the answer to a request that Redis has not answered in time. If it
// was still to be sent, it will not be.
func (s *Store) tooLate(r *small) error {
	s.many.mu.Lock()
	defer s.many.mu.Unlock()
	r.late = true
	err := holdfast.Unavailable(context.DeadlineExceeded, "Redis does not answer")
	err.OutcomeUnknown = r.sent
	return err
}

func (s *Store) wasAlone() {
	s.many.mu.Lock()
	s.many.alone--
	s.many.mu.Unlock()
}

// fly takes what has gathered to Redis until there is nothing more.
func (s *Store) fly() {
	m := &s.many
	args := make([]string, 0, 1+5*manyMost)
	batch := make([]*small, 0, manyMost)
	for {
		m.gather()
		m.mu.Lock()
		batch = m.take(batch[:0])
		if len(batch) == 0 {
			m.flying--
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		args = append(args[:0], s.limits)
		for _, r := range batch {
			kind := "u"
			if r.lock {
				kind = "l"
			}
			args = append(args, kind, r.uid, r.key, strconv.FormatUint(r.value, 10), r.note)
		}
		answer, err := s.run(context.Background(), s.scripts.many, args...)
		if err == nil && len(answer) != len(batch) {
			err = answerError(answer)
		}
		for i, r := range batch {
			if r.err = err; err == nil {
				r.number, r.err = answer[i].AsInt64()
			}
			r.answered <- struct{}{}
		}
	}
}

// take moves requests from the queue to the batch.
func (m *many) take(batch []*small) []*small {
	for len(m.queue) > 0 && len(batch) < manyMost {
		r := m.queue[0]
		m.queue = m.queue[1:]
		if !r.late {
			r.sent = true
			batch = append(batch, r)
		}
	}
	if len(m.queue) == 0 {
		m.queue = nil
	}
	return batch
}

// gather lets those who are about to ask do so first, for as long as more come.
func (m *many) gather() {
	before := -1
	for range 8 {
		m.mu.Lock()
		now := len(m.queue)
		m.mu.Unlock()
		if now == before || now >= manyMost {
			return
		}
		before = now
		runtime.Gosched()
	}
}

// lockTogether is Lock for a request that may go with others.
func (s *Store) lockTogether(req holdfast.LockRequest) (grant holdfast.Grant, ok bool, done func(), err error) {
	// To its end whatever becomes of the client: see ask.
	sent := time.Now()
	version, ok, done, err := s.together(context.Background(), true, req.UID, req.Keys[0].Key, uint64(req.Exp.Milliseconds()), req.Note)
	if !ok || err != nil {
		return holdfast.Grant{}, ok, done, err
	}
	return s.grantedShort(req, version, sent), true, done, nil
}
