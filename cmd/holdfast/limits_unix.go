//go:build unix

package main

import (
	"math"
	"syscall"
)

// openFiles is how many files this process may have open at once; Go has
// raised that to what it may be. Connections are files too.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return math.MaxUint64
	}
	return uint64(limit.Cur)
}
