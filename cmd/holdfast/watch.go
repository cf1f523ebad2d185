package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/wire"
)

type watchCommand struct {
	asking
	Prefix string   `complete:"@key" placeholder:"PREFIX" help:"Only keys that begin so."`
	UID    nonEmpty `name:"uid" placeholder:"UID" help:"Only what happens to this uid."`
	After  uint64   `placeholder:"ID" help:"Begin behind the event with this id, if a server still knows what came then; without it from now on."`
	JSON   bool     `name:"json" help:"Print each event as one line of JSON."`
}

// Help is what stands between the usage line and the flags.
func (watchCommand) Help() string {
	return `One line for each event: the time of this machine, what happened (granted,
extended, released, expired, forced, waiting, cancelled), the token, or the key
of one who waits, the uid, and what else there is to say. When the connection
is lost it goes on where it was; gap says that events are missing there. It ends
when it is told to, or with status 69 when no server can be reached for as long
as --patience.`
}

// Run prints events until it is told to end.
func (c *watchCommand) Run() error {
	return c.call(func(ctx context.Context, locks *client.Client) error {
		events, err := locks.Watch(ctx, holdfast.WatchRequest{Prefix: c.Prefix, UID: string(c.UID), After: c.After})
		if err != nil {
			return err
		}
		for e, err := range events {
			if err != nil {
				return err
			}
			if err := c.print(e); err != nil {
				return err // nobody reads any more
			}
		}
		return context.Cause(ctx)
	})
}

func (c *watchCommand) print(e holdfast.Event) error {
	if c.JSON {
		_, err := fmt.Printf("%s\n", wire.AppendEventLine(nil, e))
		return err
	}
	_, err := fmt.Fprintln(os.Stdout, time.Now().Format("15:04:05.000"), eventLine(e))
	return err
}

// eventLine tells an event to people.
func eventLine(e holdfast.Event) string {
	if e.Type == holdfast.EventGap {
		return "gap         events are missing here"
	}
	key := e.Key
	if e.Version != 0 {
		key = token{e.Key, e.Version}.String()
	}
	said := []string{fmt.Sprintf("%-10s", e.Type), printable(key), printable(e.UID)}
	if e.Mode == holdfast.Shared {
		said = append(said, "shared")
	}
	if e.Limit != 0 {
		said = append(said, "limit "+strconv.Itoa(e.Limit))
	}
	if e.Exp != 0 {
		said = append(said, "for "+rounded(e.Exp))
	}
	if e.Note != "" {
		said = append(said, strconv.Quote(e.Note))
	}
	if e.Reason != "" {
		said = append(said, "because "+strconv.Quote(e.Reason))
	}
	return strings.Join(said, "  ")
}
