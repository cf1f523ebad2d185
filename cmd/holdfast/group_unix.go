//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// group is a command in a process group of its own.
//
// The group does not get the terminal before it needs it: in a pipeline
// somebody else may. When the command has been stopped because it wants to read or
// to set the terminal, relayStop hands it over and lets the command go on.
type group struct {
	pid      int // of the command, and of the group
	ended    chan syscall.WaitStatus
	stopped  chan syscall.Signal
	terminal *os.File // nil if there is none
}

// startGroup runs the command at path with this process's standard files.
func startGroup(path string, args, env []string) (*group, error) {
	// On Linux the command is killed when the thread ends that started it.
	// This one ends with the process.
	runtime.LockOSThread()
	command := &exec.Cmd{
		Path:        path,
		Args:        args,
		Env:         env,
		Stdin:       os.Stdin,
		Stdout:      os.Stdout,
		Stderr:      os.Stderr,
		SysProcAttr: ownGroup(),
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	g := &group{
		pid:     command.Process.Pid,
		ended:   make(chan syscall.WaitStatus, 1),
		stopped: make(chan syscall.Signal),
	}
	g.terminal, _ = os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if g.terminal != nil {
		signal.Ignore(syscall.SIGTTOU) // so that it may take the terminal back
	}
	go g.wait()
	return g, nil
}

// wait is not exec's, which does not tell of a command that was stopped.
func (g *group) wait() {
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(g.pid, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err == nil && status.Stopped():
			g.stopped <- status.StopSignal()
		default:
			g.ended <- status
			return
		}
	}
}

// signal sends a signal to all in the group, and says whether there is anybody.
func (g *group) signal(s syscall.Signal) bool { return syscall.Kill(-g.pid, s) == nil }

// signalCommand sends a signal to the command alone.
func (g *group) signalCommand(s syscall.Signal) { _ = syscall.Kill(g.pid, s) }

// finish waits, when the command itself has ended, until all in its group
// have, and kills them when the alarm goes off.
func (g *group) finish(kill *alarm) {
	const (
		look = 5 * time.Millisecond
		dies = 200 * time.Millisecond // after that, only those are left whom nobody buries
	)
	for g.signal(0) {
		if late := time.Since(kill.at); late > dies {
			return
		} else if late > 0 {
			g.signal(syscall.SIGKILL)
		}
		time.Sleep(look)
	}
}

// relayStop does for a command that was stopped what the shell would do. If
// it was the terminal that stopped it, either the command gets the terminal,
// or this process stops too, so that the shell notices, and the command goes
// on when this process does and may.
func (g *group) relayStop(how syscall.Signal, may func() bool) {
	if g.terminal == nil {
		return // it was somebody who will let it go on
	}
	switch how {
	case syscall.SIGTTIN, syscall.SIGTTOU:
		if g.foreground() != syscall.Getpgrp() {
			suspend()
		}
		g.handOver()
	case syscall.SIGTSTP:
		had := g.foreground() == g.pid
		g.restoreTerminal()
		suspend()
		if had {
			g.handOver()
		}
	default:
		return
	}
	if may() { // else it is about to be ended
		g.signal(syscall.SIGCONT)
	}
}

// handOver gives the terminal to the group, if it is this process's to give.
func (g *group) handOver() {
	if g.foreground() == syscall.Getpgrp() {
		_ = unix.IoctlSetPointerInt(int(g.terminal.Fd()), unix.TIOCSPGRP, g.pid)
	}
}

// restoreTerminal takes the terminal back from the group.
func (g *group) restoreTerminal() {
	if g.terminal != nil && g.foreground() == g.pid {
		_ = unix.IoctlSetPointerInt(int(g.terminal.Fd()), unix.TIOCSPGRP, syscall.Getpgrp())
	}
}

// foreground is the process group that has the terminal.
func (g *group) foreground() int {
	pgrp, err := unix.IoctlGetInt(int(g.terminal.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return pgrp
}

// suspend stops this process and all in its group, as Ctrl-Z does, and returns
// when it goes on. The signal is not SIGTSTP, because Go does not go back to the
// default once it has caught that one. Where no shell could let the process
// go on, the kernel does not stop it.
func suspend() {
	const delivered = 100 * time.Millisecond
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	_ = syscall.Kill(0, syscall.SIGTTIN)
	select {
	case <-goesOn:
	case <-time.After(delivered):
	}
}

// dieOf ends this process by a signal, unless that was ignored when it began.
func dieOf(s syscall.Signal) {
	signal.Reset(s)
	if signal.Ignored(s) || syscall.Kill(syscall.Getpid(), s) != nil {
		return
	}
	time.Sleep(time.Second) // it comes as soon as the runtime lets it
}
