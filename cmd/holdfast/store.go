package main

import (
	"context"
	"log/slog"

	"holdfast"
	"holdfast/internal/memory"
	"holdfast/internal/raftstore"
)

// store is what keeps the state, opened and ready to serve.
type store struct {
	holdfast.Service
	name  string                      // as the log and the documentation say it
	ready func(context.Context) error // says why it cannot serve; nil if it always can
	stop  func()                      // sends those who wait away; what they stand in line for is kept if the store can
	close func() error

	failed <-chan error // gives why it cannot go on; nil if that does not happen
}

// openStore opens the store that the settings choose. It never falls back to
// another one.
func (c *serveCommand) openStore(ctx context.Context, log *slog.Logger) (*store, error) {
	switch {
	case c.NoRedis:
		return openMemory()
	case c.RedisHost != "" || c.RedisPort != 0 || c.RedisURL != "":
		return openRedis(c)
	default:
		return openDurable(ctx, c, log)
	}
}

// openMemory keeps the state in this process; it ends with it.
func openMemory() (*store, error) {
	service := memory.New()
	return &store{Service: service, name: "memory", stop: service.Stop, close: service.Close}, nil
}

// openRedis will keep the state in a Redis that many servers may share.
func openRedis(*serveCommand) (*store, error) {
	return nil, usageError("a Redis setting asks for the Redis store, which is not built in yet: start with -N (--no-redis) to keep the state in memory only")
}

// openDurable keeps the state in the data directory.
func openDurable(ctx context.Context, c *serveCommand, log *slog.Logger) (*store, error) {
	service, err := raftstore.Open(ctx, raftstore.Options{Dir: string(c.DataDir), Logger: log})
	if err != nil {
		return nil, err
	}
	return &store{
		Service: service, name: "durable, in " + string(c.DataDir),
		ready: service.Ready, stop: service.Stop, close: service.Close, failed: service.Failed(),
	}, nil
}
