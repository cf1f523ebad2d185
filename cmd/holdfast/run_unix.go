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

	"holdfast"
	"holdfast/client"
)

// caught are the signals that are not for this process alone; see guard.pass.
var caught = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP, syscall.SIGCONT,
}

// catch gives the signals that are to be passed on. Those that are ignored,
// by nohup for example, stay so, here and in the command. That nobody reads
// what is said is no reason to die and leave the command alone.
func catch() chan os.Signal {
	if !signal.Ignored(syscall.SIGPIPE) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
	signals := make(chan os.Signal, 16)
	for _, s := range caught {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
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
	if held.Err() != nil {
		c.giveBack(held)
		return &exit{statusLost, "the hold was lost before the command was run"}
	}
	group, err := startGroup(path, c.Command, c.environment(held))
	if err != nil {
		c.giveBack(held)
		return notExecutable(c.Command[0], err)
	}
	g := &guard{exp: c.Exp, killAfter: c.KillAfter, group: group, held: held, signals: signals}
	err = g.run()
	group.restoreTerminal()
	if !g.lost {
		c.giveBack(held)
		// As was seen only now. Another one with the same uid may give back for both.
		if c.UID == "" && errors.Is(held.Err(), client.ErrEnded) {
			code := 0
			if err != nil {
				code = status(err)
			}
			return lostWith(code)
		}
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
			if c.Quiet && holdfast.ErrorCode(o.err) == holdfast.CodeLocked {
				return nil, &exit{status: statusNotAcquired}
			}
			if o.err != nil {
				return nil, refusal(ctx, locks, o.err)
			}
			return o.held, nil
		case s := <-signals:
			switch s {
			case syscall.SIGTSTP:
				suspend()
				continue
			case syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT:
				continue // there is nobody yet whom it could be for
			}
			interrupt()
			if o := <-outcomes; o.held != nil {
				c.giveBack(o.held)
			}
			return nil, endedBy(s.(syscall.Signal))
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
	exp       time.Duration
	killAfter time.Duration // after SIGTERM; 0 means never
	group     *group
	held      *client.Held
	signals   <-chan os.Signal

	lost bool          // the hold is lost, or about to be: the command must end
	told chan struct{} // then: closed when that has been said
}

// run watches over the command until it has ended. If the hold is lost, it
// also ends all others in the group.
func (g *guard) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	notice := watch(ctx, g.held, g.exp)
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
		case <-notice:
			notice = nil
			if left := g.held.Left(); left > 0 { // or it is over, which has a case of its own
				g.end(left, kill)
			}
		case <-over:
			over = nil
			g.over(kill)
		case <-kill.C:
			g.group.signal(syscall.SIGKILL)
		}
	}
}

// end tells the group to end, and kills it after so long. Who calls it again
// only brings that forward.
func (g *guard) end(grace time.Duration, kill *alarm) {
	if !g.lost {
		g.lost = true
		g.tell(lostBecause(g.held))
		g.group.signal(syscall.SIGTERM)
		g.group.signal(syscall.SIGCONT) // or one that is stopped would not notice
	}
	kill.set(time.Now().Add(grace))
}

// tell says why the command is ended. It does not wait for that: nobody may
// read stderr, and there is a command to be killed in time.
func (g *guard) tell(why string) {
	g.told = make(chan struct{})
	go func() {
		defer close(g.told)
		fmt.Fprintf(os.Stderr, "holdfast: ending the command: %s\n", why)
	}()
}

// over is called when the hold is over on this side.
func (g *guard) over(kill *alarm) {
	if g.lost {
		g.end(0, kill)
	} else {
		g.end(graceOf(g.exp), kill)
	}
}

// pass passes a signal on: to the whole group, as a terminal does, save for
// those that are for the command alone.
func (g *guard) pass(s syscall.Signal, kill *alarm) {
	switch s {
	case syscall.SIGUSR1, syscall.SIGUSR2:
		g.group.signalCommand(s)
		return
	case syscall.SIGCONT:
		// On a terminal, relayStop lets go on what it has seen stop.
		if g.group.terminal == nil && g.held.Err() == nil {
			g.group.signal(s)
		}
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
	if g.held.Err() != nil && !g.lost {
		g.over(kill)
	}
	code := status.ExitStatus()
	if status.Signaled() {
		code = statusSignal + int(status.Signal())
	}
	switch {
	case g.lost:
	case status.Signaled():
		return endedBy(status.Signal())
	case code != 0:
		return &exit{status: code}
	default:
		return nil
	}
	g.group.finish(kill)
	<-g.told
	return lostWith(code)
}

// lostWith is what to end with when the hold is lost.
func lostWith(code int) error {
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
