//go:build !unix

package main

import (
	"runtime"
	"syscall"

	"holdfast/client"
)

// around is there for systems without process groups.
func (c *runCommand) around(*client.Client, string) error {
	return &exit{statusFailed, "run: not available on " + runtime.GOOS}
}

// dieOf is there for systems on which a process cannot end by a signal.
func dieOf(syscall.Signal) {}
