package redisstore

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
	"holdfast/internal/stats"
)

// Stats are the figures of a server about Redis at one moment.
type Stats struct {
	Answered stats.Distribution // how long scripts took that Redis answered, from here and back
	Failed   stats.Distribution // and those that got no answer, or a refusal
}

// counts is what a server counts. It is what went through this server; only
// holds that ran out, which nobody asks for, are counted by whatever server
// hears of them first.
type counts struct {
	*stats.Counts
	answered *stats.Histogram
	failed   *stats.Histogram
}

func newCounts() *counts {
	return &counts{stats.NewCounts(), stats.NewHistogram(stats.Quick), stats.NewHistogram(stats.Quick)}
}

// roundTrip counts a script that began then.
func (c *counts) roundTrip(began time.Time, err error) {
	if err != nil && !rueidis.IsRedisNil(err) {
		c.failed.Since(began)
	} else {
		c.answered.Since(began)
	}
}

// waited counts what came of standing in line.
func (c *counts) waited(since time.Time, word string) {
	if word == wordGranted {
		c.Waited.Since(since)
	} else {
		c.Left.Since(since)
	}
}

// released counts a hold that was given back. Its version is Redis' time in µs
// when it was granted, but for numbers that were ahead of the clock; so how
// long it was held is known without asking, as far as the two clocks agree.
func (c *counts) released(token holdfast.Token) {
	c.Releases.Add(1)
	if held := time.Now().UnixMicro() - int64(token.Version); held >= 0 {
		c.Held.Add(held * int64(time.Microsecond))
	}
}

// RedisStats gives the figures about Redis. Those of the locks are in Stats.
func (s *Store) RedisStats() Stats {
	return Stats{s.counts.answered.Read(), s.counts.failed.Read()}
}

// Stats gives the figures of the locks. Holds and Waiters are those of all
// servers, asked of Redis now; the rest is of this server. The error says that
// Redis did not tell, and then they are missing.
func (s *Store) Stats(ctx context.Context) (stats.Locks, error) {
	locks := stats.Locks{Counts: s.counts.Counts, OldestWaiter: s.oldestWaiter()}
	count, err := s.Count(ctx)
	if err != nil {
		return locks, err
	}
	locks.Holds, locks.Waiters = count.Holds, count.Waiters
	return locks, nil
}

// oldestWaiter is how long the one has waited who has waited longest here.
func (s *Store) oldestWaiter() (oldest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.byTicket {
		oldest = max(oldest, time.Since(c.since))
	}
	return oldest
}
