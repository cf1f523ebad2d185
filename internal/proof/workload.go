package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"holdfast"
)

// Workload is what many owners ask of a lock service. All that it draws comes
// from Seed, so that the same seed asks the same, as far as the answers are
// the same.
type Workload struct {
	Seed   uint64
	Name   string // what the names of keys and owners begin with
	Groups int    // of keys that are asked for together, and of keys with a line; half of each
	Owners int    // in each group

	// Part and Parts are for a workload that several processes share: this one
	// is the Part-th of so many and takes its share of the owners.
	Part, Parts int

	// Life tells the owners of a process from those of one that took its part
	// before and ended.
	Life int
}

// keys are the keys of a group: three, or one with a line.
func (w *Workload) keys(group int) []string {
	if w.lined(group) {
		return []string{fmt.Sprintf("%s/line-%d", w.Name, group)}
	}
	var keys []string
	for _, letter := range "abc" {
		keys = append(keys, fmt.Sprintf("%s/%d/%c", w.Name, group, letter))
	}
	return keys
}

func (w *Workload) lined(group int) bool { return group%2 == 1 }

// Run lets the owners ask until ctx ends, and returns when they all have their
// answers. Each gets a service of its own from dial, since one client stays with
// one server.
func (w *Workload) Run(ctx context.Context, record *Recorder, register Writer, dial func(owner int) holdfast.Service) {
	var done sync.WaitGroup
	for n := range w.Groups * w.Owners {
		if w.Parts > 1 && n%w.Parts != w.Part {
			continue
		}
		group := n % w.Groups
		o := &owner{
			Service:  Service{To: dial(n), Record: record, Client: fmt.Sprintf("%s.%d", w.Name, n)},
			register: register,
			keys:     w.keys(group),
			name:     fmt.Sprintf("%s-%d-%d", w.Name, group, n/w.Groups),
			lives:    w.Life * 1_000_000,
			rng:      rand.New(rand.NewPCG(w.Seed, uint64(n+w.Life<<32))),
		}
		done.Go(func() {
			if w.lined(group) {
				o.standInLine(ctx)
			} else {
				o.askAround(ctx)
			}
		})
	}
	done.Wait()
}

// owner is one who asks, one thing after the other.
type owner struct {
	Service
	register Writer
	keys     []string
	name     string
	lives    int // its uid changes when nobody can tell any more what it may hold
	rng      *rand.Rand

	held []holdfast.Token // what it was told to hold, as far as it remembers
}

func (o *owner) uid() string { return fmt.Sprintf("%s.%d", o.name, o.lives) }

// ms draws a duration.
func (o *owner) ms(least, most int) time.Duration {
	return time.Duration(least+o.rng.IntN(most-least+1)) * time.Millisecond
}

func (o *owner) one(in int) bool { return o.rng.IntN(in) == 0 }

// pause waits, and says whether to go on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// bounded is a ctx for one call, which ctx does not end: whoever is let in at
// the end of the work still learns of it.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}

// callTime is how long a call may take beside its wait.
const callTime = 4 * time.Second

// askAround is an owner that does everything there is to do with a few keys.
func (o *owner) askAround(ctx context.Context) {
	for pause(ctx, o.ms(0, 15)) {
		switch o.rng.IntN(12) {
		default:
			o.lock(ctx)
		case 5, 6, 7:
			o.unlock(ctx)
		case 8, 9:
			o.extend(ctx)
		case 10:
			call, cancel := bounded(ctx, callTime)
			o.Check(call, o.some())
			cancel()
		case 11:
			call, cancel := bounded(ctx, callTime)
			o.Get(call, o.keys[o.rng.IntN(len(o.keys))])
			cancel()
		}
	}
}

// some draws some of the keys, in any order.
func (o *owner) some() []string {
	n := 1
	if o.one(3) {
		n += o.rng.IntN(len(o.keys))
	}
	var keys []string
	for _, i := range o.rng.Perm(len(o.keys))[:n] {
		keys = append(keys, o.keys[i])
	}
	return keys
}

func (o *owner) lock(ctx context.Context) {
	req := holdfast.LockRequest{UID: o.uid(), Exp: o.ms(20, 400)}
	if o.one(8) {
		req.Exp = o.ms(1000, 3000)
	}
	for _, key := range o.some() {
		ask := holdfast.Ask{Key: key}
		if o.one(2) {
			ask.Mode = holdfast.Shared
			ask.Limit = o.rng.IntN(4)
		}
		req.Keys = append(req.Keys, ask)
	}
	if !o.one(3) {
		req.Wait = o.ms(1, 400)
	}
	patience := req.Wait + callTime
	if o.one(6) { // abandoned on the way
		patience = o.ms(0, 30)
	}
	call, cancel := bounded(ctx, patience)
	defer cancel()
	grant, err := o.Lock(call, req)
	if err == nil {
		o.took(grant.Tokens)
		o.use(ctx, req)
		return
	}
	switch holdfast.ErrorCode(err) {
	case holdfast.CodeLocked, holdfast.CodeDeadlock:
		return
	}
	// Nobody knows what became of it. Asking the same again is harmless, and
	// shows what is held.
	for range 1 + o.rng.IntN(2) {
		pause(ctx, o.ms(0, 100))
		again, cancel := bounded(ctx, req.Wait+callTime)
		grant, err := o.Lock(again, req)
		cancel()
		if err == nil {
			o.took(grant.Tokens)
			break
		}
	}
	if o.one(2) {
		o.lives++ // from now on it is somebody else
		o.held = nil
	}
}

// took remembers tokens, the newest of each key.
func (o *owner) took(tokens []holdfast.Token) {
	for _, token := range tokens {
		o.forget(token.Key)
		o.held = append(o.held, token)
	}
}

func (o *owner) forget(key string) {
	// A copy: the recorder has kept what was given back or extended.
	o.held = slices.DeleteFunc(slices.Clone(o.held), func(token holdfast.Token) bool { return token.Key == key })
}

// use writes to the register what only the holder may write. Those who share a
// key do not: fence is for keys that are held alone.
func (o *owner) use(ctx context.Context, req holdfast.LockRequest) {
	if !o.one(2) {
		return
	}
	pause(ctx, o.ms(0, int(req.Exp.Milliseconds())/2))
	for _, ask := range req.Keys {
		for _, token := range o.held {
			if token.Key == ask.Key && ask.Mode == holdfast.Exclusive {
				call, cancel := bounded(ctx, callTime)
				o.write(call, o.register, o.uid(), []holdfast.Token{token})
				cancel()
			}
		}
	}
}

func (o *owner) unlock(ctx context.Context) {
	if len(o.held) == 0 {
		return
	}
	tokens := o.held
	if o.one(3) {
		tokens = o.held[:1]
	}
	call, cancel := bounded(ctx, callTime)
	defer cancel()
	req := holdfast.UnlockRequest{UID: o.uid(), Tokens: tokens}
	_, err := o.Unlock(call, req)
	if err != nil || o.one(10) {
		o.Unlock(call, req) // once more, which is harmless
	}
	if o.one(10) {
		return // it does not remember, and will come with a stale token
	}
	for _, token := range tokens {
		o.forget(token.Key)
	}
}

func (o *owner) extend(ctx context.Context) {
	req := holdfast.ExtendRequest{UID: o.uid(), Exp: o.ms(20, 400)}
	if o.one(2) {
		if len(o.held) == 0 {
			return
		}
		req.Tokens = o.held
	}
	call, cancel := bounded(ctx, callTime)
	defer cancel()
	extension, err := o.Extend(call, req)
	if err == nil && req.Tokens != nil {
		o.held = extension.Tokens
	}
}

// standInLine is an owner that comes to one line again and again, each time as
// somebody new, so that a history tells who came before whom. Some would share.
func (o *owner) standInLine(ctx context.Context) {
	for pause(ctx, o.ms(0, 40)) {
		o.lives++
		if o.one(3) {
			call, cancel := bounded(ctx, callTime)
			o.Get(call, o.keys[0])
			cancel()
		}
		req := holdfast.LockRequest{UID: o.uid(), Keys: holdfast.Keys(o.keys[0]), Exp: o.ms(50, 300), Wait: o.ms(500, 4000)}
		if o.one(5) {
			req.Keys[0].Mode = holdfast.Shared
		}
		patience := req.Wait + callTime
		if o.one(8) {
			patience = o.ms(0, 100)
		}
		call, cancel := bounded(ctx, patience)
		grant, err := o.Lock(call, req)
		cancel()
		if err != nil {
			continue
		}
		pause(ctx, o.ms(0, 20))
		call, cancel = bounded(ctx, callTime)
		if req.Keys[0].Mode != holdfast.Shared { // see use
			o.write(call, o.register, req.UID, grant.Tokens)
		}
		if !o.one(6) { // else it lets it run out
			o.Unlock(call, holdfast.UnlockRequest{UID: req.UID, Tokens: grant.Tokens})
		}
		cancel()
	}
}

// Settle waits until all keys are free again and nobody stands in line: what
// the owners left behind has to run out by itself, however they ended. It says
// what is still there when ctx ends.
func (w *Workload) Settle(ctx context.Context, service holdfast.Service) error {
	left := "nothing was answered"
	for {
		page, err := service.List(ctx, holdfast.ListRequest{Prefix: w.Name + "/"})
		switch {
		case err != nil && ctx.Err() == nil:
			left = err.Error()
		case err == nil && len(page.Locks) == 0:
			return nil
		case err == nil:
			left = fmt.Sprintf("%+v", page.Locks)
		}
		if !pause(ctx, 20*time.Millisecond) {
			return fmt.Errorf("what the owners left behind is still there: %s", left)
		}
	}
}
