package main

import (
	"context"
	"errors"
	"time"

	"holdfast"
	"holdfast/client"
)

// The life of a hold around a command, in parts of its exp since it was last
// extended for certain:
//
//	1/4    it is extended; an attempt may take 1/5
//	2/3    it could not be: the command is told to end
//	9/10   the command is killed
//	1      it can be over on the server
//
// The Held extends the hold as well, and knows the last but one; but not the
// one before, which gives the command time to end in good order.
const (
	watchEvery   = 4
	watchAttempt = 5
	watchPause   = 30
)

func endAt(exp time.Duration) time.Duration  { return exp * 2 / 3 }
func killAt(exp time.Duration) time.Duration { return exp * 9 / 10 }

// graceOf is how long a command has to end when the hold is lost already.
func graceOf(exp time.Duration) time.Duration { return min(exp/5, 2*time.Second) }

// ending is why a command must end, and when to kill it at the latest.
type ending struct {
	reason error
	kill   time.Time
}

// watch extends the hold until ctx ends, and gives notice when the command
// under it must end. At since, or a little later, the hold was last extended.
func watch(ctx context.Context, locks *client.Client, held *client.Held, exp time.Duration, since time.Time) <-chan ending {
	notice := make(chan ending, 1)
	go func() {
		rest := exp / watchEvery
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(rest):
			}
			began := time.Now()
			lost, err := extendFor(ctx, locks, held, exp, min(exp/watchAttempt, endAt(exp)-began.Sub(since)))
			switch {
			case ctx.Err() != nil:
				return
			case err == nil && lost:
				notice <- ending{client.ErrLost, time.Now().Add(graceOf(exp))}
				return
			case err == nil:
				since, rest = began, exp/watchEvery
			case time.Since(since) >= endAt(exp):
				notice <- ending{err, since.Add(killAt(exp))}
				return
			default:
				rest = exp / watchPause
			}
		}
	}()
	return notice
}

// confirm extends a new hold, so that it is known since when it lives.
func confirm(locks *client.Client, held *client.Held, exp time.Duration) (since time.Time, err error) {
	since = time.Now()
	lost, err := extendFor(context.Background(), locks, held, exp, endAt(exp))
	if err == nil && lost {
		err = &exit{statusLost, "the hold was lost before the command was run"}
	}
	if errors.Is(err, errNoAnswer) {
		err = holdfast.Unavailable(err, "%v", err)
	}
	return since, err
}

// extendFor makes one attempt, and says whether a part of the hold is gone.
func extendFor(ctx context.Context, locks *client.Client, held *client.Held, exp, limit time.Duration) (lost bool, err error) {
	attempt, cancel := context.WithTimeoutCause(ctx, limit, errNoAnswer)
	defer cancel()
	extension, err := locks.Extend(attempt, holdfast.ExtendRequest{UID: held.UID(), Tokens: held.Tokens(), Exp: exp})
	return len(extension.Lost) > 0, err
}

var errNoAnswer = errors.New("no server answers")
