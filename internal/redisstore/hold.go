package redisstore

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
)

// Unlock releases what req names exactly. See [holdfast.Service].
func (s *Store) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if len(req.Tokens) == 1 {
		token := req.Tokens[0]
		n, ok, done, err := s.together(ctx, false, req.UID, token.Key, token.Version, "")
		if done != nil {
			defer done()
		}
		switch {
		case ok && err != nil:
			return nil, err
		case ok:
			return s.releasedShort(token, n), nil
		}
	}
	args := append(make([]string, 0, 1+2*len(req.Tokens)), req.UID)
	message, err := s.do(ctx, s.scripts.unlock, appendTokens(args, req.Tokens))
	if err != nil {
		return nil, err
	}
	if message.IsInt64() { // unlock_fast.lua
		n, _ := message.AsInt64()
		return s.releasedShort(req.Tokens[0], n), nil
	}
	answer, err := message.ToArray()
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	keys := make([]string, len(answer))
	for i := range answer {
		n, err := answer[i].AsInt64()
		if err != nil || n < 1 || int(n) > len(req.Tokens) {
			return nil, answerError(answer)
		}
		keys[i] = req.Tokens[n-1].Key
		s.counts.released(req.Tokens[n-1])
	}
	return keys, nil
}

func appendTokens(args []string, tokens []holdfast.Token) []string {
	for _, token := range tokens {
		args = append(args, token.Key, strconv.FormatUint(token.Version, 10))
	}
	return args
}

// releasedShort is what the short way of Unlock has released, which is the one
// token or, if n is zero, nothing; see unlock_fast.lua.
func (s *Store) releasedShort(token holdfast.Token, n int64) []string {
	if n == 0 {
		return []string{}
	}
	s.counts.released(token)
	return []string{token.Key}
}

// Extend starts the life of holds anew. See [holdfast.Service].
func (s *Store) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	req, err := req.Normal()
	if err != nil {
		return holdfast.Extension{}, err
	}
	if err := s.enter(ctx); err != nil {
		return holdfast.Extension{}, err
	}
	if req.Tokens != nil && len(req.Tokens) == 0 {
		return holdfast.Extension{}, nil // nothing is not everything
	}
	if req.Tokens == nil {
		return s.extendAll(ctx, req)
	}
	args := append(make([]string, 0, 2+2*len(req.Tokens)), req.UID, millis(req.Exp))
	sent := time.Now()
	answer, err := s.run(ctx, s.scripts.extend, appendTokens(args, req.Tokens)...)
	if err != nil {
		return holdfast.Extension{}, err
	}
	extension, err := readExtension(answer, req.Tokens)
	if err != nil {
		return holdfast.Extension{}, err
	}
	extension.Exp = left(extension.Exp, sent)
	s.counts.Extensions.Add(uint64(len(extension.Tokens)))
	return extension, nil
}

// extendAll extends all that a uid holds, as many at once as the script takes.
func (s *Store) extendAll(ctx context.Context, req holdfast.ExtendRequest) (extension holdfast.Extension, err error) {
	var first time.Duration // to end, as was said to a script that was sent then
	var sent time.Time
	for after, more := "", true; more; more = after != "" {
		now := time.Now()
		answer, err := s.run(ctx, s.scripts.extend, req.UID, millis(req.Exp), after)
		if err == nil && len(answer) < 2 {
			err = answerError(answer)
		}
		if err != nil {
			if extension.Tokens != nil {
				err = holdfast.Unknown(err)
			}
			return holdfast.Extension{}, err
		}
		f := fields{answer}
		said := time.Duration(f.number()) * time.Millisecond
		after = f.text()
		if len(f.rest) > 0 && (extension.Tokens == nil || now.Add(said).Before(sent.Add(first))) {
			first, sent = said, now
		}
		s.counts.Extensions.Add(uint64(len(f.rest) / 2))
		for len(f.rest) > 0 {
			extension.Tokens = append(extension.Tokens, holdfast.Token{Key: f.text(), Version: uint64(f.number())})
		}
	}
	if extension.Tokens != nil {
		extension.Exp = left(first, sent)
	}
	return extension, nil
}

// readExtension reads an answer of extend.lua, to a request with these tokens.
func readExtension(answer []rueidis.RedisMessage, asked []holdfast.Token) (extension holdfast.Extension, err error) {
	if len(answer) == 0 {
		return extension, answerError(answer)
	}
	said, err := answer[0].AsInt64()
	if err != nil {
		return extension, answerError(answer)
	}
	extension.Exp = time.Duration(said) * time.Millisecond
	next := 1
	for i, token := range asked {
		extended := false
		if next < len(answer) {
			n, err := answer[next].AsInt64()
			extended = err == nil && int(n) == i+1
		}
		if extended {
			next++
			extension.Tokens = append(extension.Tokens, token)
		} else {
			extension.Lost = append(extension.Lost, token)
		}
	}
	return extension, nil
}

// Force releases a key whoever holds it. See [holdfast.Service].
func (s *Store) Force(ctx context.Context, req holdfast.ForceRequest) ([]holdfast.Released, error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	answer, err := s.run(ctx, s.scripts.force, req.Key, req.Reason)
	if err != nil {
		return nil, err
	}
	var released []holdfast.Released
	for i := 0; i+1 < len(answer); i += 2 {
		uid, _ := answer[i].ToString()
		version, err := answer[i+1].AsInt64()
		if err != nil {
			return nil, answerError(answer)
		}
		released = append(released, holdfast.Released{Key: req.Key, UID: uid, Version: uint64(version)})
	}
	s.counts.Forced.Add(uint64(len(released)))
	return released, nil
}
