package main

import (
	"math"
	"testing"
	"time"
)

func TestConnectionsLeaveFilesToTheStore(t *testing.T) {
	for files, want := range map[uint64]int{
		40: 20, 256: 128, 512: 256, 513: 257, 1024: 768, 1 << 20: 1<<20 - 256,
		math.MaxInt32: math.MaxInt32 - 256, math.MaxInt32 + 1: 0, math.MaxUint64: 0,
	} {
		if got := connectionsWithin(files); got != want {
			t.Errorf("%d of %d, not %d", got, files, want)
		}
	}
}

func TestWithoutALimitOnConnectionsFilesAreOne(t *testing.T) {
	for given, want := range map[count]int{0: connectionsWithin(openFiles()), 7: 7} {
		limits, err := (&limitSettings{MaxConnections: given, HeaderTimeout: time.Second, RequestTimeout: time.Second}).ofServer()
		if err != nil || limits.Connections != want {
			t.Errorf("%d: %d, %v", given, limits.Connections, err)
		}
	}
}
