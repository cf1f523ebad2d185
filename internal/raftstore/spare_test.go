package raftstore

import (
	"testing"
	"time"

	"holdfast"
)

// While one of three is away, another one is not removed by mistake: of the two that
// are left, one could do nothing. The one that is away can be.
func TestNobodyIsRemovedWithoutWhomThereIsNoMajority(t *testing.T) {
	nodes := cluster(t, "a", "b", "c")
	leader, others := leaderOf(t, nodes)
	others[1].stop()
	err := leader.RemoveNode(t.Context(), others[0].options.Node.ID)
	if holdfast.ErrorCode(err) != holdfast.CodeInvalid {
		t.Fatalf("removing one of the two that are there: %v", err)
	}
	lock(t, leader, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
	if err := leader.RemoveNode(t.Context(), others[1].options.Node.ID); err != nil {
		t.Fatalf("removing the one that is away: %v", err)
	}
	awaitVoters(t, leader, others[0])
	if err := leader.RemoveNode(t.Context(), others[0].options.Node.ID); err != nil {
		t.Fatalf("removing one of two: %v", err)
	}
	lock(t, leader, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("y"), Exp: time.Hour})
}

// While nobody answers, nobody can say who can be spared.
func TestNobodyIsRemovedWhileTooFewAnswer(t *testing.T) {
	nodes := cluster(t, "a", "b", "c")
	leader, others := leaderOf(t, nodes)
	for _, other := range others {
		other.stop()
	}
	if err := leader.canSpare(t.Context(), others[0].options.Node.ID); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Errorf("removing one of two that are away: %v", err)
	}
}
