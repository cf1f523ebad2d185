package main

import (
	"context"
	"strconv"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/wire"
)

type lsCommand struct {
	scripted
	UID    nonEmpty `name:"uid" placeholder:"UID" help:"Only keys on which this uid holds or waits."`
	Waited bool     `help:"Only keys that somebody waits for."`
	Prefix string   `arg:"" optional:"" complete:"@key" help:"Only keys that begin so."`
}

// Help is what stands between the usage line and the flags.
func (lsCommand) Help() string { return tableHelp }

const tableHelp = `One line for each who holds a key or stands in line for it, ordered by key. On
anything but a terminal there is no heading, the columns are separated by tabs,
and times are in milliseconds: key, held or waits, uid, version (0 for one who
waits), mode, limit (0 for none), what is left, since when, note.`

// Run lists the keys, page by page.
func (c *lsCommand) Run() error {
	return c.call(func(ctx context.Context, locks *client.Client) error {
		req := holdfast.ListRequest{Prefix: c.Prefix, UID: string(c.UID), Waited: c.Waited, Limit: holdfast.MaxPage}
		var all []holdfast.Lock
		for {
			page, err := locks.List(ctx, req)
			if err != nil {
				return err
			}
			all = append(all, page.Locks...)
			if page.Next == "" {
				break
			}
			req.After = page.Next
		}
		if c.JSON {
			return printJSON(wire.AppendPage(nil, holdfast.Page{Locks: all}))
		}
		return printLocks(all)
	})
}

// printLocks prints a line for each holder and each waiter.
func printLocks(locks []holdfast.Lock) error {
	t := newTable("KEY", "STATE", "UID", "VERSION", "MODE", "LIMIT", "LEFT", "SINCE", "NOTE")
	for _, lock := range locks {
		for _, h := range lock.Holders {
			t.row(lock.Key, "held", h.UID, strconv.FormatUint(h.Version, 10), h.Mode.String(),
				t.limit(h.Limit), t.duration(h.Exp), t.duration(h.Held), h.Note)
		}
		for _, w := range lock.Waiters {
			t.row(lock.Key, "waits", w.UID, t.none(), w.Mode.String(),
				t.limit(w.Limit), t.none(), t.duration(w.Waited), w.Note)
		}
	}
	return t.flush()
}

// none stands for what one who waits does not have, or a limit that is not
// there.
func (t *table) none() string {
	if t.human {
		return "-"
	}
	return "0"
}

func (t *table) limit(n int) string {
	if n == 0 {
		return t.none()
	}
	return strconv.Itoa(n)
}

// duration writes a time that something takes or took.
func (t *table) duration(d time.Duration) string {
	if t.human {
		return rounded(d)
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}
