package redisstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// resubscribe is how long to wait after a subscription has ended.
const resubscribe = 100 * time.Millisecond

// listen hears who is let in, and of holds that end soon, until the store is
// closed.
func (s *Store) listen(ctx context.Context) {
	s.subscribe(ctx, s.root[0]+"wake:"+s.id, s.reconcileSoon, func(message string) {
		life, ends := strings.CutPrefix(message, "+")
		if !ends {
			s.tell(message)
		} else if ms, err := strconv.ParseInt(life, 10, 64); err == nil {
			s.endsIn(ms)
		}
	})
}

// subscribe hears messages on a channel until ctx ends, across whatever
// becomes of the connection. It calls begun whenever the subscription has
// begun anew: what was sent before that may be lost. Neither function may
// wait for Redis.
func (s *Store) subscribe(ctx context.Context, channel string, begun func(), hear func(message string)) {
	ctx = rueidis.WithOnSubscriptionHook(ctx, func(sub rueidis.PubSubSubscription) {
		if sub.Kind == "subscribe" {
			begun()
		}
	})
	for ctx.Err() == nil {
		if client := s.client.Load(); client != nil {
			c := *client
			_ = c.Receive(ctx, c.B().Subscribe().Channel(channel).Build(), func(m rueidis.PubSubMessage) { hear(m.Message) })
		}
		select {
		case <-time.After(resubscribe):
		case <-ctx.Done():
		}
	}
}
