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

// watchLeader counts changes of the leader from now on, has requests look for
// the new one, and logs who it is when that is not this node, which says so
// itself once it is ready.
func (s *Store) watchLeader(self raft.ServerID) {
	// Raft never waits for room here. One change stands for any number: who
	// hears of it looks who leads by then.
	changed := make(chan raft.Observation, 1)
	s.raft.RegisterObserver(raft.NewObserver(changed, false, func(o *raft.Observation) bool {
		_, isLeader := o.Data.(raft.LeaderObservation)
		if isLeader {
			s.counts.leaderChanges.Add(1)
		}
		return isLeader
	}))
	s.done.Go(func() {
		said := self
		var settled <-chan time.Time // nil while nothing has changed
		for {
			select {
			case <-changed:
				s.reroute()
				if settled == nil {
					settled = time.After(settle)
				}
			case <-settled:
				settled = nil
				said = s.sayLeader(self, said)
			case <-s.ctx.Done():
				return
			}
		}
	})
}

// sayLeader logs who leads unless that was said before, and gives who it is.
func (s *Store) sayLeader(self, said raft.ServerID) raft.ServerID {
	_, leader := s.raft.LeaderWithID()
	switch {
	case leader == said || leader == self:
	case leader == "":
		s.options.Logger.Warn("no leader is known", "term", s.raft.CurrentTerm())
	default:
		s.options.Logger.Info("another node leads", "leader", leader, "term", s.raft.CurrentTerm())
	}
	return leader
}
