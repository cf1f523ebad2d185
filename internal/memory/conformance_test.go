package memory_test

import (
	"testing"

	"holdfast"
	"holdfast/internal/memory"
	"holdfast/internal/servicetest"
	"holdfast/internal/table"
)

func TestConformance(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		store := memory.New()
		t.Cleanup(func() { store.Close() })
		return servicetest.Over(store)
	})
}

func TestLimits(t *testing.T) {
	servicetest.Limits(t, func(t *testing.T, limits table.Limits) holdfast.Service {
		store := memory.New()
		t.Cleanup(func() { store.Close() })
		store.Limit(limits)
		return store
	})
}
