//go:build unix

package main

import (
	"context"
	"errors"
	"time"

	"holdfast/client"
)

// The life of a hold around a command, in parts of its exp since it was last
// extended for certain:
//
//	1/3    the Held begins to extend it
//	2/3    it could not: the command is told to end
//	9/10   it is over on this side: the command is killed
//	1      it can be over on the server
const watchPause = 30

// leftToEnd is how much must be left of a hold when the command is told to
// end: from 2/3 to 9/10 of exp.
func leftToEnd(exp time.Duration) time.Duration { return exp * 7 / 30 }

// graceOf is how long a command has to end when the hold is over already.
func graceOf(exp time.Duration) time.Duration { return min(exp/5, 2*time.Second) }

// watch gives notice when so little is left of the hold that the command
// under it must end. It looks often, since a timer stands still while the
// machine is suspended. It ends with ctx.
func watch(ctx context.Context, held *client.Held, exp time.Duration) <-chan struct{} {
	notice := make(chan struct{})
	go func() {
		for ctx.Err() == nil {
			rest := held.Left() - leftToEnd(exp)
			if rest <= 0 {
				close(notice)
				return
			}
			select {
			case <-time.After(min(rest, exp/watchPause)):
			case <-ctx.Done():
			}
		}
	}()
	return notice
}

// lostBecause says why a hold whose command must end is lost, or is about to
// be.
func lostBecause(held *client.Held) string {
	const inTime = "the hold could not be extended in time"
	err, trouble := held.Err(), held.Trouble()
	switch {
	case err != nil && !errors.Is(err, client.ErrNotExtended):
		return oneLine(err)
	case trouble != nil:
		return inTime + ": " + plain(trouble)
	default:
		return inTime
	}
}
