package servicetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
)

// The rules under load: what the holds guard looks for two owners who meet
// where they must not.
var contention = []proof{
	{"64 owners on one key lose no update", counterBehindLock},
	{"64 owners who stand in line are let in as they came", lineOf64},
	{"a resource sees versions that only grow", fencedResource},
	{"a resource refuses the latecomer", latecomerRefused},
	{"readers share, and a writer is alone", readersAndWriters},
	{"never more than the limit", semaphore},
	{"requests for several keys neither overlap nor lock each other out", severalKeys},
	{"holds that end by themselves do not overlap", endingHolds},
	{"everything at once", everything},
}

func counterBehindLock(c *scene) {
	const owners, rounds = 64, 4
	var counter atomic.Int64 // its Load and Store apart are no update
	c.together(owners, func(i int) error {
		uid := fmt.Sprint("a", i)
		for range rounds {
			grant, err := c.wait(time.Minute).tryLock(uid, "x")
			if err != nil {
				return err
			}
			seen := counter.Load()
			if i%8 == 0 {
				<-time.After(time.Microsecond)
			}
			counter.Store(seen + 1)
			if err := c.tryUnlock(uid, grant); err != nil {
				return err
			}
		}
		return nil
	})
	if got := counter.Load(); got != owners*rounds {
		c.t.Fatalf("%d owners added one %d times each, which made %d", owners, rounds, got)
	}
	c.free("x")
}

func lineOf64(c *scene) {
	const owners = 64
	c.lock("first", "x")
	calls := make([]*call, owners)
	for i := range calls {
		calls[i] = c.waits(fmt.Sprint("a", i), "x")
	}
	var mu sync.Mutex
	var order []int
	var all sync.WaitGroup
	errs := make([]error, owners)
	for i, w := range calls {
		all.Go(func() {
			<-w.done
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			if errs[i] = w.err; w.err == nil {
				errs[i] = c.tryUnlock(w.uid, w.grant)
			}
		})
	}
	c.unlock("first", "x")
	all.Wait()
	c.must(errors.Join(errs...), "the owners in line")
	last := c.version("first", "x")
	for _, w := range calls {
		w.granted()
		if version := c.version(w.uid, "x"); version <= last {
			c.t.Fatalf("%s was granted version %d; one who came before had %d", w.uid, version, last)
		} else {
			last = version
		}
	}
	if !slices.IsSorted(order) {
		c.t.Fatalf("they were let in in the order %v", order)
	}
	c.free("x")
}

// resource is what a key guards: it remembers the highest version that it has
// seen, and refuses whoever comes with a lower one.
type resource struct {
	mu      sync.Mutex
	highest uint64
	inside  string // who is at work
}

func (r *resource) enter(uid string, version uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if version < r.highest {
		return fmt.Errorf("%s came with version %d after version %d", uid, version, r.highest)
	}
	if r.inside != "" {
		return fmt.Errorf("%s and %s hold the same key", uid, r.inside)
	}
	r.highest, r.inside = version, uid
	return nil
}

func (r *resource) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inside = ""
}

func fencedResource(c *scene) {
	const owners, rounds, keys = 24, 6, 3
	resources := make([]resource, keys)
	c.together(owners, func(i int) error {
		uid := fmt.Sprint("a", i)
		for round := range rounds {
			k := (i + round) % keys
			grant, err := c.wait(time.Minute).tryLock(uid, fmt.Sprint("k", k))
			if err != nil {
				return err
			}
			if err := resources[k].enter(uid, grant.Tokens[0].Version); err != nil {
				return err
			}
			resources[k].leave()
			if err := c.tryUnlock(uid, grant); err != nil {
				return err
			}
		}
		return nil
	})
	c.free("k0", "k1", "k2")
}

func latecomerRefused(c *scene) {
	var r resource
	sent := time.Now()
	c.exp(shortly).lock("a", "x")
	b := c.start("b", "x")
	b.granted()
	c.notBefore(sent, shortly, b.answered)
	c.must(r.enter("b", c.version("b", "x")), "b uses the resource")
	r.leave()
	// a has slept over the end of its hold.
	if err := r.enter("a", c.version("a", "x")); err == nil {
		c.t.Fatalf("a was let in with version %d after %d", c.version("a", "x"), c.version("b", "x"))
	}
}

func readersAndWriters(c *scene) {
	const owners, rounds = 20, 6
	var readers, writers atomic.Int32
	c.together(owners, func(i int) error {
		uid, ask, writer := fmt.Sprint("a", i), "x shared", i%5 == 0
		if writer {
			ask = "x"
		}
		for range rounds {
			grant, err := c.wait(time.Minute).tryLock(uid, ask)
			if err != nil {
				return err
			}
			if writer {
				if w, r := writers.Add(1), readers.Load(); w != 1 || r != 0 {
					return fmt.Errorf("a writer meets %d writers and %d readers", w-1, r)
				}
				<-time.After(100 * time.Microsecond)
				writers.Add(-1)
			} else {
				readers.Add(1)
				if w := writers.Load(); w != 0 {
					return fmt.Errorf("a reader meets %d writers", w)
				}
				<-time.After(100 * time.Microsecond)
				readers.Add(-1)
			}
			if err := c.tryUnlock(uid, grant); err != nil {
				return err
			}
		}
		return nil
	})
	c.free("x")
}

func semaphore(c *scene) {
	const owners, rounds, limit = 24, 6, 3
	var inside atomic.Int32
	c.together(owners, func(i int) error {
		uid := fmt.Sprint("a", i)
		for range rounds {
			grant, err := c.wait(time.Minute).tryLock(uid, fmt.Sprint("x shared ", limit))
			if err != nil {
				return err
			}
			if n := inside.Add(1); n > limit {
				return fmt.Errorf("%d owners share what %d may", n, limit)
			}
			<-time.After(100 * time.Microsecond)
			inside.Add(-1)
			if err := c.tryUnlock(uid, grant); err != nil {
				return err
			}
		}
		return nil
	})
	c.free("x")
}

func severalKeys(c *scene) {
	const owners, rounds, keys = 16, 8, 6
	resources := make([]resource, keys)
	seed := uint64(time.Now().UnixNano())
	c.t.Logf("seed %d", seed)
	c.together(owners, func(i int) error {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		uid := fmt.Sprint("a", i)
		for range rounds {
			some := random.Perm(keys)[:1+random.IntN(keys)]
			var asks []string
			for _, k := range some {
				asks = append(asks, fmt.Sprint("k", k))
			}
			grant, err := c.wait(time.Minute).tryLock(uid, asks...)
			if err != nil {
				return err
			}
			for _, k := range some {
				if err := resources[k].enter(uid, c.granted(grant, fmt.Sprint("k", k))); err != nil {
					return fmt.Errorf("key %d: %w", k, err)
				}
			}
			for _, k := range some {
				resources[k].leave()
			}
			if err := c.tryUnlock(uid, grant); err != nil {
				return err
			}
		}
		return nil
	})
	c.free("k0", "k1", "k2", "k3", "k4", "k5")
}

// endingHolds never unlocks: each hold runs out, and its owner is sure of it
// until exp after it asked.
func endingHolds(c *scene) {
	const owners, rounds, exp = 8, 3, 15 * time.Millisecond
	type sure struct {
		uid     string
		version uint64
		until   time.Time
	}
	var mu sync.Mutex
	var latest sure
	c.together(owners, func(i int) error {
		uid := fmt.Sprint("a", i)
		for range rounds {
			grant, err := c.exp(exp).wait(time.Minute).tryLock(uid, "x")
			if err != nil {
				return err
			}
			answered := time.Now()
			mu.Lock()
			hold := latest
			mu.Unlock()
			// The larger version tells that this grant came after the other.
			if hold.uid != uid && grant.Tokens[0].Version > hold.version && answered.Before(hold.until) {
				return fmt.Errorf("%s was granted the key %v before the hold of %s could end", uid, hold.until.Sub(answered), hold.uid)
			}
			// Who comes from the line does not know when its life began; who
			// asks again for what it holds does.
			sent := time.Now()
			if grant, err = c.exp(exp).wait(time.Minute).tryLock(uid, "x"); err != nil {
				return err
			}
			mu.Lock()
			if version := grant.Tokens[0].Version; version > latest.version {
				latest = sure{uid, version, sent.Add(exp)}
			}
			mu.Unlock()
		}
		return nil
	})
}

// everything does what owners do, well and badly, and looks only at what must
// never happen.
func everything(c *scene) {
	const owners, rounds, keys = 16, 15, 5
	seed := uint64(time.Now().UnixNano())
	c.t.Logf("seed %d", seed)
	resources := make([]resource, keys)
	c.together(owners, func(i int) error {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		uid := fmt.Sprint("a", i)
		for range rounds {
			var asks []string
			var alone []int // keys asked exclusively
			for _, k := range random.Perm(keys)[:1+random.IntN(3)] {
				switch random.IntN(4) {
				case 0:
					asks = append(asks, fmt.Sprintf("k%d shared", k))
				case 1:
					asks = append(asks, fmt.Sprintf("k%d shared %d", k, 1+random.IntN(3)))
				default:
					asks = append(asks, fmt.Sprint("k", k))
					alone = append(alone, k)
				}
			}
			w := c.wait(time.Duration(random.IntN(20))*time.Millisecond+1).start(uid, asks...)
			if random.IntN(4) == 0 {
				<-time.After(time.Duration(random.IntN(2000)) * time.Microsecond)
				w.cancel(errGone)
			}
			select {
			case <-w.done:
			case <-time.After(patience):
				return fmt.Errorf("%s, who asks for %q, was not answered", uid, asks)
			}
			if errors.Is(w.err, errGone) || holdfast.ErrorCode(w.err) == holdfast.CodeLocked {
				continue
			}
			if w.err != nil {
				return w.err
			}
			for _, k := range alone {
				if err := resources[k].enter(uid, c.granted(w.grant, fmt.Sprint("k", k))); err != nil {
					return err
				}
			}
			if random.IntN(3) == 0 {
				ctx, cancel := c.soon()
				_, err := c.service().Extend(ctx, holdfast.ExtendRequest{UID: c.name(uid), Exp: time.Minute})
				cancel()
				if err != nil {
					return err
				}
			}
			for _, k := range alone {
				resources[k].leave()
			}
			if err := c.tryUnlock(uid, w.grant); err != nil {
				return err
			}
		}
		return nil
	})
	c.eventually("nothing is left", func() bool { return len(c.listed(holdfast.ListRequest{})) == 0 })
}
