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
