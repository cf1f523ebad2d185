//go:build unix

package raftstore

import (
	"os"
	"syscall"
)

// lockFile takes the lock on a file for this process, or fails at once.
func lockFile(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
