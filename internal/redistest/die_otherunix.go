//go:build unix && !linux

package redistest

import "syscall"

// diesWithTest has no such thing to offer here.
func diesWithTest() *syscall.SysProcAttr { return nil }
