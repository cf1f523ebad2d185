package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
)

// oldest is the major version of Redis that is needed at least. (SET with GET
// and TIME within scripts that write came earlier, but nothing older is tested.)
const oldest = 7

// reach connects to Redis for the first time. After that the client connects
// anew by itself.
func (s *Store) reach(ctx context.Context) error {
	client, err := rueidis.NewClient(s.connect)
	if err != nil {
		if client != nil {
			client.Close()
		}
		return err
	}
	if err := s.inspect(ctx, client); err != nil {
		client.Close()
		return err
	}
	s.client.Store(&client)
	return nil
}

// inspect refuses a Redis that is too old, and warns of one that may evict holds.
// One that does not want to say what it is gets the benefit of the doubt.
func (s *Store) inspect(ctx context.Context, client rueidis.Client) error {
	info, err := client.Do(ctx, client.B().Info().Build()).ToString()
	if err != nil {
		if _, refused := rueidis.IsRedisErr(err); refused && strings.HasPrefix(err.Error(), "NOPERM") {
			return nil
		}
		return err
	}
	if policy := said(info, "maxmemory_policy"); strings.HasPrefix(policy, "allkeys-") {
		s.log.Warn("Redis evicts any keys when it is full, and with them holds: set maxmemory-policy to noeviction", "policy", policy)
	}
	return newEnough(said(info, "redis_version"))
}

// said gives what INFO says of something; empty if nothing.
func said(info, what string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), what+":"); ok {
			return value
		}
	}
	return ""
}

func newEnough(version string) error {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < oldest {
		return fmt.Errorf("%w: it is %s, and %d.0 or later is needed", errTooOld, version, oldest)
	}
	return nil
}

// run carries a script out. The error is what the caller should be told.
func (s *Store) run(ctx context.Context, script *rueidis.Lua, args ...string) ([]rueidis.RedisMessage, error) {
	message, err := s.do(ctx, script, args)
	if err != nil {
		return nil, err
	}
	answer, err := message.ToArray()
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	return answer, nil
}

// do is run for a script that need not answer with a list.
func (s *Store) do(ctx context.Context, script *rueidis.Lua, args []string) (rueidis.RedisMessage, error) {
	client := s.client.Load()
	if client == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed {
			return rueidis.RedisMessage{}, errClosed()
		}
		return rueidis.RedisMessage{}, holdfast.Unavailable(s.trouble, "%s", s.trouble)
	}
	bounded := ctx
	if ctx.Done() == nil {
		bounded = s.bounded()
	} else {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, s.options.Timeout)
		defer cancel()
	}
	began := time.Now()
	message, err := script.Exec(bounded, *client, s.root, args).ToMessage()
	s.counts.roundTrip(began, err)
	if err != nil {
		return message, s.failure(ctx, err)
	}
	return message, nil
}

// bounds is a ctx that ends Timeout from begun, for all calls of the next
// moments: a timer for each would cost as much as the rest of a call.
type bounds struct {
	ctx   context.Context
	begun time.Time
}

// bounded gives a ctx that ends after Timeout, or up to an eighth sooner.
func (s *Store) bounded() context.Context {
	b := s.bounds.Load()
	if b == nil || time.Since(b.begun) > s.options.Timeout/8 {
		// It ends by itself: nobody can say when the last call is done with it.
		ctx, cancel := context.WithTimeout(context.Background(), s.options.Timeout)
		context.AfterFunc(ctx, cancel)
		b = &bounds{ctx: ctx, begun: time.Now()}
		s.bounds.Store(b)
	}
	return b.ctx
}

// answerError is for an answer that no script of ours gives.
func answerError(answer []rueidis.RedisMessage) error {
	return holdfast.Unavailable(nil, "Redis gave an answer that makes no sense: %v", answer)
}
