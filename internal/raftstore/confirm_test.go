package raftstore

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestOnlyAnswersToThisRoundInThisTermConfirm(t *testing.T) {
	var c confirmations
	others := []*confirmer{
		{answered: 7, term: 3},            // in time
		{answered: 6, term: 3},            // to an earlier question
		{answered: 7, term: 4},            // it knows of a later leader
		{answered: 6, term: 3, failed: 7}, // it cannot be asked
	}
	confirmed, possible, news := c.count(others, 7, 3)
	if confirmed != 1 || possible != 2 || news == nil {
		t.Errorf("%d have confirmed, %d may", confirmed, possible)
	}
}

// Who was told before does not count: each call asks anew.
func TestALeaderIsConfirmedByAMajority(t *testing.T) {
	nodes := cluster(t, "a", "b", "c")
	leader, others := leaderOf(t, nodes)
	for range 3 {
		if err := leader.confirm(); err != nil {
			t.Fatal(err)
		}
	}
	if err := others[0].confirm(); err != raft.ErrNotLeader {
		t.Errorf("a follower: %v", err)
	}
	others[0].stop()
	until(t, func() bool { return leader.confirm() == nil })
	others[1].options.Node.network.(*cable).cut.Store(true)
	began := time.Now()
	if err := leader.confirm(); err != raft.ErrNotLeader {
		t.Errorf("alone: %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to see that", took)
	}
	others[1].options.Node.network.(*cable).cut.Store(false)
}
