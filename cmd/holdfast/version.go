package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3". A build that
// does not set it has the version that the go command gave it.
var version string

// buildVersion is the version of this binary, or "devel" if nothing is known.
func buildVersion() string {
	known := version
	if info, ok := debug.ReadBuildInfo(); ok && known == "" && info.Main.Version != "(devel)" {
		known = info.Main.Version
	}
	return cmp.Or(known, "devel")
}

type versionCommand struct{}

// Run prints one line: the version, that of Go, and the platform.
func (versionCommand) Run() error {
	_, err := fmt.Printf("holdfast %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
