// Command etcd puts the load of `holdfast bench` on the mutex of etcd's Go
// client, which is a key under a lease.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"holdfast/internal/bench"
)

type command struct {
	bench.Load
	Addr  []string `required:"" placeholder:"HOST:PORT,..." help:"Members of etcd to measure."`
	Conns int      `default:"1" placeholder:"N" help:"Connections that the clients share; without it 1."`
	JSON  bool     `name:"json" help:"Print the result as one line of JSON, latencies in microseconds."`
}

func main() {
	var c command
	kong.Parse(&c, kong.Name("etcd"), kong.Description("Measures locks with etcd."))
	if err := c.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

func (c *command) run(ctx context.Context) error {
	conns := make([]*clientv3.Client, max(1, min(c.Conns, c.Clients)))
	for i := range conns {
		conn, err := clientv3.New(clientv3.Config{Endpoints: c.Addr, Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		defer conn.Close()
		conns[i] = conn
	}
	owners := make([]*owner, c.Clients)
	for i := range owners {
		session, err := concurrency.NewSession(conns[i%len(conns)])
		if err != nil {
			return err
		}
		owners[i] = &owner{session: session}
	}
	result, err := bench.Run(ctx, c.Load, func(i int, _ string) bench.Owner { return owners[i] })
	if err != nil {
		return err
	}
	result.Target, result.Calls, result.Conns = c.Addr[0], "etcd", len(conns)
	return result.Print(os.Stdout, c.JSON)
}

// owner is one owner of a key, again and again. Its keys live as long as its
// session.
type owner struct {
	session *concurrency.Session
	mutex   *concurrency.Mutex
}

func (o *owner) Lock(ctx context.Context, key string) error {
	o.mutex = concurrency.NewMutex(o.session, "/locks/"+key)
	err := o.mutex.Lock(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // gRPC has an error of its own for it
	}
	return err
}

func (o *owner) Unlock(ctx context.Context, _ string) error {
	err := o.mutex.Unlock(ctx)
	if errors.Is(err, concurrency.ErrLockReleased) {
		return bench.ErrNotHeld
	}
	return err
}
