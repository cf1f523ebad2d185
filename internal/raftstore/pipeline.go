package raftstore

import (
	"time"

	"github.com/hashicorp/raft"
)

// AppendEntriesPipeline opens a pipeline to a node in which nothing waits for
// ever. In hashicorp/raft v1.7.3, one who sends entries down a pipeline waits
// for room in it even when nobody takes the answers out at its end any more,
// because the other node has a newer term. Its goroutine would stay, and
// Shutdown would wait for that.
func (t *mended) AppendEntriesPipeline(id raft.ServerID, at raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.transport.AppendEntriesPipeline(id, at)
	if err != nil {
		return nil, err
	}
	return pipeline{p}, nil
}

type pipeline struct{ raft.AppendPipeline }

// AppendEntries gives the pipeline up when there is no room in it for longer
// than a message may take.
func (p pipeline) AppendEntries(args *raft.AppendEntriesRequest, answer *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	timer := time.AfterFunc(peerTimeout, func() { p.AppendPipeline.Close() })
	defer timer.Stop()
	return p.AppendPipeline.AppendEntries(args, answer)
}
