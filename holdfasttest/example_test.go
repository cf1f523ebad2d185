package holdfasttest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/holdfasttest"
)

// work stands for the program that is tested.
func work(ctx context.Context, locks *client.Client) error {
	return locks.Do(ctx, holdfast.Keys("shard/7"), func(ctx context.Context, tokens []holdfast.Token) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
}

func TestWorkEndsWhenItsHoldIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // an hour takes no time
		server := holdfasttest.Start(t)
		time.AfterFunc(time.Hour, server.GoAway)
		if err := work(t.Context(), server.Client()); !errors.Is(err, client.ErrLost) {
			t.Errorf("it ended with %v", err)
		}
	})
}
