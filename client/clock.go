package client

import (
	"context"
	"time"
)

// instant is a moment, for durations only. It is kept by two clocks: Go's
// monotonic one, and one that goes on while the machine is suspended, which
// the first does not do everywhere.
type instant struct {
	running  time.Time
	sleeping time.Duration
}

// withSuspension is the clock that goes on. Tests put another in its place.
var withSuspension = sinceBoot

func now() instant { return instant{time.Now(), withSuspension()} }

// since is how much time has passed, by the clock that says more.
func (i instant) since() time.Duration {
	at := now()
	return max(at.running.Sub(i.running), at.sleeping-i.sleeping)
}

// pause waits for so long and says whether it did: not if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
