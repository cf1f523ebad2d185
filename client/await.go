package client

import (
	"context"
	"net/http"
	"time"

	"holdfast/internal/wire"
)

// await waits for the answer to a call that was sent.
func (s *stream) await(ctx context.Context, call *call, id uint64, sent sent, wait time.Duration) ([]byte, *trouble) {
	heard := s.heard.Load()
	limit := time.NewTimer(answerWithin + wait)
	defer limit.Stop()
	select {
	case answer := <-sent:
		return s.answered(call, id, answer)
	case <-ctx.Done():
		if !call.grants {
			s.forget(id)
			return nil, s.away(id, ctx.Err())
		}
		// The answer says what became of it: withdrawn, or granted just before.
		s.withdraw(id)
		limit.Reset(linger)
		select {
		case answer := <-sent:
			return s.answered(call, id, answer)
		case <-limit.C:
			s.forget(id)
			return nil, s.away(id, ctx.Err())
		}
	case <-limit.C:
		if s.heard.Load() == heard {
			s.close(errSilent) // and who else waits for it need not do so longer
		} else if call.grants {
			s.withdraw(id)
		}
		s.forget(id)
		return nil, s.away(id, context.DeadlineExceeded)
	}
}

// answered reads an answer.
func (s *stream) answered(call *call, id uint64, answer wire.Answer) ([]byte, *trouble) {
	switch answer.Status {
	case 0:
		return nil, s.away(id, s.err)
	case http.StatusOK:
		call.grace = answer.Grace
		return answer.Body, nil
	}
	return nil, refused(s.server, answer.Status, answer.RetryAfter, answer.Body)
}

// away is the trouble with a connection on which no answer came.
func (s *stream) away(id uint64, cause error) *trouble {
	t := away(s.server, cause)
	t.OutcomeUnknown = s.wasWritten(id)
	return t
}
