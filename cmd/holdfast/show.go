package main

import (
	"context"
	"fmt"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/wire"
)

type showCommand struct {
	scripted
	Key string `arg:"" complete:"@key" help:"Key to show."`
}

// Help is what stands between the usage line and the flags.
func (showCommand) Help() string { return tableHelp }

// Run shows one key.
func (c *showCommand) Run() error {
	return c.call(func(ctx context.Context, locks *client.Client) error {
		lock, err := locks.Get(ctx, c.Key)
		switch {
		case err != nil:
			return err
		case c.JSON:
			return printJSON(wire.AppendState(nil, lock))
		case len(lock.Holders)+len(lock.Waiters) == 0 && onTerminal():
			fmt.Println("free")
			return nil
		}
		return printLocks([]holdfast.Lock{lock})
	})
}
