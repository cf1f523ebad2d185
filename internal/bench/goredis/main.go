// Command goredis measures what many services do for a lock, in the same way
// as `holdfast bench` measures a lock service: SET NX PX, and a script that
// deletes the key if it still has the owner's value, with go-redis. It stands
// here so that the service itself does not depend on go-redis.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9"

	"holdfast/internal/bench"
)

type command struct {
	bench.Load
	Addr  string        `default:"localhost:6379" placeholder:"HOST:PORT" help:"Redis to measure."`
	Conns int           `placeholder:"N" help:"Connections that the clients share; without it one for each."`
	Exp   time.Duration `default:"30s" placeholder:"DURATION" help:"How long a key lives."`
	Poll  time.Duration `default:"1ms" placeholder:"DURATION" help:"How long to rest before asking again for a key that is taken."`
	JSON  bool          `name:"json" help:"Print the result as one line of JSON, latencies in microseconds."`
}

func main() {
	var c command
	kong.Parse(&c, kong.Name("goredis"), kong.Description("Measures locks with go-redis."))
	if err := c.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "goredis:", err)
		os.Exit(1)
	}
}

func (c *command) run(ctx context.Context) error {
	if c.Conns == 0 {
		c.Conns = c.Clients
	}
	db := redis.NewClient(&redis.Options{Addr: c.Addr, PoolSize: c.Conns})
	defer db.Close()
	if err := unlock.Load(ctx, db).Err(); err != nil {
		return err
	}
	result, err := bench.Run(ctx, c.Load, func(_ int, uid string) bench.Owner { return &owner{c, db, uid} })
	if err != nil {
		return err
	}
	result.Target, result.Calls, result.Conns = c.Addr, "go-redis", c.Conns
	if err := result.Print(os.Stdout, c.JSON); err != nil {
		return err
	}
	if failed := result.Failed(); failed > 0 {
		return fmt.Errorf("%d calls failed", failed)
	}
	return nil
}

// unlock deletes a key unless it has run out and belongs to another one.
var unlock = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

// owner is one owner of a key, again and again.
type owner struct {
	*command
	db  *redis.Client
	uid string
}

func (o *owner) Lock(ctx context.Context, key string) error {
	for {
		ok, err := o.db.SetNX(ctx, key, o.uid, o.Exp).Result()
		if err != nil || ok {
			return err
		}
		select {
		case <-time.After(o.Poll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (o *owner) Unlock(ctx context.Context, key string) error {
	n, err := unlock.Run(ctx, o.db, []string{key}, o.uid).Int()
	if err == nil && n == 0 {
		return bench.ErrNotHeld
	}
	return err
}
