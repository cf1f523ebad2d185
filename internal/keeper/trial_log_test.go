package keeper

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// draw gives a number below n.
func (w *trial) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

func (w *trial) pause(longest time.Duration) {
	time.Sleep(time.Duration(w.draw(int(longest/time.Microsecond))) * time.Microsecond)
}

// leadership is the present term, and whether this process leads in it.
func (w *trial) leadership() (term int, leads bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.term, w.leads
}

// chance gives a number below 100; 100 when all is calm.
func (w *trial) chance() int {
	select {
	case <-w.calm:
		return 100
	default:
		return w.draw(100)
	}
}

// Verify takes a while, and fails while another one leads.
func (w *trial) Verify(context.Context) error {
	w.pause(300 * time.Microsecond)
	if _, leads := w.leadership(); !leads {
		return holdfast.Unavailable(nil, "no leader")
	}
	return nil
}

// Propose takes a while. Until all is calm it refuses some commands, and says of
// some that it does not know, and has them carried out later.
func (w *trial) Propose(ctx context.Context, cmd table.Command) (Result, error) {
	term, leads := w.leadership()
	if !leads {
		return Result{}, holdfast.Unavailable(nil, "no leader")
	}
	if w.keeper.OnlyProlongs(&cmd) {
		if err := w.Verify(ctx); err != nil {
			return Result{}, err
		}
		if r, ok := w.keeper.Prolong(&cmd); ok {
			return r, nil
		}
	}
	w.pause(w.slowest)
	switch chance := w.chance(); {
	case chance < 15:
		w.say("%s: refused", inWords(&cmd))
		return Result{}, holdfast.Unavailable(nil, "refused")
	case chance < 25:
		w.say("%s: late", inWords(&cmd))
		time.AfterFunc(time.Duration(1+w.draw(5000))*time.Microsecond, func() {
			if r, err := w.carryOut(&cmd, term); err == nil {
				w.Abandon(&cmd, r)
			}
		})
		return Result{}, unknown("it takes too long")
	}
	return w.carryOut(&cmd, term)
}

func unknown(why string) error { return holdfast.Unknown(holdfast.Unavailable(nil, "%s", why)) }

// carryOut carries out a command that was proposed in a term. When this process
// leads no more, it is lost or comes with those of the next leader; when it leads
// again, it has all that will ever come of an earlier term.
func (w *trial) carryOut(cmd *table.Command, term int) (r Result, err error) {
	now, leads := w.leadership()
	switch {
	case now == term && leads:
		r = w.keeper.Apply(cmd)
	case now != term || w.draw(2) == 0:
		err = unknown("another one leads")
	case cmd.Op == table.Lock || cmd.Op == table.Extend:
		w.keeper.Follow(cmd)
		err = unknown("this one does not lead any more")
	default:
		r = w.keeper.Finish(cmd)
	}
	w.mu.Lock()
	for _, freed := range r.Freed {
		w.forced[table.Owned{UID: freed.UID, Token: holdfast.Token{Key: freed.Key, Version: freed.Version}}] = time.Now()
	}
	w.mu.Unlock()
	line := ""
	if r.call != nil {
		line = fmt.Sprint("place ", r.call.place)
	}
	w.say("%s: %v %s %v", inWords(cmd), r.Tokens, line, err)
	return r, err
}

// inWords is short, and has all keys in it.
func inWords(cmd *table.Command) string {
	switch cmd.Op {
	case table.Lock:
		return fmt.Sprintf("lock %s %v", cmd.UID, cmd.Keys)
	case table.Cancel:
		return fmt.Sprintf("cancel place %d", cmd.Place)
	case table.Expire:
		return fmt.Sprintf("expire %v", cmd.Ended)
	case table.Force:
		return "force " + cmd.Key
	}
	return fmt.Sprintf("%v %s %v", cmd.Op, cmd.UID, cmd.Tokens)
}

// lead leads, as a store does, until ctx ends; if the leadership changes, for a
// while and again later.
func (w *trial) lead(ctx context.Context) {
	for ctx.Err() == nil {
		w.keeper.StartClock()
		leaveEmpty := w.keeper.KeepPlaces()
		w.setLeads(true)
		here, stop := context.WithCancel(ctx)
		var done sync.WaitGroup
		done.Go(func() { leaveEmpty(here, w, w.keep) })
		done.Go(func() { w.keeper.WatchOver(here, w) })
		w.reign(ctx)
		w.setLeads(false)
		w.followOthers()
		stop() // it learns a little later that it does not lead any more
		done.Wait()
		w.followOthers()
		w.keeper.SendAway()
		w.followOthers()
	}
}

func (w *trial) setLeads(leads bool) {
	w.mu.Lock()
	w.leads = leads
	if leads {
		w.term++
	}
	w.mu.Unlock()
	w.say("leads: %v", leads)
}

// reign returns when the leadership is lost.
func (w *trial) reign(ctx context.Context) {
	var lost <-chan time.Time
	if w.changes {
		lost = time.After(time.Duration(1+w.draw(40)) * time.Millisecond)
	}
	select {
	case <-lost:
	case <-w.calm:
		<-ctx.Done()
	}
}

// followOthers does for a while what another leader may have decided.
func (w *trial) followOthers() {
	w.pause(time.Millisecond)
	term, _ := w.leadership()
	for range w.draw(3) {
		switch w.draw(4) {
		case 0:
			w.carryOut(&table.Command{Op: table.Force, Key: trialKeys[w.draw(len(trialKeys))]}, term)
		case 1:
			var snapshot bytes.Buffer
			w.keeper.Snapshot().WriteTo(&snapshot)
			if t, err := table.Read(&snapshot); err == nil {
				w.keeper.Replace(t)
				w.say("a snapshot of another leader")
			}
		case 2:
			w.keeper.mu.Lock()
			places, applied := w.keeper.table.Places(), w.keeper.table.Applied()
			w.keeper.mu.Unlock()
			if len(places) > 0 {
				w.carryOut(&table.Command{Op: table.Cancel, Place: places[w.draw(len(places))], Seen: applied}, term)
			}
		}
	}
}
