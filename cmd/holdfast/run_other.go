//go:build !unix

package main

import (
	"runtime"

	"holdfast/client"
)

// around is there for systems without process groups.
func (c *runCommand) around(*client.Client, string) error {
	return &exit{statusFailed, "run: not available on " + runtime.GOOS}
}
