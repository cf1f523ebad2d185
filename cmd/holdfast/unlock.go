package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/wire"
)

type unlockCommand struct {
	scripted
	UID   string  `name:"uid" required:"" placeholder:"UID" help:"Owner of the holds."`
	Token []token `arg:"" sep:"none" placeholder:"KEY@VERSION" help:"Token to give back, KEY@VERSION."`
}

// Help is what stands between the usage line and the flags.
func (unlockCommand) Help() string {
	return `Prints the keys that it released. A token that names no hold of the owner
changes nothing, and the status is 76.`
}

// Run gives the tokens back.
func (c *unlockCommand) Run() error {
	return c.call(func(ctx context.Context, locks *client.Client) error {
		keys, err := locks.Unlock(ctx, holdfast.UnlockRequest{UID: c.UID, Tokens: plainTokens(c.Token)})
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(wire.AppendUnlocked(nil, keys))
		} else if len(keys) > 0 {
			_, err = fmt.Println(strings.Join(keys, "\n"))
		}
		if err != nil {
			return err
		}
		return c.refused(keys)
	})
}

// refused is the error for the first token that released nothing. The answer
// names keys alone: of two tokens for one key it does not say which was held.
func (c *unlockCommand) refused(unlocked []string) error {
	of := map[string]token{}
	for _, t := range c.Token {
		if !slices.Contains(unlocked, t.Key) {
			return notHeld(c.UID, t)
		}
		if other, twice := of[t.Key]; twice && other != t {
			return &exit{statusLost, fmt.Sprintf("%q held only one of the tokens that name %q", c.UID, t.Key)}
		}
		of[t.Key] = t
	}
	return nil
}

// notHeld is the error for a token that names no hold.
func notHeld(uid string, t token) error {
	return &exit{statusLost, fmt.Sprintf("%q does not hold %s, or not any more", uid, t)}
}
