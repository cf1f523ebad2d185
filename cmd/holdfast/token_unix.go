//go:build unix

package main

import (
	"io/fs"
	"os"
	"syscall"
)

// giveTo gives a file of ours to the owner of another one.
func giveTo(file *os.File, owned fs.FileInfo) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	is, owner := info.Sys().(*syscall.Stat_t), owned.Sys().(*syscall.Stat_t)
	if is.Uid == owner.Uid && is.Gid == owner.Gid {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}
