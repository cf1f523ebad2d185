package api

import (
	"context"
	"time"

	"holdfast/internal/wire"
)

// task is a request that is carried out beside the reader, since it may have to
// wait, or the rest of one.
type task struct {
	ctx      context.Context
	withdraw context.CancelCauseFunc // nil if it cannot be withdrawn
	began    time.Time
	call     wire.Request
	rest     rest
}

// maxIdle is how many workers of a connection wait for their next task.
const maxIdle = 256

// hand gives a task to a worker that has nothing to do, or to a new one. The
// stack of a new goroutine has to grow first, which takes as long as most tasks.
func (s *stream) hand(t task) {
	select {
	case s.tasks <- t:
	default:
		go s.work(t)
	}
}

// dismiss lets those workers go that have nothing to do. If that was only for a
// moment, others come in their place.
func (s *stream) dismiss() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.over { // afterwards the channel may be closed
		select {
		case s.tasks <- task{}:
		default:
			return
		}
	}
}

// work carries out tasks until the connection ends, it is dismissed, or enough
// others have nothing to do.
func (s *stream) work(t task) {
	for more := true; more; {
		s.finish(&t)
		t = task{}
		if s.idle.Add(1) > maxIdle {
			more = false
		} else {
			t, more = <-s.tasks
			more = more && t.ctx != nil // otherwise it is dismissed
		}
		s.idle.Add(-1)
	}
}

// finish carries out a task, and sends the answer.
func (s *stream) finish(t *task) {
	a := scratch.Get().(*answers)
	if t.rest == nil {
		t.rest = s.answer(t.ctx, t.began, &t.call, nil, a)
	}
	if t.rest != nil {
		s.answer(t.ctx, t.began, &t.call, t.rest, a)
	}
	if t.withdraw != nil {
		t.withdraw(nil)
	}
	s.send(a, t.call.ID)
	if cap(a.text) <= keptBuffer {
		scratch.Put(a)
	}
}
