package client

import (
	"context"
	"net/http"

	"holdfast/internal/wire"
)

// await waits for the answer to a call that was sent.
func (s *stream) await(ctx context.Context, call *call, sent *sent) ([]byte, *trouble) {
	heard := s.heard.Load()
	select {
	case answer := <-sent.answer:
		return s.verdict(call, sent, answer)
	case <-ctx.Done():
		if !call.grants {
			if call.keeps && ctx.Err() == context.DeadlineExceeded {
				s.doubt.Store(heard + 1)
			}
			return s.giveUp(sent, ctx.Err())
		}
		// The answer says what became of it: withdrawn, or granted just before.
		s.withdraw(sent.id)
		sent.limit.Reset(linger)
		select {
		case answer := <-sent.answer:
			return s.verdict(call, sent, answer)
		case <-sent.limit.C:
			return s.giveUp(sent, ctx.Err())
		}
	case <-sent.limit.C:
		if s.heard.Load() == heard {
			s.close(errSilent) // and who else waits for it need not do so longer
		} else if call.grants {
			s.withdraw(sent.id)
		}
		return s.giveUp(sent, context.DeadlineExceeded)
	}
}

// verdict reads an answer.
func (s *stream) verdict(call *call, sent *sent, answer wire.Answer) ([]byte, *trouble) {
	switch answer.Status {
	case 0:
		return s.giveUp(sent, s.err)
	case http.StatusOK:
		s.answered(sent)
		call.grace = answer.Grace
		return answer.Body, nil
	}
	s.answered(sent)
	return nil, refused(s.server, answer.Status, answer.RetryAfter, answer.Body)
}

// giveUp is the trouble with a connection on which no answer came.
func (s *stream) giveUp(sent *sent, cause error) ([]byte, *trouble) {
	sent.limit.Stop()
	s.forget(sent.id)
	t := away(s.server, cause)
	t.OutcomeUnknown = s.mayBeHeard(sent.id)
	return nil, t
}
