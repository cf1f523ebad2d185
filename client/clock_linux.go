package client

import "golang.org/x/sys/unix"

// Go's monotonic clock is CLOCK_MONOTONIC here, which stands still while the
// machine is suspended.
const goesOn = unix.CLOCK_BOOTTIME
