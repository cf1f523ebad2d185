//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"holdfast/client"
)

// toGroup are the signals that mean the end; as from a terminal, the whole
// group gets them. toCommand are for the command alone.
var (
	toGroup   = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}
	toCommand = []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2}
)

// catch gives the signals that are to be passed on. Those that are ignored,
// by nohup for example, stay so, here and in the command.
func catch() chan os.Signal {
	signals := make(chan os.Signal, 16)
	for _, list := range [][]os.Signal{toGroup, toCommand, {syscall.SIGTSTP}} {
		for _, s := range list {
			if !signal.Ignored(s) {
				signal.Notify(signals, s)
			}
		}
	}
	return signals
}

// around waits for the keys, runs the command at path, and gives the keys
// back.
func (c *runCommand) around(locks *client.Client, path string) error {
	signals := catch()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	held, err := c.await(ctx, cancel, locks, signals)
	if err != nil {
		return err
	}
	since, err := confirm(locks, held, c.Exp)
	if err != nil {
		c.giveBack(held)
		return refusal(ctx, locks, err)
	}
	group, err := startGroup(path, c.Command, c.environment(held))
	if err != nil {
		c.giveBack(held)
		return notExecutable(c.Command[0], err)
	}
	g := &guard{since: since, exp: c.Exp, killAfter: c.KillAfter, group: group, held: held, signals: signals}
	err = g.run(locks)
	group.restoreTerminal()
	if g.lost == nil {
		c.giveBack(held)
		return err
	}
	// The others need not wait for the end of the hold if the server is there.
	ctx, cancel = context.WithTimeout(ctx, unlockLost)
	defer cancel()
	_ = held.Unlock(ctx)
	return err
}

// await acquires the keys. A signal interrupts the waiting.
func (c *runCommand) await(ctx context.Context, interrupt func(), locks *client.Client, signals <-chan os.Signal) (*client.Held, error) {
	type outcome struct {
		held *client.Held
		err  error
	}
	outcomes := make(chan outcome, 1)
	go func() {
		held, err := c.acquire(ctx, locks)
		outcomes <- outcome{held, err}
	}()
	for {
		select {
		case o := <-outcomes:
			if o.err != nil {
				return nil, refusal(ctx, locks, o.err)
			}
			return o.held, nil
		case s := <-signals:
			switch s {
			case syscall.SIGTSTP:
				suspend()
				continue
			case syscall.SIGUSR1, syscall.SIGUSR2:
				continue // there is nobody yet whom it could be for
			}
			interrupt()
			if o := <-outcomes; o.held != nil {
				c.giveBack(o.held)
			}
			return nil, &exit{status: statusSignal + int(s.(syscall.Signal))}
		}
	}
}

// giveBack unlocks. If it cannot, the keys are free when their exp has passed.
func (c *runCommand) giveBack(held *client.Held) {
	ctx, cancel := context.WithTimeout(context.Background(), unlockWithin)
	defer cancel()
	if err := held.Unlock(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "holdfast: the keys stay locked for up to %v: they could not be unlocked: %s\n", c.Exp, plain(err))
	}
}

// guard watches over a command that runs under a hold.
type guard struct {
	since     time.Time // when the hold's life began
	exp       time.Duration
	killAfter time.Duration // after SIGTERM; 0 means never
	group     *group
	held      *client.Held
	signals   <-chan os.Signal

	lost error // why the command must end, if it must
}

// run watches over the command until it has ended. If the hold is lost, it
// also ends all others in the group.
func (g *guard) run(locks *client.Client) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	notice := watch(ctx, locks, g.held, g.exp, g.since)
	over := g.held.Context().Done()
	kill := newAlarm()
	for {
		select {
		case status := <-g.group.ended:
			return g.ended(status, kill)
		case how := <-g.group.stopped:
			g.stopped(how)
		case s := <-g.signals:
			g.pass(s.(syscall.Signal), kill)
		case n := <-notice:
			g.end(n, kill)
		case <-over: // its cause says why
			over = nil
			n := ending{context.Cause(g.held.Context()), time.Now()}
			if g.lost == nil || errors.Is(g.lost, client.ErrLost) {
				n.kill = n.kill.Add(graceOf(g.exp))
			}
			g.end(n, kill)
		case <-kill.C:
			g.group.signal(syscall.SIGKILL)
		}
	}
}

// end tells the group to end, and says when it will be killed.
func (g *guard) end(n ending, kill *alarm) {
	if g.lost == nil {
		g.lost = n.reason
		fmt.Fprintf(os.Stderr, "holdfast: ending the command: %s\n", lostBecause(n.reason))
		g.group.signal(syscall.SIGTERM)
		g.group.signal(syscall.SIGCONT) // or one that is stopped would not notice
	}
	kill.set(n.kill)
}

// lostBecause says why the command must end.
func lostBecause(reason error) string {
	if errors.Is(reason, client.ErrLost) {
		return oneLine(reason)
	}
	return "the hold could not be extended in time: " + plain(reason)
}

// pass passes a signal on.
func (g *guard) pass(s syscall.Signal, kill *alarm) {
	switch s {
	case syscall.SIGUSR1, syscall.SIGUSR2:
		g.group.signalCommand(s)
		return
	case syscall.SIGTERM:
		if g.killAfter > 0 {
			kill.set(time.Now().Add(g.killAfter))
		}
	}
	g.group.signal(s)
	if s == syscall.SIGTERM {
		g.group.signal(syscall.SIGCONT) // or one that is stopped would not notice
	}
}

// stopped is called when the command has been stopped, as by Ctrl-Z.
func (g *guard) stopped(how syscall.Signal) {
	g.group.relayStop(how, func() bool { return g.held.Err() == nil })
}

// ended gives what to end with when the command has ended. When the hold was
// lost, it sees to it that nobody in the group is left.
func (g *guard) ended(status syscall.WaitStatus, kill *alarm) error {
	if g.lost == nil && errors.Is(g.held.Err(), client.ErrLost) {
		g.end(ending{g.held.Err(), time.Now().Add(graceOf(g.exp))}, kill)
	}
	code := status.ExitStatus()
	if status.Signaled() {
		code = statusSignal + int(status.Signal())
	}
	if g.lost == nil {
		if code == 0 {
			return nil
		}
		return &exit{status: code}
	}
	g.group.finish(kill)
	return &exit{statusLost, fmt.Sprintf("the hold is lost; the command ended with status %d", code)}
}

// alarm goes off at the earliest moment that it was set to.
type alarm struct {
	*time.Timer
	at time.Time
}

func newAlarm() *alarm {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &alarm{Timer: timer}
}

func (a *alarm) set(at time.Time) {
	if a.at.IsZero() || at.Before(a.at) {
		a.at = at
		a.Reset(time.Until(at))
	}
}
