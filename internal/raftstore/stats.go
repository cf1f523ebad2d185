package raftstore

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/internal/stats"
)

// Stats are the figures of a store about its log at one moment.
type Stats struct {
	Leader        bool
	Term          uint64
	Committed     uint64 // index of the last entry known to be on a majority of disks
	Applied       uint64 // index of the last entry that the table knows
	LeaderChanges uint64 // how often this node learned of another leader, or of none
	Entries       uint64 // entries that this node has written to its disk

	Write    stats.Distribution // how long such a write took, which ends on the disk
	Commands stats.Distribution // commands in each entry that was proposed here
}

// counts is what a store counts about its log, beside the logWriter.
type counts struct {
	leaderChanges atomic.Uint64
	commands      *stats.Histogram
}

func newCounts() *counts { return &counts{commands: stats.NewHistogram(stats.Sizes)} }

// RaftStats gives the figures of the log. Those of the locks are in Stats.
func (s *Store) RaftStats() Stats {
	return Stats{
		Leader:        s.leading.Load(),
		Term:          s.raft.CurrentTerm(),
		Committed:     s.raft.CommitIndex(),
		Applied:       s.raft.AppliedIndex(),
		LeaderChanges: s.counts.leaderChanges.Load(),
		Entries:       s.disk.log.entries.Load(),
		Write:         s.disk.log.took.Read(),
		Commands:      s.counts.commands.Read(),
	}
}

// settle is for how long changes of the leader are let happen before one is
// logged: a node whose disk is full elects itself many times a second.
const settle = 500 * time.Millisecond

// watchLeader counts changes of the leader from now on, and logs who it is
// when that is not this node, which says so itself once it is ready.
func (s *Store) watchLeader(self raft.ServerID) {
	changed := make(chan struct{}, 1)
	s.raft.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		if _, isLeader := o.Data.(raft.LeaderObservation); isLeader {
			s.counts.leaderChanges.Add(1)
			select {
			case changed <- struct{}{}:
			default:
			}
		}
		return false
	}))
	s.done.Go(func() {
		said := self
		for {
			select {
			case <-changed:
			case <-s.ctx.Done():
				return
			}
			select {
			case <-time.After(settle):
			case <-s.ctx.Done():
				return
			}
			_, leader := s.raft.LeaderWithID()
			switch {
			case leader == said || leader == self:
			case leader == "":
				s.options.Logger.Warn("no leader is known", "term", s.raft.CurrentTerm())
			default:
				s.options.Logger.Info("another node leads", "leader", leader, "term", s.raft.CurrentTerm())
			}
			said = leader
		}
	})
}
