package client

import "golang.org/x/sys/unix"

// Go's monotonic clock is mach_absolute_time here, which stands still while
// the machine is suspended. This one is mach_continuous_time.
const goesOn = unix.CLOCK_MONOTONIC_RAW
