package client_test

import (
	"testing"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/servicetest"
)

// The rules hold through a client over the stream, and over plain HTTP.
func TestConformance(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		return servicetest.Target{Services: []holdfast.Service{connect(t, serve(t, store(t)))}}
	})
}

func TestConformanceOverPlainHTTP(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		return servicetest.Over(connectWith(t, client.Options{Plain: true}, serve(t, store(t))))
	})
}

// They hold as well when each of several clients knows nothing of the others,
// and each has a server of its own in front of the same state.
func TestConformanceOfSeveralClients(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		state := store(t)
		target := servicetest.Target{}
		for range 3 {
			target.Services = append(target.Services, connect(t, serve(t, state)))
		}
		return target
	})
}
