package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"holdfast"
	"holdfast/fence"
)

// Register is what the keys guard in a proof: it takes writes in the name of
// tokens and refuses those that come late. It never stops or forgets. It is
// safe for concurrent use.
type Register struct {
	guard fence.Guard
	count atomic.Int64
}

// Write gives the number of the write among those that were taken, or
// [fence.ErrStale].
func (r *Register) Write(ctx context.Context, tokens []holdfast.Token) (int64, error) {
	var n int64
	err := r.guard.Do(ctx, tokens, func() error {
		n = r.count.Add(1)
		return nil
	})
	return n, err
}

// ServeHTTP takes a write from another process: see [RemoteRegister].
func (r *Register) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	handler := fence.Handler{Gate: &r.guard, Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, r.count.Add(1))
	})}
	handler.ServeHTTP(w, request)
}

// Writer takes writes in the name of tokens.
type Writer interface {
	Write(ctx context.Context, tokens []holdfast.Token) (int64, error)
}

// RemoteRegister is a [Register] at a URL.
type RemoteRegister string

// Write shows the tokens to the register.
func (r RemoteRegister) Write(ctx context.Context, tokens []holdfast.Token) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, string(r), nil)
	if err != nil {
		return 0, err
	}
	fence.SetTokens(request.Header, tokens...)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return 0, err
	case response.StatusCode == http.StatusConflict:
		return 0, fence.ErrStale
	case response.StatusCode != http.StatusOK:
		return 0, fmt.Errorf("the register answered %d: %s", response.StatusCode, body)
	}
	return strconv.ParseInt(strings.TrimSpace(string(body)), 10, 64)
}

// write shows tokens to the register and records what came of it.
func (s *Service) write(ctx context.Context, to Writer, uid string, tokens []holdfast.Token) {
	id := s.Record.begin(Op{Client: s.Client, Kind: Write, UID: uid, Tokens: tokens})
	n, err := to.Write(ctx, tokens)
	s.Record.end(id, func(op *Op) {
		switch {
		case err == nil:
			op.Outcome, op.Sequence = Done, n
		case errors.Is(err, fence.ErrStale):
			op.Outcome = Stale
		default:
			op.Error = err.Error()
		}
	})
}
