package raftstore

import (
	"context"
	"log/slog"

	"github.com/hashicorp/raft"
)

// cleared is the log as raft writes to it, which must not fail where raft goes on
// as if it had not. So that is tried until it succeeds, as with [stable], and raft
// neither answers nor writes meanwhile.
//
// Where raft cannot drop all entries, to go on behind a snapshot of another node,
// it says so and goes on; but the log takes no entry that does not follow its last
// one. And where raft has dropped the last ones, for others of the leader, and
// cannot write those, it still takes the dropped ones for its last (a note in
// appendEntries of hashicorp/raft v1.7.3 says so), and never again takes any.
type cleared struct {
	*logWriter
	closing context.Context
	logger  *slog.Logger
	cut     bool // the last entries were dropped, and none written since
}

// DeleteRange drops entries. If these are all, it comes back when they are
// dropped; of others raft knows what to do if they are still there.
func (c *cleared) DeleteRange(first, last uint64) error {
	drop := func() error { return c.logWriter.DeleteRange(first, last) }
	begin, err := c.FirstIndex()
	if err != nil {
		return drop()
	}
	if end, err := c.LastIndex(); err != nil || last < end {
		return drop()
	}
	if begin < first {
		err := drop()
		c.cut = c.cut || err == nil
		return err
	}
	untilWritten(c.closing, c.logger, drop)
	return nil
}

// StoreLogs writes entries. After the last ones were dropped, it comes back when
// others are on disk.
func (c *cleared) StoreLogs(entries []*raft.Log) error {
	write := func() error { return c.logWriter.StoreLogs(entries) }
	if !c.cut {
		return write()
	}
	untilWritten(c.closing, c.logger, write)
	c.cut = false
	return nil
}
