package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/wire"
)

type lockCommand struct {
	scripted
	wanted
	Exp  life          `placeholder:"DURATION" help:"How long the keys stay locked, such as 30s, if nobody extends the hold; without it as the server says, which is 1s if it was not told otherwise."`
	Wait time.Duration `short:"w" placeholder:"DURATION" help:"Stand in line for so long, such as 30s; without it not at all."`
	Key  []string      `arg:"" complete:"@key" help:"Key to lock."`
}

// Help is what stands between the usage line and the flags.
func (lockCommand) Help() string {
	return `Prints a token, KEY@VERSION, for each key. Nobody extends the hold: it ends
when its --exp has passed. Without --uid it makes a uid, and prints it on
stderr, in a line that begins with uid.`
}

// Run locks all keys or none, and prints their tokens.
func (c *lockCommand) Run() error {
	asks, err := c.asks(c.Key)
	if err != nil {
		return err
	}
	own := c.UID == ""
	if own {
		c.UID = nonEmpty(newUID())
		fmt.Fprintln(os.Stderr, "uid", c.UID)
	}
	signal.Ignore(syscall.SIGPIPE) // a token that nobody reads is given back
	return c.call(func(ctx context.Context, locks *client.Client) error {
		req := holdfast.LockRequest{UID: string(c.UID), Keys: asks, Exp: time.Duration(c.Exp), Wait: c.Wait, Note: c.Note}
		grant, err := locks.Lock(ctx, req)
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(wire.AppendGrant(nil, grant))
		} else {
			err = printTokens(grant.Tokens)
		}
		if err != nil && own { // others can ask again, and may have held the keys before
			_, left := locks.Unlock(ctx, holdfast.UnlockRequest{UID: req.UID, Tokens: grant.Tokens})
			err = errors.Join(err, left)
		}
		return err
	})
}

// newUID makes a uid that nobody else has. It does not name this process,
// which ends before the hold does.
func newUID() string {
	host, err := os.Hostname()
	if err != nil || holdfast.ValidUID(host) != nil {
		host = "unknown"
	}
	return host[:min(len(host), 128)] + "/" + rand.Text()
}

func printTokens(tokens []holdfast.Token) error {
	for _, t := range tokens {
		if _, err := fmt.Println(token(t)); err != nil {
			return err
		}
	}
	return nil
}
