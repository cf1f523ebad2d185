package raftstore

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// clogged is a pipeline without room: AppendEntries waits until it is closed.
type clogged struct {
	raft.AppendPipeline
	once   sync.Once
	closed chan struct{}
}

func (c *clogged) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	<-c.closed
	return nil, raft.ErrPipelineShutdown
}

func (c *clogged) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func TestAPipelineWithoutRoomIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipeline{&clogged{closed: make(chan struct{})}}
		began := time.Now()
		if _, err := p.AppendEntries(nil, nil); err != raft.ErrPipelineShutdown {
			t.Fatal(err)
		}
		if took := time.Since(began); took != peerTimeout {
			t.Errorf("it took %v", took)
		}
	})
}
