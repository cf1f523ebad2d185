package main

import (
	"os"
	"runtime"
)

// spareBytes is how much heap the collector takes for used from the start.
const spareBytes = 32 << 20

// collectLessOften lets more garbage gather before it is collected, until the
// function that it gives is called. The collector comes when the heap has
// doubled. That of a server with few locks has some MB, and doubles dozens of
// times a second under load. A block that is never touched takes no memory,
// but counts. Whoever sets GOGC or GOMEMLIMIT has decided for themselves.
func collectLessOften() (until func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	block := make([]byte, spareBytes)
	return func() { runtime.KeepAlive(block) }
}
