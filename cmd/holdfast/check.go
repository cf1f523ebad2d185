package main

import (
	"context"
	"fmt"

	"holdfast/client"
	"holdfast/internal/wire"
)

type checkCommand struct {
	scripted
	Key []string `arg:"" complete:"@key" help:"Key to look at."`
}

// statusFree is what check ends with when nobody holds any of the keys.
const statusFree = 1

// Help is what stands between the usage line and the flags.
func (checkCommand) Help() string {
	return `Prints locked, with status 0, if at least one of the keys is held by anybody,
and free, with status 1, if none is. Any other status means that it is not known.`
}

// Run looks at the keys.
func (c *checkCommand) Run() error {
	return c.call(func(ctx context.Context, locks *client.Client) error {
		locked, err := locks.Check(ctx, c.Key)
		if err != nil {
			return err
		}
		switch {
		case c.JSON:
			_ = printJSON(wire.AppendChecked(nil, locked)) // the status says it as well
		case locked:
			fmt.Println("locked")
		default:
			fmt.Println("free")
		}
		if !locked {
			return &exit{status: statusFree}
		}
		return nil
	})
}
