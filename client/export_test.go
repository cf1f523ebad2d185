package client

import (
	"sync/atomic"
	"time"
)

var suspended atomic.Int64

// Suspend lets the machine have slept for so long.
func Suspend(d time.Duration) { suspended.Add(int64(d)) }

// UseTestClock keeps real time away from tests in virtual time.
func UseTestClock() {
	withSuspension = func() time.Duration { return time.Duration(suspended.Load()) }
}

// UseRealClock takes it back.
func UseRealClock() { withSuspension = sinceBoot }

// SinceBoot is the clock that UseTestClock takes away.
func SinceBoot() time.Duration { return sinceBoot() }

// PatienceByDefault is that of a client without options.
const PatienceByDefault = defaultPatience
