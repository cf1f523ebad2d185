package main

import (
	"context"
	"fmt"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/wire"
)

type extendCommand struct {
	scripted
	UID   string  `name:"uid" required:"" placeholder:"UID" help:"Owner of the holds."`
	Exp   life    `placeholder:"DURATION" help:"How long they live from now on, such as 30s; never shorter than they do; without it as the server says."`
	Token []token `arg:"" optional:"" sep:"none" placeholder:"KEY@VERSION" help:"Token of a hold to extend, KEY@VERSION; without any, all holds of the owner."`
}

// Help is what stands between the usage line and the flags.
func (extendCommand) Help() string {
	return `Prints the tokens of the holds that live on. If a token names no hold, the
others are extended all the same, and the status is 76; as it is when no token
is given and the owner holds nothing.`
}

// Run extends the holds.
func (c *extendCommand) Run() error {
	return c.call(func(ctx context.Context, locks *client.Client) error {
		req := holdfast.ExtendRequest{UID: c.UID, Tokens: plainTokens(c.Token), Exp: time.Duration(c.Exp)}
		extension, err := locks.Extend(ctx, req)
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(wire.AppendExtension(nil, extension))
		} else {
			err = printTokens(extension.Tokens)
		}
		if err != nil {
			return err
		}
		switch {
		case len(extension.Lost) > 0:
			return notHeld(c.UID, token(extension.Lost[0]))
		case len(extension.Tokens) == 0: // all that it holds is nothing any more
			return &exit{statusLost, fmt.Sprintf("%q holds nothing, or not any more", c.UID)}
		}
		return nil
	})
}
