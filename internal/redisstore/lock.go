package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
	"holdfast/internal/table"
)

// Lock grants all keys or none. See [holdfast.Service].
func (s *Store) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	req, err := req.Normal()
	if err != nil {
		return holdfast.Grant{}, err
	}
	if err := s.enter(ctx); err != nil {
		return holdfast.Grant{}, err
	}
	if len(req.Keys) == 1 && req.Keys[0].Mode == holdfast.Exclusive && req.Wait == 0 {
		grant, ok, done, err := s.lockTogether(req)
		if done != nil {
			defer done()
		}
		if ok && err == nil && ctx.Err() != nil {
			return holdfast.Grant{}, s.gone(ctx, undoShort(req, grant.Tokens[0].Version))
		}
		if ok {
			return grant, err
		}
	}
	args := make([]string, beforeAsks, beforeAsks+2*len(req.Keys))
	args[0], args[1], args[2], args[4] = req.UID, millis(req.Exp), req.Note, s.limits
	for i := range req.Keys {
		args = append(args, code(&req.Keys[i]), req.Keys[i].Key)
	}
	if req.Wait > 0 {
		return s.lockInLine(ctx, req, args)
	}
	sent := time.Now()
	answer, err := s.ask(args)
	if err != nil {
		return holdfast.Grant{}, err
	}
	return s.told(ctx, answer, req, sent)
}

// beforeAsks is how many arguments of the script lock come before what is asked.
const beforeAsks = 5

// limitsWord is how scripts are told of limits; see limits.lua.
func limitsWord(l table.Limits) string {
	if l == (table.Limits{}) {
		return ""
	}
	return fmt.Sprint(l.Holds, l.HoldsOfUID, l.WaitersOfUID, l.WaitersOfKey)
}

// ask runs the script lock, to its end even if the client goes meanwhile: what
// it is granted right now is then not left behind without an answer.
func (s *Store) ask(args []string) ([]rueidis.RedisMessage, error) {
	message, err := s.do(context.Background(), s.scripts.lock, args)
	if err != nil {
		return nil, err
	}
	if message.IsInt64() { // lock_fast.lua
		return []rueidis.RedisMessage{message}, nil
	}
	answer, err := message.ToArray()
	if err != nil {
		return nil, s.failure(context.Background(), err)
	}
	return answer, nil
}

// code says what is asked of a key, as the scripts do.
func code(ask *holdfast.Ask) string {
	if ask.Mode == holdfast.Exclusive {
		return "x"
	}
	return strconv.Itoa(ask.Limit)
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// status is the word with which most answers begin.
func status(answer []rueidis.RedisMessage) string {
	if len(answer) == 0 || answer[0].IsInt64() {
		return ""
	}
	word, _ := answer[0].ToString()
	return word
}

// grantedShort is the grant of one key by the short way; see lock_fast.lua.
func (s *Store) grantedShort(req holdfast.LockRequest, version int64, sent time.Time) holdfast.Grant {
	s.endsIn(req.Exp.Milliseconds())
	s.counts.Grants.Add(1)
	return holdfast.Grant{Tokens: []holdfast.Token{{Key: req.Keys[0].Key, Version: uint64(version)}}, Exp: left(req.Exp, sent)}
}

// promptly is how long an answer of Redis may take to be as good as new.
const promptly = 100 * time.Millisecond

// left is how much is left of a hold when an answer has come that says so, to a
// script that was sent then. When it was carried out is not known here.
func left(said time.Duration, sent time.Time) time.Duration {
	took := time.Since(sent)
	if took < promptly {
		return said
	}
	return max(0, said-took).Truncate(time.Millisecond)
}

// answered is what an answer of the scripts lock, claim and leave, sent then,
// means for the request.
func (s *Store) answered(answer []rueidis.RedisMessage, req holdfast.LockRequest, sent time.Time) (holdfast.Grant, error) {
	if len(answer) == 1 && answer[0].IsInt64() && len(req.Keys) == 1 {
		version, _ := answer[0].AsInt64()
		return s.grantedShort(req, version, sent), nil
	}
	switch status(answer) {
	case "granted":
		if len(answer) < 2+len(req.Keys) {
			break
		}
		s.endsIn(req.Exp.Milliseconds())
		said, err := answer[1].AsInt64()
		if err != nil {
			break
		}
		grant := holdfast.Grant{Tokens: make([]holdfast.Token, len(req.Keys)), Exp: left(time.Duration(said)*time.Millisecond, sent)}
		for i := range req.Keys {
			version, err := answer[2+i].AsInt64()
			if err != nil {
				return holdfast.Grant{}, answerError(answer)
			}
			grant.Tokens[i] = holdfast.Token{Key: req.Keys[i].Key, Version: uint64(version)}
		}
		s.counts.Grants.Add(1)
		return grant, nil
	case "locked", "left":
		blockers, err := readBlockers(answer[1:])
		if err != nil {
			break
		}
		return holdfast.Grant{}, holdfast.Locked(blockers)
	case "deadlock":
		s.counts.Deadlocks.Add(1)
		var cycle []holdfast.Link
		for i := 1; i+1 < len(answer); i += 2 {
			uid, _ := answer[i].ToString()
			key, _ := answer[i+1].ToString()
			cycle = append(cycle, holdfast.Link{UID: uid, Key: key})
		}
		return holdfast.Grant{}, holdfast.Deadlock(cycle)
	case "limit":
		f := fields{answer[1:]}
		message := s.options.Limits.Beyond(f.text(), f.text())
		return holdfast.Grant{}, &holdfast.Error{Code: holdfast.CodeLimit, Message: message, RetryAfter: time.Second}
	}
	return holdfast.Grant{}, answerError(answer)
}
