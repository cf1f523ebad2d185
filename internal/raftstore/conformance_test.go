package raftstore

import (
	"testing"

	"holdfast"
	"holdfast/internal/servicetest"
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
