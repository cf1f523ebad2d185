package client

import (
	"context"
	"net/http"

	"holdfast/internal/wire"
)

// await waits for the answer to a call that was sent.
func (s *stream) await(ctx context.Context, call *call, sent *sent) ([]byte, *trouble) {
	select {
	case answer := <-sent.answer:
		if answer.Status == late {
			if s.heard.Load() == sent.heard {
				s.close(errSilent) // and who else waits for it need not do so longer
			} else if call.grants {
				s.withdraw(sent.id)
			}
		}
		return s.verdict(call, sent, answer, context.DeadlineExceeded)
	case <-ctx.Done():
		if !call.grants {
			if call.keeps && ctx.Err() == context.DeadlineExceeded {
				s.doubt.Store(sent.heard + 1)
			}
			return s.giveUp(sent, ctx.Err())
		}
		// The answer says what became of it: withdrawn, or granted just before.
		s.withdraw(sent.id)
		return s.verdict(call, sent, <-sent.answer, ctx.Err())
	}
}

// verdict reads an answer. If it is late, that is because of tooLate.
func (s *stream) verdict(call *call, sent *sent, answer wire.Answer, tooLate error) ([]byte, *trouble) {
	switch answer.Status {
	case 0:
		return s.giveUp(sent, s.err)
	case late:
		return s.giveUp(sent, tooLate)
	}
	s.spare.Put(sent)
	if answer.Status == http.StatusOK {
		call.grace = answer.Grace
		return answer.Body, nil
	}
	return nil, refused(s.server, answer.Status, answer.RetryAfter, answer.Body)
}

// giveUp is the trouble with a connection on which no answer came.
func (s *stream) giveUp(sent *sent, cause error) ([]byte, *trouble) {
	s.forget(sent.id)
	t := away(s.server, cause)
	t.OutcomeUnknown = s.mayBeHeard(sent.id)
	return nil, t
}
