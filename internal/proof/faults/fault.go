package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// kind is a sort of harm. Each hits targets, of which no two kinds have the
// same at the same time.
type kind struct {
	name    string
	targets func(*round) []any
	longest time.Duration

	// begin does it. What it gives puts it right again, and comes back when the
	// target serves as before.
	begin func(*round, any, *rand.Rand) (end func() error, err error)
}

// kinds are all sorts there are. A pause or a cut is shorter than the time for
// which the place in line of a server is kept that gives no sign of life.
var kinds = []kind{
	{"pause", (*round).processes, 2500 * time.Millisecond, pause},
	{"kill", (*round).mortals, 1500 * time.Millisecond, kill},
	{"cut", (*round).links, 2500 * time.Millisecond, setLink(func(*rand.Rand) linkState { return linkState{there: true, back: true} })},
	{"cut there", (*round).links, 2500 * time.Millisecond, setLink(func(*rand.Rand) linkState { return linkState{there: true} })},
	{"cut back", (*round).links, 2500 * time.Millisecond, setLink(func(*rand.Rand) linkState { return linkState{back: true} })},
	{"slow", (*round).links, 2500 * time.Millisecond, setLink(func(rng *rand.Rand) linkState {
		return linkState{delay: time.Duration(1+rng.IntN(200)) * time.Millisecond}
	})},
	{"flaky", (*round).links, 2500 * time.Millisecond, setLink(func(rng *rand.Rand) linkState {
		return linkState{flaky: 0.02 + 0.3*rng.Float64()}
	})},
	{"clock", (*round).clocks, 2500 * time.Millisecond, setClock},
	{"disk full", (*round).disks, 1500 * time.Millisecond, inject("pwrite64:error=ENOSPC", "fallocate:error=ENOSPC")},
	{"disk broken", (*round).disks, 1500 * time.Millisecond, inject("fsync:error=EIO", "fdatasync:error=EIO")},
	{"disk slow", (*round).disks, 2500 * time.Millisecond, inject("fsync:delay_enter=150000", "fdatasync:delay_enter=150000")},
	{"rolling restart", (*round).whole, 0, rollingRestart},
	{"backup", (*round).disks, 0, backup},
	{"a node comes and goes", (*round).spares, time.Second, comeAndGo},
	{"the leader steps down", (*round).nodes, 0, stepDown},
}

func (r *round) processes() []any {
	var all []any
	for _, p := range r.d.Processes {
		all = append(all, p)
	}
	for _, c := range r.crews {
		all = append(all, c.Process)
	}
	return all
}

func (r *round) some(wanted func(*Process) bool) []any {
	var some []any
	for _, p := range r.processes() {
		if wanted(p.(*Process)) {
			some = append(some, p)
		}
	}
	return some
}

func (r *round) mortals() []any { return r.some(func(p *Process) bool { return p.Mortal }) }
func (r *round) clocks() []any  { return r.some(func(p *Process) bool { return p.Clock != "" }) }
func (r *round) disks() []any   { return r.some(func(p *Process) bool { return p.Disk }) }

func (r *round) links() []any {
	var all []any
	for _, l := range r.d.Links {
		all = append(all, l)
	}
	return all
}

// whole is the deployment, if it may be restarted at all. Then nothing else
// may be in the way.
func (r *round) whole() []any {
	for _, p := range r.d.Processes {
		if !p.Mortal {
			return nil
		}
	}
	return []any{r.d}
}

func (r *round) spares() []any {
	if r.d.spare == nil {
		return nil
	}
	return []any{r.d.spare}
}

// nodes are the members of a cluster.
func (r *round) nodes() []any {
	if r.d.spare == nil {
		return nil
	}
	return r.clocks()
}

func pause(_ *round, target any, _ *rand.Rand) (func() error, error) {
	p := target.(*Process)
	p.Pause()
	return func() error { p.Resume(); return nil }, nil
}

func kill(r *round, target any, _ *rand.Rand) (func() error, error) {
	p := target.(*Process)
	p.Kill()
	return func() error { return p.Start(r.ctx) }, nil
}

func setLink(draw func(*rand.Rand) linkState) func(*round, any, *rand.Rand) (func() error, error) {
	return func(_ *round, target any, rng *rand.Rand) (func() error, error) {
		l := target.(*Link)
		l.Set(draw(rng))
		return func() error { l.Set(linkState{}); return nil }, nil
	}
}

func setClock(_ *round, target any, rng *rand.Rand) (func() error, error) {
	p := target.(*Process)
	by := time.Duration(rng.IntN(2*86400)-86400) * time.Second
	back := rng.IntN(2) == 0
	return func() error {
		if back {
			return p.SetClock(0)
		}
		return nil
	}, p.SetClock(by)
}

// inject makes a disk bad. A process may end of that; then it is started again
// when its disk is well.
func inject(expressions ...string) func(*round, any, *rand.Rand) (func() error, error) {
	return func(r *round, target any, _ *rand.Rand) (func() error, error) {
		p := target.(*Process)
		p.SetFrail(true)
		stop, err := p.Inject(expressions...)
		if err != nil {
			return nil, err
		}
		return func() error {
			stop()
			return p.recover(r.ctx)
		}, nil
	}
}

// recover sees to it that a process whose disk was bad serves again.
func (p *Process) recover(ctx context.Context) error {
	err := p.AwaitReady(ctx)
	if !p.Alive() {
		err = p.Start(ctx)
	}
	p.SetFrail(false)
	return err
}

// rollingRestart restarts one process after the other, as for a new version.
func rollingRestart(r *round, target any, _ *rand.Rand) (func() error, error) {
	for _, p := range target.(*Deployment).Processes {
		if err := p.Terminate(); err != nil {
			return nil, err
		}
		if err := p.Start(r.ctx); err != nil {
			return nil, err
		}
	}
	return func() error { return nil }, nil
}

// backup takes a backup, which is looked at when the round is over.
func backup(r *round, target any, _ *rand.Rand) (func() error, error) {
	p := target.(*Process)
	nothing := func() error { return nil }
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.d.url(p)+"/backup", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nothing, nil // other harm may be in the way
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nothing, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := filepath.Join(r.d.Dir, fmt.Sprintf("backup-%d", len(r.backups)+1))
	r.backups = append(r.backups, name)
	return nothing, os.WriteFile(name, text, 0o644)
}

// url is that of the server that a process is.
func (d *Deployment) url(p *Process) string {
	servers := d.Servers
	for _, q := range d.Processes {
		if q.Clock == "" {
			continue // no server
		}
		if q == p {
			return servers[0]
		}
		servers = servers[1:]
	}
	panic(errors.New("not a server of this deployment"))
}
