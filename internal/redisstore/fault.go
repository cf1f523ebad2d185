package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/rueidis"

	"holdfast"
)

var (
	errNotTried = errors.New("the Redis server has not been reached yet")
	errTooOld   = errors.New("this Redis is too old")
)

const noPermission = "the Redis user may not do what is needed (see docs/redis.md for its permissions)"

// notInScripts is how Redis begins, from 7.2 on and before, when a script may
// not do something. By then it may have done something else.
var notInScripts = []string{"ACL failure in script", "The user executing the script can't"}

// refusals say in words what Redis means when it refuses, by the word with
// which its answer begins. Whatever of these it says, nothing was done.
var refusals = []struct{ begin, meaning string }{
	{"WRONGPASS", "Redis does not accept the user name or the password"},
	{"NOAUTH", "Redis wants a password, and the URL has none"},
	{"AUTH", "the URL has a password, but Redis has none"},
	{"NOPERM", noPermission},
	{"DB index", "this Redis has no database with that number"},
	{"SELECT is not allowed in cluster mode", "a Redis Cluster has no database but 0"},
	{"READONLY", "this Redis is a replica, which can only be read"},
	{"OOM", "Redis has reached its maxmemory, and takes nothing more"},
	{"MISCONF", "Redis cannot save to its disk, and takes nothing more until it can"},
	{"NOREPLICAS", "Redis has fewer replicas than its min-replicas-to-write wants"},
	{"LOADING", "Redis is still reading its data from disk"},
	{"MASTERDOWN", "this Redis is a replica that has lost its primary"},
	{"CLUSTERDOWN", "the Redis Cluster is down"},
	{"TRYAGAIN", "the Redis Cluster moves what is here to another node; wait until it has"},
	{"MOVED", "this Redis is a node of a cluster: use redis+cluster:// in the URL"},
	{"BUSY", "Redis is busy with a script of somebody else"},
}

// explain says what an error of Redis or of the way to it means, and whether
// it is certain that nothing was done.
func explain(err error) (message string, nothingDone bool) {
	text := strings.TrimPrefix(err.Error(), "ERR ")
	for _, begin := range notInScripts {
		if strings.HasPrefix(text, begin) {
			return noPermission, false
		}
	}
	for _, refusal := range refusals {
		if strings.HasPrefix(text, refusal.begin) {
			return refusal.meaning, true
		}
	}
	if _, refused := rueidis.IsRedisErr(err); refused {
		return "Redis refuses: " + text, false
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Sprintf("Redis cannot be reached: %v", op), true
	}
	switch {
	case errors.Is(err, errTooOld):
		return text, true
	case errors.Is(err, rueidis.ErrNoAddr):
		return "Redis cannot be reached", true
	case errors.Is(err, rueidis.ErrClosing): // also of what is on its way
		return "the connection to Redis was closed", false
	case errors.Is(err, context.DeadlineExceeded):
		return "Redis does not answer", false
	}
	return "the connection to Redis failed: " + text, false
}

// failure is what a caller is told about an error.
func (s *Store) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	message, nothingDone := explain(err)
	e := holdfast.Unavailable(err, "%s", message)
	e.OutcomeUnknown = !nothingDone
	return e
}

// found keeps what the keeper found out about Redis, and logs when it goes
// away, or away for another reason, and when it is back.
func (s *Store) found(err error) {
	var message string
	if err != nil {
		message, _ = explain(err)
		if e, ok := errors.AsType[*holdfast.Error](err); ok {
			message = e.Message
		}
		err = errors.New(message)
	}
	s.mu.Lock()
	before := s.trouble
	s.trouble = err
	s.mu.Unlock()
	switch {
	case err == nil && before != nil:
		s.log.Info("Redis is there", "server", s.id)
	case err != nil && (before == nil || before.Error() != message):
		s.log.Error("Redis cannot be used; serving anyway, and not ready until it can", "reason", message)
	}
}
