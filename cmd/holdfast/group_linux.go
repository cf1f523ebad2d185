package main

import "syscall"

// ownGroup starts a command in a process group of its own. When this process
// is killed, nobody is left to watch over the command: it is killed too.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
