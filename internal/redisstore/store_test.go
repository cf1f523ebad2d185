package redisstore

import (
	"testing"

	"holdfast"
	"holdfast/internal/redistest"
	"holdfast/internal/servicetest"
)

func TestConformance(t *testing.T) {
	server := redistest.Start(t)
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		return servicetest.Over(openOver(t, server.URL()))
	})
}

func TestConformanceOfThreeStores(t *testing.T) {
	server := redistest.Start(t)
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		var services []holdfast.Service
		for range 3 {
			services = append(services, openOver(t, server.URL()))
		}
		return servicetest.Over(services...)
	})
}
