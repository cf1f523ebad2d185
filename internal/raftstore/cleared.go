package raftstore

import (
	"context"
	"log/slog"
)

// cleared is the log as raft writes to it. Where raft cannot clear it, to go on
// behind a snapshot of another node, it says so and goes on; but the log takes no
// entry that does not follow its last one. So it is tried until it is clear, as
// with [stable], and raft neither answers nor writes meanwhile.
type cleared struct {
	*logWriter
	closing context.Context
	logger  *slog.Logger
}

// DeleteRange drops entries. If these are all, it comes back when they are
// dropped; of others raft knows what to do if they are still there.
func (c cleared) DeleteRange(first, last uint64) error {
	drop := func() error { return c.logWriter.DeleteRange(first, last) }
	begin, err := c.FirstIndex()
	if err != nil || begin < first {
		return drop()
	}
	if end, err := c.LastIndex(); err != nil || last < end {
		return drop()
	}
	untilWritten(c.closing, c.logger, drop)
	return nil
}
