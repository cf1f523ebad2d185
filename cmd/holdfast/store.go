package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"time"

	"holdfast"
	"holdfast/internal/api"
	"holdfast/internal/memory"
	"holdfast/internal/metrics"
	"holdfast/internal/raftstore"
	"holdfast/internal/redisstore"
	"holdfast/internal/stats"
	locktable "holdfast/internal/table"
)

// store is what keeps the state, opened and ready to serve.
type store struct {
	holdfast.Service
	kind  string                      // memory, raft or redis
	name  string                      // as the log and the documentation say it
	ready func(context.Context) error // says why it cannot serve; nil if it always can
	stop  func()                      // sends those who wait away; what they stand in line for is kept if the store can
	close func() error

	backup func(context.Context, io.Writer) error // writes the whole state; nil if there is nothing to keep

	cluster api.Cluster // nil if it is no node of one

	prompt bool // it answers at once whatever does not stand in line

	locks   func(context.Context) (stats.Locks, error) // the figures that every store has
	figures func(*metrics.Set)                         // adds those of its own; nil if it has none

	count func(context.Context) (holdfast.Count, error) // says how much there is

	failed <-chan error // gives why it cannot go on; nil if that does not happen
}

// openStore opens the store that the settings choose. It never falls back to
// another one. url is where it will be served.
func (c *serveCommand) openStore(ctx context.Context, log *slog.Logger, url string) (*store, error) {
	redis := c.RedisHost != "" || c.RedisPort != 0 || c.RedisURL != "" || c.RedisPrefix != ""
	if node := c.given(); node != "" && (c.NoRedis || redis) {
		return nil, usageError(node + ": only servers that keep their state on disk are nodes of a cluster, and -N or a Redis setting says otherwise")
	}
	switch {
	case c.NoRedis:
		return openMemory(c.limitSettings.ofStore())
	case redis:
		return openRedis(ctx, c, log)
	default:
		return openDurable(ctx, c, log, url)
	}
}

// openMemory keeps the state in this process; it ends with it.
func openMemory(limits locktable.Limits) (*store, error) {
	service := memory.New()
	service.Limit(limits)
	return &store{
		Service: service, kind: "memory", name: "memory", prompt: true,
		stop: service.Stop, close: service.Close,
		count: service.Count, locks: always(service.Stats),
	}, nil
}

// openRedis keeps the state in a Redis that many servers may share. If Redis is
// out of reach, the service starts all the same and is not ready.
func openRedis(ctx context.Context, c *serveCommand, log *slog.Logger) (*store, error) {
	url := string(c.RedisURL)
	if url == "" {
		url = "redis://" + net.JoinHostPort(cmp.Or(string(c.RedisHost), "localhost"), strconv.Itoa(cmp.Or(int(c.RedisPort), 6379)))
	}
	service, err := redisstore.New(ctx, redisstore.Options{URL: url, Prefix: string(c.RedisPrefix), Limits: c.limitSettings.ofStore(), Log: log})
	if err != nil {
		return nil, usageError("--redis-url (REDIS_URL): " + err.Error())
	}
	return &store{
		Service: service, kind: "redis", name: "Redis, at " + service.Addresses(),
		ready: service.Ready, stop: service.Stop, close: service.Close,
		count: service.Count, locks: service.Stats, figures: func(m *metrics.Set) { m.Redis(service.RedisStats) },
	}, nil
}

// openDurable keeps the state in the data directory, alone or as a node of a
// cluster.
func openDurable(ctx context.Context, c *serveCommand, log *slog.Logger, url string) (*store, error) {
	if c.KeepPlaces < time.Millisecond || c.KeepPlaces > time.Hour {
		return nil, usageError(fmt.Sprintf("--keep-places (KEEP_PLACES): must be between 1ms and 1h, not %s", c.KeepPlaces))
	}
	node, err := c.node(ctx, url, log)
	if err != nil {
		return nil, err
	}
	service, err := raftstore.Open(ctx, raftstore.Options{Dir: string(c.DataDir), Logger: log, KeepPlaces: c.KeepPlaces, Limits: c.limitSettings.ofStore(), Node: node})
	if err != nil {
		return nil, err
	}
	s := &store{
		Service: service, kind: "raft", name: "durable, in " + string(c.DataDir),
		ready: service.Ready, stop: service.Stop, close: service.Close, backup: service.Backup, failed: service.Failed(),
		count: service.Count, locks: always(service.Stats), figures: func(m *metrics.Set) { m.Raft(service.RaftStats) },
	}
	if node != nil {
		s.name += ", node " + node.ID
		s.cluster = service
	}
	return s, nil
}

// always is for a store that has its figures at hand.
func always(read func() stats.Locks) func(context.Context) (stats.Locks, error) {
	return func(context.Context) (stats.Locks, error) { return read(), nil }
}

// metrics gives the set of all figures of the service, but for those of its
// HTTP side.
func (s *store) metrics() *metrics.Set {
	set := metrics.New(buildVersion(), s.kind)
	set.Ready(s.ready)
	set.Locks(s.locks)
	if s.figures != nil {
		s.figures(set)
	}
	return set
}
