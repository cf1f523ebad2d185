package memory_test

import (
	"testing"

	"holdfast/internal/memory"
	"holdfast/internal/servicetest"
)

func TestConformance(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		store := memory.New()
		t.Cleanup(func() { store.Close() })
		return servicetest.Over(store)
	})
}
