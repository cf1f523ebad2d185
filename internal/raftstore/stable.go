package raftstore

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"github.com/hashicorp/raft"
)

// stable is raft's own state: the term and the vote. Where raft cannot write
// its term it ends the process; but a disk that is full now has room later. So
// it is tried until it is written. Meanwhile this node neither votes nor leads,
// and so harms nobody.
type stable struct {
	raft.StableStore
	closing context.Context
	logger  *slog.Logger
}

// SetUint64 comes back when the value is on disk.
func (s stable) SetUint64(key []byte, value uint64) error {
	untilWritten(s.closing, s.logger, func() error { return s.StableStore.SetUint64(key, value) })
	return nil
}

const writeAgainEvery = 100 * time.Millisecond

// untilWritten tries to write until it succeeds. It is for raft's goroutine: if
// the store closes meanwhile, it ends that one.
func untilWritten(closing context.Context, logger *slog.Logger, write func() error) {
	for said := false; ; said = true {
		err := write()
		if err == nil {
			return
		}
		if !said {
			logger.Error("the disk refuses to write; trying again until it does not", "error", err)
		}
		select {
		case <-time.After(writeAgainEvery):
		case <-closing.Done():
			// Neither can raft go on nor may it end the process: this ends its
			// goroutine, which it is about to end anyway.
			runtime.Goexit()
		}
	}
}
