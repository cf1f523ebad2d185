package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/bench"
)

type benchCommand struct {
	asking
	bench.Load
	Conns  int           `placeholder:"N" help:"Connections that the clients share; without it 1, and with --http one for each."`
	HTTP   bool          `name:"http" help:"Plain calls, each a request of its own, instead of a stream."`
	Exp    time.Duration `default:"30s" placeholder:"DURATION" help:"How long a hold lives; without it 30s."`
	Wait   time.Duration `default:"30s" placeholder:"DURATION" help:"How long a client stands in line; without it 30s."`
	Shared bool          `help:"Lock the keys as shared."`
	Limit  holders       `placeholder:"N" help:"With --shared: at most N holders of a key."`
	JSON   bool          `name:"json" help:"Print the result as one line of JSON, latencies in microseconds."`
}

// Help is what stands between the usage line and the flags.
func (benchCommand) Help() string {
	return `Try it:

    holdfast bench --clients 64 --duration 5s
    holdfast bench --clients 64 --keys shared

Each client locks a key, unlocks it, and begins again. The keys begin with
bench/ and chance, so that they are in nobody's way; what else the server does
suffers all the same. If a call failed, the status is 1.`
}

// Validate is called by kong.
func (c *benchCommand) Validate() error {
	if c.Conns < 0 || c.Conns > c.Clients {
		return fmt.Errorf("--conns: must be from 1 to the number of clients")
	}
	return c.Load.Validate()
}

// Run measures, and prints the result.
func (c *benchCommand) Run() error {
	if c.Conns == 0 {
		c.Conns = 1
		if c.HTTP {
			c.Conns = c.Clients
		}
	}
	asks, err := (&wanted{Shared: c.Shared, Limit: c.Limit}).asks([]string{"bench"})
	if err != nil {
		return err
	}
	var result bench.Result
	err = c.call(func(ctx context.Context, locks *client.Client) error {
		// Better one message now than an error for each client later.
		probe := holdfast.LockRequest{UID: "bench", Keys: asks, Exp: c.Exp, Wait: c.Wait}
		if _, err := probe.Normal(); err != nil {
			return err
		}
		if _, err := locks.Check(ctx, []string{"bench"}); err != nil {
			return err
		}
		result, err = c.measure(ctx, asks[0])
		return err
	})
	if err != nil {
		return err
	}
	if err := result.Print(os.Stdout, c.JSON); err != nil {
		return err
	}
	if failed := result.Failed(); failed > 0 {
		return fmt.Errorf("%d calls failed", failed)
	}
	return nil
}

func (c *benchCommand) measure(ctx context.Context, ask holdfast.Ask) (bench.Result, error) {
	conns := make([]*client.Client, c.Conns)
	for i := range conns {
		locks, err := c.clientWith(client.Options{Plain: c.HTTP}) // each has connections of its own
		if err != nil {
			return bench.Result{}, err
		}
		defer locks.Close()
		conns[i] = locks
	}
	result, err := bench.Run(ctx, c.Load, func(i int, uid string) bench.Owner {
		return &benchOwner{
			locks: conns[i%len(conns)],
			req:   holdfast.LockRequest{UID: uid, Keys: []holdfast.Ask{ask}, Exp: c.Exp, Wait: c.Wait},
		}
	})
	result.Target = strings.Join(c.servers(), ",")
	result.Calls, result.Conns = "stream", c.Conns
	if c.HTTP {
		result.Calls = "http"
	}
	return result, err
}

// benchOwner is one owner of a hold, again and again.
type benchOwner struct {
	locks  *client.Client
	req    holdfast.LockRequest
	tokens []holdfast.Token
}

func (o *benchOwner) Lock(ctx context.Context, key string) error {
	o.req.Keys[0].Key = key
	grant, err := o.locks.Lock(ctx, o.req)
	o.tokens = grant.Tokens
	return err
}

func (o *benchOwner) Unlock(ctx context.Context, _ string) error {
	keys, err := o.locks.Unlock(ctx, holdfast.UnlockRequest{UID: o.req.UID, Tokens: o.tokens})
	if err == nil && len(keys) == 0 {
		return bench.ErrNotHeld
	}
	return err
}
