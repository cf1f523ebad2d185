//go:build linux || darwin

package client

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot goes on while the machine is suspended.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(goesOn, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
