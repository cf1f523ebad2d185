package raftstore

import (
	"testing"

	"holdfast"
	"holdfast/internal/servicetest"
	"holdfast/internal/table"
)

func TestConformanceAlone(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		return servicetest.Target{Services: []holdfast.Service{open(t, t.TempDir())}}
	})
}

func TestConformanceOfThreeNodes(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		nodes := cluster(t, "a", "b", "c")
		return servicetest.Over(nodes[0].Store, nodes[1].Store, nodes[2].Store)
	})
}

func TestLimitsAlone(t *testing.T) {
	servicetest.Limits(t, func(t *testing.T, limits table.Limits) holdfast.Service {
		store := open(t, t.TempDir())
		store.Limit(limits)
		return store
	})
}

// The limits are those of the leader; a follower passes requests on to it.
func TestLimitsOfThreeNodes(t *testing.T) {
	servicetest.Limits(t, func(t *testing.T, limits table.Limits) holdfast.Service {
		nodes := cluster(t, "a", "b", "c")
		for _, node := range nodes {
			node.Limit(limits)
		}
		return nodes[1].Store
	})
}
