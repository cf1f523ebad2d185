package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/client"
)

const (
	// shortestExp is the least that a hold around a command can live: it must
	// be extended in time, and the command must have time to end.
	shortestExp = time.Second

	// tellAfter is how long to wait in line before saying so.
	tellAfter = time.Second

	// unlockWithin is how long to try to give the keys back; unlockLost, if
	// the hold is lost.
	unlockWithin = 5 * time.Second
	unlockLost   = time.Second
)

type runCommand struct {
	asking
	wanted
	Key       []string       `short:"k" sep:"none" required:"" complete:"@key" placeholder:"KEY" help:"Key to lock; may be given several times."`
	NoWait    bool           `short:"n" xor:"wait" help:"Do not stand in line."`
	Wait      *time.Duration `short:"w" xor:"wait" placeholder:"DURATION" help:"Stand in line for so long, such as 30s; without it, and without -n, without end."`
	Exp       time.Duration  `default:"10s" placeholder:"DURATION" help:"How long the keys stay locked if this process dies; without it 10s. The command is ended when the hold could not be extended for two thirds of it."`
	Quiet     bool           `short:"q" help:"Do not say who is in the way; status 75 says that somebody is."`
	KillAfter time.Duration  `placeholder:"DURATION" help:"After SIGTERM, give the command so long to end, and then kill it; without it, for ever."`
	Command   []string       `arg:"" passthrough:"" help:"The command and its arguments, best behind --."`
}

// Help is what stands between the usage line and the flags.
func (runCommand) Help() string {
	return `Try it:

    holdfast run -k backup -- sh -c 'echo I am alone; sleep 60'

A second one waits until the first has ended; with -n it ends with status 75
and says who holds the key. The status is that of the command, or 128 and the
number of the signal that ended it. If the hold is lost, the command and all
processes in its group are ended, and the status is 76; 69 if no server can
serve.

The command finds HOLDFAST_UID, HOLDFAST_KEYS (one a line), HOLDFAST_VERSION,
and HOLDFAST_TOKEN_1 and so on (KEY@VERSION, in the order of -k) in its
environment.`
}

// Run waits for the keys, runs the command, and gives the keys back.
func (c *runCommand) Run() error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if err := c.valid(); err != nil {
		return err
	}
	path, err := lookCommand(c.Command[0])
	if err != nil {
		return err
	}
	locks, err := c.client()
	if err != nil {
		return err
	}
	defer locks.Close()
	return c.around(locks, path)
}

func (c *runCommand) valid() error {
	switch {
	case len(c.Command) == 0:
		return usageError("no command to run")
	case c.Exp < shortestExp || c.Exp > holdfast.MaxExp:
		return usageError(fmt.Sprintf("--exp: must be from %v to %v", shortestExp, holdfast.MaxExp))
	case c.Wait != nil && (*c.Wait < 0 || *c.Wait > holdfast.MaxWait):
		return usageError(fmt.Sprintf("--wait: must be from 0s to %v", holdfast.MaxWait))
	case c.KillAfter < 0:
		return usageError("--kill-after: must not be negative")
	}
	_, err := c.asks(c.Key)
	return err
}

// lookCommand finds the command before anything is locked for it.
func lookCommand(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil || errors.Is(err, exec.ErrDot):
		return path, nil
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
		return "", &exit{statusNotFound, fmt.Sprintf("%s: command not found", name)}
	default:
		return "", notExecutable(name, err)
	}
}

func notExecutable(name string, err error) error {
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		err = inner.Err
	}
	if inner, ok := errors.AsType[*exec.Error](err); ok {
		err = inner.Err
	}
	return &exit{statusNotExecutable, fmt.Sprintf("%s: cannot be run: %v", name, err)}
}

// acquire waits for the keys.
func (c *runCommand) acquire(ctx context.Context, locks *client.Client) (*client.Held, error) {
	asks, err := c.asks(c.Key)
	if err != nil {
		return nil, err
	}
	options := []client.Option{client.Exp(c.Exp), client.Note(c.Note)}
	if c.UID != "" {
		options = append(options, client.UID(string(c.UID)))
	}
	switch {
	case c.NoWait:
		options = append(options, client.Wait(0))
	case c.Wait != nil:
		options = append(options, client.Wait(*c.Wait))
	}
	if !c.NoWait && !c.Quiet {
		defer c.tell(ctx, locks)()
	}
	return locks.Hold(ctx, asks, options...)
}

// tell says for whom it waits, if that takes long. The function that it
// returns ends the telling.
func (c *runCommand) tell(ctx context.Context, locks *client.Client) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan struct{})
	timer := time.AfterFunc(tellAfter, func() {
		defer close(told)
		for _, key := range c.Key {
			lock, err := locks.Get(ctx, key)
			if err != nil || len(lock.Holders) == 0 || lock.Holders[0].UID == string(c.UID) {
				continue
			}
			holder := lock.Holders[0]
			who := inTheWay(holdfast.Blocker{Key: key, UID: holder.UID, Note: holder.Note}, holder.Held)
			fmt.Fprintln(os.Stderr, "holdfast: waiting:", who)
			return
		}
	})
	return func() {
		cancel()
		if timer.Stop() {
			return
		}
		select {
		case <-told:
		case <-time.After(tellAfter): // nobody reads it, and the keys may be locked by now
		}
	}
}

// environment is this process's, with what the command should know of the
// hold. Of a hold around this one, no token is left.
func (c *runCommand) environment(held *client.Held) []string {
	var env []string
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "HOLDFAST_TOKEN_") {
			env = append(env, line)
		}
	}
	var keys []string
	for i, t := range held.Tokens() {
		keys = append(keys, t.Key)
		env = append(env, "HOLDFAST_TOKEN_"+strconv.Itoa(i+1)+"="+token(t).String())
	}
	if len(c.Server) > 0 {
		env = append(env, serverVariable+"="+strings.Join(c.Server, ","))
	}
	return append(env,
		"HOLDFAST_UID="+held.UID(),
		"HOLDFAST_KEYS="+strings.Join(keys, "\n"),
		"HOLDFAST_VERSION="+strconv.FormatUint(held.Tokens()[0].Version, 10),
	)
}
