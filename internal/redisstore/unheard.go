package redisstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
)

// A client may go while Redis grants what it asked, or while its grant is
// claimed. What nobody hears of is taken back then (rule 9): the answer says how,
// and is kept as the arguments of the script undo. What the owner has asked for
// again stays, by whatever way.

// told is answered for a client that may have gone by now.
func (s *Store) told(ctx context.Context, answer []rueidis.RedisMessage, req holdfast.LockRequest, sent time.Time) (holdfast.Grant, error) {
	if ctx.Err() != nil {
		if len(answer) == 1 && answer[0].IsInt64() {
			version, _ := answer[0].AsInt64()
			return holdfast.Grant{}, s.gone(ctx, undoShort(req, uint64(version)))
		}
		if status(answer) == wordGranted {
			return holdfast.Grant{}, s.gone(ctx, undoing(req.UID, asked(req), answer))
		}
	}
	return s.answered(answer, req, sent)
}

// asked is what the scripts call so: code and key of each ask.
func asked(req holdfast.LockRequest) string {
	words := make([]string, 0, 2*len(req.Keys))
	for i := range req.Keys {
		words = append(words, code(&req.Keys[i]), req.Keys[i].Key)
	}
	return strings.Join(words, "\x00")
}

// undoShort takes back what was granted the short way.
func undoShort(req holdfast.LockRequest, version uint64) []string {
	number := strconv.FormatUint(version, 10)
	return []string{req.UID, asked(req), number, number}
}

// undoing takes back what an answer grants; nil if it grants nothing, or nothing
// that could be taken back.
func undoing(uid, asked string, answer []rueidis.RedisMessage) []string {
	n := 2 + (strings.Count(asked, "\x00")+1)/2
	if status(answer) != wordGranted || len(answer) <= n {
		return nil
	}
	versions := make([]string, 0, n)
	for f := (fields{answer[2:n]}); len(f.rest) > 0; {
		versions = append(versions, strconv.FormatInt(f.number(), 10))
	}
	undo := []string{uid, asked, strings.Join(versions, " ")}
	for f := (fields{answer[n:]}); len(f.rest) > 0; {
		undo = append(undo, f.text())
	}
	if undo[3] == "0" {
		return nil
	}
	return undo
}

// granted keeps the answer of a claim that was sent then.
func (c *call) granted(answer []rueidis.RedisMessage, sent time.Time) {
	uid, asked, _ := strings.Cut(c.ask, "\x00")
	c.answer, c.sent, c.undo = answer, sent, undoing(uid, asked, answer)
}

// unheard takes the grant of a call back whose client is gone, unless others have
// heard of it, or will.
func (s *Store) unheard(c *call) error {
	s.mu.Lock()
	alone := c.waiting == 0 && c.heard == 0
	s.mu.Unlock()
	if !alone {
		return nil
	}
	return s.undo(c.undo)
}

// gone takes a grant back, and gives the answer that nobody hears.
func (s *Store) gone(ctx context.Context, undo []string) error {
	if err := s.undo(undo); err != nil {
		return holdfast.Unknown(context.Cause(ctx))
	}
	return context.Cause(ctx)
}

func (s *Store) undo(undo []string) error {
	if undo == nil {
		return nil
	}
	_, err := s.run(context.Background(), s.scripts.undo, undo...)
	return err
}
