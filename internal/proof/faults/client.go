package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/proof"
)

// clientWork is the environment variable that makes the test's binary a client
// process, and tells it what to do.
const clientWork = "HOLDFAST_PROOF_CLIENT"

// work is what a client process does.
type work struct {
	proof.Workload
	Servers  []string
	Register string
}

// now is the clock by which all processes of this machine agree.
func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err)
	}
	return t.Nano()
}

// RunClient is the whole life of a client process, if this process is to be
// one. It writes its history to stdout and ends in good order on SIGTERM.
func RunClient() {
	text, ok := os.LookupEnv(clientWork)
	if !ok {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var w work
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	record := proof.NewRecorder(now, os.Stdout)
	w.Run(ctx, record, proof.RemoteRegister(w.Register), func(owner int) holdfast.Service {
		// One server, asked once: a call in the history is one request. The owners
		// of a group ask different ones.
		c, err := client.Options{Patience: -1}.New(w.Servers[(owner+owner/w.Groups)%len(w.Servers)])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return c
	})
	os.Exit(0)
}

// crew is the place of a client process: when one has ended, another one takes
// its work up.
type crew struct {
	*Process
	work    work
	history chan []proof.Op // of those who have ended
	shifts  int
}

func newCrew(dir string, n int, w work) *crew {
	c := &crew{work: w, history: make(chan []proof.Op, 1000)}
	c.Process = &Process{Name: fmt.Sprint("client-", n+1), Dir: dir, Mortal: true, Command: c.command}
	return c
}

// command is the next process.
func (c *crew) command() *exec.Cmd {
	c.work.Life = c.shifts
	c.shifts++
	text, err := json.Marshal(c.work)
	if err != nil {
		panic(err) // it is made of plain values
	}
	command := exec.Command(os.Args[0])
	command.Env = append(plainEnvironment(), clientWork+"="+string(text))
	read, write, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	command.Stdout = write
	go func() {
		c.history <- proof.ReadStream(read)
		read.Close()
	}()
	c.opened = write
	return command
}

// collect gives the histories of all processes that there were. They have
// ended.
func (c *crew) collect() []proof.Op {
	var all []proof.Op
	for range c.shifts {
		all = append(all, <-c.history...)
	}
	return all
}
