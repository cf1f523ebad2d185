package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/proof"
)

// Plan says what happens in a round.
type Plan struct {
	Seed uint64        // what all that is drawn comes from
	Name string        // what the keys of this round begin with
	Long time.Duration // for how long harm is done

	Gently bool // no harm is done at all

	Groups, Owners int // of the workload
	Say            func(format string, args ...any)
}

// round is a deployment, its clients, and the harm that is done to them for a
// while.
type round struct {
	Plan
	ctx   context.Context
	d     *Deployment
	crews []*crew

	mu       sync.Mutex
	busy     map[any]bool // targets that suffer
	backups  []string
	problems []error
	did      map[string]int
	timeline strings.Builder // of the harm, as the history counts time
}

// Round does harm to a deployment that serves, while owners work, and gives
// their history, and what went wrong beside it. Everything is well again when
// it returns, or there is a problem that says what is not.
func (d *Deployment) Round(ctx context.Context, plan Plan) ([]proof.Op, error) {
	r := &round{Plan: plan, ctx: ctx, d: d, busy: map[any]bool{}, did: map[string]int{}}
	register, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: new(proof.Register)}
	go server.Serve(register)
	defer server.Close()

	for n := range d.ways {
		c := newCrew(d.Dir, n, work{
			Workload: proof.Workload{
				Seed: plan.Seed, Name: plan.Name, Groups: plan.Groups, Owners: plan.Owners, Part: n, Parts: len(d.ways),
			},
			Servers: d.URLs(n), Register: "http://" + register.Addr().String(),
		})
		r.crews = append(r.crews, c)
		if err := c.Start(ctx); err != nil {
			return nil, err
		}
	}
	if plan.Gently {
		pauseFor(ctx, plan.Long)
	} else {
		r.harm()
	}
	pauseFor(ctx, time.Second) // in which everybody finds back
	for _, c := range r.crews {
		r.note(c.Ended())
		r.note(c.Terminate())
	}
	for _, p := range d.Processes {
		r.note(p.Ended())
	}
	var history []proof.Op
	for _, c := range r.crews {
		history = append(history, c.collect()...)
	}
	for i := range history {
		history[i].ID = i
		history[i].Again = history[i].Kind == proof.Lock
	}
	settle, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	via := d.Client()
	defer via.Close()
	r.note(r.crews[0].work.Settle(settle, via))
	r.note(r.lookAtBackups(history))
	r.note(os.WriteFile(filepath.Join(d.Dir, "faults.txt"), []byte(r.timeline.String()), 0o644))
	r.Say("%d calls, %s; %v", len(history), proof.Tally(history), r.did)
	return history, errors.Join(r.problems...)
}

func (r *round) note(err error) {
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.problems = append(r.problems, err)
	}
}

// harm does harm until the time is over, and waits until all is well again.
func (r *round) harm() {
	draw := rand.New(rand.NewPCG(r.Seed, 1))
	possible := slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return len(k.targets(r)) == 0 })
	atOnce := 1 + draw.IntN(3)
	if draw.IntN(3) == 0 { // one kind alone
		possible = possible[draw.IntN(len(possible)):][:1]
		atOnce = 1
	}
	names := make([]string, len(possible))
	for i, k := range possible {
		names[i] = k.name
	}
	r.Say("seed %d: up to %d at once of: %s", r.Seed, atOnce, strings.Join(names, ", "))
	over := time.After(r.Long)
	places := make(chan struct{}, atOnce)
	var done sync.WaitGroup
	defer done.Wait()
	for step := uint64(0); ; step++ {
		// Each step draws for itself, so that how one goes does not change the
		// others.
		rng := rand.New(rand.NewPCG(r.Seed, 2+step))
		rest := time.Duration(20+rng.IntN(400)) * time.Millisecond
		select {
		case <-over:
			return
		case <-r.ctx.Done():
			return
		case <-time.After(rest):
		}
		select {
		case places <- struct{}{}:
		case <-over:
			return
		}
		k := possible[rng.IntN(len(possible))]
		targets := k.targets(r)
		target := targets[rng.IntN(len(targets))]
		if !r.take(target) {
			<-places
			continue
		}
		done.Go(func() {
			defer func() { <-places }()
			r.suffer(k, target, rng)
			r.release(target)
		})
	}
}

// take says whether a target may be hit now. The whole is hit alone.
func (r *round) take(target any) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, whole := target.(*Deployment); whole && len(r.busy) > 0 || r.busy[r.d] || r.busy[target] {
		return false
	}
	r.busy[target] = true
	return true
}

func (r *round) release(target any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, target)
}

// suffer is one harm from its beginning to its end.
func (r *round) suffer(k kind, target any, rng *rand.Rand) {
	long := time.Duration(0)
	if k.longest > 0 {
		long = 50*time.Millisecond + time.Duration(rng.Int64N(int64(k.longest)))
	}
	r.mu.Lock()
	r.did[k.name]++
	r.mu.Unlock()
	began := now()
	end, err := k.begin(r, target, rng)
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		fmt.Fprintf(&r.timeline, "%.3f to %.3f ms: %s of %s\n", float64(began)/1e6, float64(now())/1e6, k.name, nameOf(target))
	}()
	if err != nil {
		r.note(fmt.Errorf("%s of %s: %w", k.name, nameOf(target), err))
		return
	}
	pauseFor(r.ctx, long)
	if err := end(); err != nil {
		r.note(fmt.Errorf("after %s of %s: %w", k.name, nameOf(target), err))
	}
}

func nameOf(target any) string {
	switch t := target.(type) {
	case *Process:
		return t.Name
	case *Link:
		return t.Name
	case *mesh:
		return "a spare node"
	}
	return "everything"
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// lookAtBackups restores the last backup into a new server, which has to give
// versions beyond all that the history knows (rule 5).
func (r *round) lookAtBackups(history []proof.Op) error {
	if len(r.backups) == 0 {
		return nil
	}
	name := r.backups[len(r.backups)-1]
	data := name + "-restored"
	if said, err := exec.Command(r.d.Program, "restore", name, "--data-dir", data).CombinedOutput(); err != nil {
		return fmt.Errorf("the backup cannot be restored: %w: %s", err, said)
	}
	restored := &Deployment{Site: r.d.Site}
	if _, err := restored.serve(filepath.Base(data), "--data-dir", data); err != nil {
		return err
	}
	defer os.RemoveAll(data)
	if err := restored.Start(r.ctx); err != nil {
		return err
	}
	via := restored.Client()
	defer via.Close()
	grant, err := via.Lock(r.ctx, holdfast.LockRequest{UID: "after", Keys: holdfast.Keys(r.Name + "/after")})
	if err == nil {
		err = proof.NewerThanAll(history, grant.Tokens[0].Version)
	}
	return errors.Join(err, restored.Stop())
}
