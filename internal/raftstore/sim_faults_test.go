package raftstore

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// simFault is a harm to the world: it happens, lasts, and is undone.
type simFault struct {
	name    string
	longest time.Duration
	begin   func(w *world, rng *rand.Rand) (end func())
}

var simFaults = []simFault{
	{"crash", 700 * time.Millisecond, func(w *world, rng *rand.Rand) func() { return w.crash(rng, w.pick(rng)) }},
	{"crash of all", 300 * time.Millisecond, func(w *world, rng *rand.Rand) func() { return w.crash(rng, w.nodes...) }},
	{"stop", 300 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		n := w.pick(rng)
		n.hold(1)
		n.stop(n.living())
		return func() { n.hold(-1); n.start() }
	}},
	{"step down", 0, func(w *world, rng *rand.Rand) func() {
		ctx, cancel := context.WithTimeout(context.Background(), simPatience)
		defer cancel()
		if l := w.pick(rng).living(); l != nil {
			l.StepDown(ctx)
		}
		return func() {}
	}},
	{"snapshot", 0, func(w *world, rng *rand.Rand) func() {
		if l := w.pick(rng).living(); l != nil {
			l.raft.Snapshot().Error()
		}
		return func() {}
	}},
	{"cut off", 1200 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		n := w.pick(rng).index
		return w.cut(func(from, to int) bool { return from == n || to == n })
	}},
	{"cut in two", 1200 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		side := make([]bool, len(w.nodes))
		for i := range side {
			side[i] = rng.IntN(2) == 0
		}
		return w.cut(func(from, to int) bool { return side[from] != side[to] })
	}},
	{"cut one way", 1200 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		a, b := w.pick(rng).index, rng.IntN(len(w.nodes))
		if rng.IntN(2) == 0 {
			a, b = b, a
		}
		return w.cut(func(from, to int) bool { return from == a && to == b })
	}},
	{"deaf", 1200 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		n := w.pick(rng).index
		return w.cut(func(_, to int) bool { return to == n })
	}},
	{"loss", 1500 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		drop, twice := rng.Float64()/2, rng.Float64()/2
		return w.weather(func(l *simLink) { l.drop, l.twice = drop, twice }, func(l *simLink) { l.drop, l.twice = 0, 0 })
	}},
	{"slow network", 1500 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		slowest := time.Duration(1 + rng.Int64N(int64(slowDelay)))
		return w.weather(func(l *simLink) { l.slowest = slowest }, func(l *simLink) { l.slowest = usualDelay })
	}},
	{"slow disk", 1500 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		n, slowest := w.pick(rng), time.Duration(1+rng.Int64N(int64(300*time.Millisecond)))
		return n.onDisk(func(d *simDisk) { d.slowest = slowest }, func(d *simDisk) { d.slowest = usualWrite })
	}},
	{"full disk", 700 * time.Millisecond, func(w *world, rng *rand.Rand) func() {
		return w.pick(rng).onDisk(func(d *simDisk) { d.full = true }, func(d *simDisk) { d.full = false })
	}},
	{"members", 0, (*world).changeMembers},
}

// harm does harm for a while, and makes everything well again. When what
// happens, for how long, and to whom, all comes from the seed, save that half
// of the faults hit whoever leads.
func (w *world) harm(long time.Duration) {
	draw := rand.New(rand.NewPCG(w.seed, 1))
	var done sync.WaitGroup
	for end := time.Now().Add(long); time.Now().Before(end); {
		time.Sleep(20*time.Millisecond + time.Duration(draw.Int64N(int64(400*time.Millisecond))))
		rng := rand.New(rand.NewPCG(draw.Uint64(), draw.Uint64()))
		fault := simFaults[draw.IntN(len(simFaults))]
		w.note(fault.name)
		done.Go(func() {
			w.harmed(1)
			w.say("%s begins; leading: %v", fault.name, w.leaders())
			undo := fault.begin(w, rng)
			if fault.longest > 0 {
				time.Sleep(time.Duration(rng.Int64N(int64(fault.longest))))
			}
			undo()
			w.say("%s is over", fault.name)
			w.harmed(-1)
		})
	}
	done.Wait()
}

// harmed notes that a fault begins or is over.
func (w *world) harmed(by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Since(w.began)
	if w.faults == 0 {
		w.calm[len(w.calm)-1].to = now
	}
	if w.faults += by; w.faults == 0 {
		w.calm = append(w.calm, span{now + overcome, 1 << 62})
	}
}

// overcome is how long it takes at most until everybody has found back.
const overcome = 500 * time.Millisecond

// leaders are the nodes that lead, by what they know.
func (w *world) leaders() []string {
	var ids []string
	for _, n := range w.nodes {
		if l := n.living(); l != nil && l.leading.Load() {
			ids = append(ids, n.id)
		}
	}
	return ids
}

// pick gives a node, often the one that leads.
func (w *world) pick(rng *rand.Rand) *simNode {
	n, leader := w.nodes[rng.IntN(len(w.nodes))], rng.IntN(2) == 0
	for _, other := range w.nodes {
		if l := other.living(); leader && l != nil && l.leading.Load() {
			return other
		}
	}
	return n
}

// hold keeps a node down, or no longer.
func (n *simNode) hold(by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down += by
}

func (w *world) crash(rng *rand.Rand, nodes ...*simNode) func() {
	heardAfter := time.Duration(rng.Int64N(int64(time.Second)))
	if rng.IntN(2) == 0 {
		heardAfter = 0
	}
	for _, n := range nodes {
		n.hold(1)
		n.crash(heardAfter)
	}
	return func() {
		var started sync.WaitGroup // one that joins needs the others
		for _, n := range nodes {
			n.hold(-1)
			started.Go(n.start)
		}
		started.Wait()
	}
}

// cut cuts some links.
func (w *world) cut(which func(from, to int) bool) func() {
	change := func(by int) {
		w.forgive()
		w.network.change(func(link func(from, to int) *simLink) {
			for from := range w.nodes {
				for to := range w.nodes {
					if which(from, to) {
						link(from, to).cuts += by
					}
				}
			}
		})
		w.reckon()
	}
	change(1)
	return func() { change(-1) }
}

// weather changes all links.
func (w *world) weather(to, back func(*simLink)) func() {
	change := func(do func(*simLink)) {
		w.network.change(func(link func(from, to int) *simLink) {
			for from := range w.nodes {
				for to := range w.nodes {
					do(link(from, to))
				}
			}
		})
	}
	change(to)
	return func() { change(back) }
}

// onDisk changes the disk of a node, whichever life uses it.
func (n *simNode) onDisk(to, back func(*simDisk)) func() {
	change := func(do func(*simDisk)) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.disk.set(do)
	}
	change(to)
	return func() { change(back) }
}
