package raftstore

import (
	"time"

	"github.com/hashicorp/raft"
)

// silentLeader gives the leader that raft goes by, if it has not been heard for
// the election timeout; "" if all is well.
//
// Raft gives no vote while it hears of a leader, so that nobody unseats one that
// is well (Ongaro's thesis on Raft, section 4.2.3: for the minimum election
// timeout). In hashicorp/raft v1.7.3 a follower looks whether it has heard of the
// leader only at times that it draws, and until then it refuses, for up to three
// election timeouts; so there was no new leader before the second of three nodes
// had looked. So a candidate is shown to raft as one whom the leader has asked to
// take over, and one who asks whether it would be elected as that leader itself:
// raft then goes on to look at its term and its log.
func (t *mended) silentLeader() raft.ServerAddress {
	r := t.raft.Load()
	if r == nil || r.State() != raft.Follower || time.Since(r.LastContact()) < r.ReloadableConfig().HeartbeatTimeout {
		return ""
	}
	leader, _ := r.LeaderWithID()
	return leader
}
