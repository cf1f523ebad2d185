package redistest

import "syscall"

// diesWithTest lets a process end with the one that started it, however that
// ends.
func diesWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
