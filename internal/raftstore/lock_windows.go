package raftstore

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile takes the lock on a file for this process, or fails at once.
func lockFile(file *os.File) error {
	const how = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	return windows.LockFileEx(windows.Handle(file.Fd()), how, 0, 1, 0, new(windows.Overlapped))
}
