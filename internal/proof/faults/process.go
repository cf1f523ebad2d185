package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTime bounds how long a process may take until it is ready, or has
// ended. It is spent only when something is wrong.
const startTime = 2 * time.Minute

// Process is a process that can be ended and started again. Its methods are
// called by one goroutine at a time.
type Process struct {
	Name    string
	Command func() *exec.Cmd            // what to run, with nothing connected
	Ready   func(context.Context) error // nil once it serves; nil for one that always does
	Dir     string                      // where its log goes

	Mortal bool   // it may be killed: what it answered outlives it
	Disk   bool   // it answers what is on its disk
	Clock  string // file that sets its wall clock; "" if that cannot be set

	opened *os.File // what this process has to close once the other has it

	mu      sync.Mutex
	frail   bool // it may end by itself, since its disk is bad
	running *exec.Cmd
	exited  chan struct{}
	wanted  bool  // it is to run
	early   error // it ended by itself
}

// Start starts the process, and waits until it is ready.
func (p *Process) Start(ctx context.Context) error {
	if err := p.launch(); err != nil {
		return err
	}
	return p.AwaitReady(ctx)
}

// launch starts the process.
func (p *Process) launch() error {
	log, err := os.OpenFile(p.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command := p.Command()
	command.Stderr = log
	if command.Stdout == nil {
		command.Stdout = log
	}
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	// The death signal comes when the thread ends that started the process; so
	// that one must last.
	started := make(chan error)
	exited := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := command.Start()
		if p.opened != nil {
			p.opened.Close()
		}
		started <- err
		if err != nil {
			return
		}
		err = command.Wait()
		p.mu.Lock()
		if p.wanted && p.running == command && !p.frail {
			p.early = fmt.Errorf("%s ended by itself: %v; see %s", p.Name, err, p.Log())
		}
		p.mu.Unlock()
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	p.mu.Lock()
	p.running, p.exited, p.wanted = command, exited, true
	p.mu.Unlock()
	return nil
}

// Log is the name of the file to which the process writes.
func (p *Process) Log() string { return filepath.Join(p.Dir, p.Name+".log") }

// AwaitReady waits until the process serves.
func (p *Process) AwaitReady(ctx context.Context) error {
	if p.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	err := errors.New("it was not asked")
	for ctx.Err() == nil {
		ask, cancel := context.WithTimeout(ctx, 5*time.Second)
		err = p.Ready(ask)
		cancel()
		if err == nil {
			return nil
		}
		if !p.Alive() {
			return fmt.Errorf("%s ended before it was ready; see %s", p.Name, p.Log())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s did not become ready: %w; see %s", p.Name, err, p.Log())
}

// Alive says whether the process runs.
func (p *Process) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// SetFrail says that the process may end by itself, or must not any more.
func (p *Process) SetFrail(frail bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frail = frail
}

// Ended says why the process ended though nobody ended it; nil if it did not.
func (p *Process) Ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.early
}

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Terminate asks the process to end, and waits for that; one that does not end
// is killed.
func (p *Process) Terminate() error {
	return p.end(syscall.SIGTERM)
}

func (p *Process) end(how syscall.Signal) error {
	p.mu.Lock()
	running, exited := p.running, p.exited
	p.wanted = false
	p.mu.Unlock()
	if running == nil {
		return nil
	}
	running.Process.Signal(how)
	running.Process.Signal(syscall.SIGCONT)
	select {
	case <-exited:
		return nil
	case <-time.After(startTime / 2):
		running.Process.Signal(syscall.SIGQUIT) // where it hangs is in its log then
		time.Sleep(time.Second)
		running.Process.Kill()
		<-exited
		return fmt.Errorf("%s did not end within %v; see %s", p.Name, startTime/2, p.Log())
	}
}

// Pause stops the process: it keeps its connections and answers nothing.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	if p.Alive() {
		p.running.Process.Signal(s)
	}
}

// SetClock sets the wall clock of the process off by so much.
func (p *Process) SetClock(by time.Duration) error {
	return os.WriteFile(p.Clock, []byte(strconv.Itoa(int(by.Seconds()))+"\n"), 0o644)
}

// Inject lets system calls of the process fail or be slow, as the expressions
// of strace's -e inject= say, until stop is called.
func (p *Process) Inject(inject ...string) (stop func(), err error) {
	if !p.Alive() {
		return func() {}, nil
	}
	var calls []string
	args := []string{"-q", "-f", "-p", strconv.Itoa(p.running.Process.Pid), "-o", "/dev/null"}
	for _, expression := range inject {
		args = append(args, "-e", "inject="+expression)
		set, _, _ := strings.Cut(expression, ":")
		calls = append(calls, set)
	}
	args = append(args, "-e", "trace="+strings.Join(calls, ","))
	tracer := exec.Command("strace", args...)
	tracer.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		started <- tracer.Start()
		tracer.Wait()
		close(done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("a bad disk needs strace: %w; install it with: apt-get install strace", err)
	}
	return func() {
		tracer.Process.Signal(os.Interrupt) // it lets go of the process
		select {
		case <-done:
		case <-time.After(startTime):
			tracer.Process.Kill()
			<-done
		}
	}, nil
}
