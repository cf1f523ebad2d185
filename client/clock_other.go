//go:build !linux && !darwin

package client

import "time"

// sinceBoot has no clock to read here: what Go's monotonic clock says
// counts. That of Windows goes on while the machine is suspended.
func sinceBoot() time.Duration { return 0 }
