package main

import (
	"context"
	"fmt"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/wire"
)

type forceCommand struct {
	scripted
	Reason nonEmpty `required:"" placeholder:"TEXT" help:"Why; for the record."`
	Key    string   `arg:"" complete:"@key" help:"Key to release."`
}

// Help is what stands between the usage line and the flags.
func (forceCommand) Help() string {
	return `Ends all holds on the key and prints whose they were; the next in line is let
in. The old owners may still be at work: only a resource that compares versions
refuses them.`
}

// Run releases the key.
func (c *forceCommand) Run() error {
	return c.call(func(ctx context.Context, locks *client.Client) error {
		released, err := locks.Force(ctx, holdfast.ForceRequest{Key: c.Key, Reason: string(c.Reason)})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(wire.AppendReleased(nil, released))
		}
		t := newTable("TOKEN", "UID")
		for _, r := range released {
			t.row(token{r.Key, r.Version}.String(), r.UID)
		}
		if len(released) == 0 && t.human {
			fmt.Println("nobody held it")
			return nil
		}
		return t.flush()
	})
}
