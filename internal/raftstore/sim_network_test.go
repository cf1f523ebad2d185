package raftstore

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// simNetwork is what lies between the nodes: a link from each to each other,
// one for each direction.
type simNetwork struct {
	mu        sync.Mutex
	links     map[[2]int]*simLink
	listeners map[string]*simListener // by address
	flows     map[*flow]struct{}
	rafts     map[string]*simTransport // by address
}

// simLink is one direction between two nodes. What it does to each message it
// draws from the seed.
type simLink struct {
	rng     *rand.Rand
	cuts    int           // faults that cut it now
	slowest time.Duration // of messages
	drop    float64       // how many of raft's messages are lost
	twice   float64       // how many come a second time
}

const (
	usualDelay = time.Millisecond
	slowDelay  = 20 * time.Millisecond // in a slow network

	// Some messages are much slower than the others, so that a later one
	// overtakes them.
	straggler    = 10
	longestDelay = straggler * slowDelay
)

func newSimNetwork(seed uint64, nodes int) *simNetwork {
	n := &simNetwork{
		links: map[[2]int]*simLink{}, listeners: map[string]*simListener{}, flows: map[*flow]struct{}{}, rafts: map[string]*simTransport{},
	}
	for from := range nodes {
		for to := range nodes {
			n.links[[2]int{from, to}] = &simLink{
				rng: rand.New(rand.NewPCG(seed, uint64(1000+100*from+to))), slowest: usualDelay,
			}
		}
	}
	return n
}

// delay draws how long something takes on its way.
func (l *simLink) delay() time.Duration {
	most := l.slowest
	if l.rng.IntN(100) == 0 {
		most *= straggler
	}
	return time.Duration(l.rng.Int64N(int64(most)))
}

// change changes links, and lets through what a cut has held up.
func (n *simNetwork) change(do func(link func(from, to int) *simLink)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	do(func(from, to int) *simLink { return n.links[[2]int{from, to}] })
	for f := range n.flows {
		f.wake()
	}
}

// send has a message of raft delivered: once, twice, late, or never.
func (n *simNetwork) send(from, to int, deliver func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	link := n.links[[2]int{from, to}]
	copies := 1
	if link.rng.Float64() < link.twice {
		copies = 2
	}
	for range copies {
		if link.cuts > 0 || link.rng.Float64() < link.drop {
			continue
		}
		time.AfterFunc(link.delay(), func() {
			n.mu.Lock()
			cut := link.cuts > 0
			n.mu.Unlock()
			if !cut {
				deliver()
			}
		})
	}
}

// port is the network as one life of a node uses it.
type port struct {
	network *simNetwork
	node    int
	address string

	mu    sync.Mutex
	conns map[*simConn]struct{}
	dead  bool
}

var _ network = (*port)(nil)

func (p *port) Listen(address string) (net.Listener, error) {
	l := &simListener{port: p, conns: make(chan net.Conn, 64), closed: make(chan struct{})}
	p.network.mu.Lock()
	defer p.network.mu.Unlock()
	if p.network.listeners[address] != nil {
		return nil, syscall.EADDRINUSE
	}
	p.network.listeners[address] = l
	return l, nil
}

// Dial waits for as long as the way is cut.
func (p *port) Dial(ctx context.Context, address string) (net.Conn, error) {
	for {
		ours, theirs, answered := p.connect(address)
		wait := 50 * time.Millisecond
		if answered {
			wait = usualDelay
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if ours != nil {
				ours.Close()
			}
			return nil, context.Cause(ctx)
		}
		if ours != nil {
			select {
			case theirs.port.listener().conns <- theirs:
				return ours, nil
			default:
				ours.Close()
				return nil, syscall.ECONNREFUSED
			}
		}
		if answered {
			return nil, syscall.ECONNREFUSED
		}
	}
}

// connect gives the two ends of a new connection; none if nobody listens there,
// which is no answer either while the way is cut.
func (p *port) connect(address string) (ours, theirs *simConn, answered bool) {
	n := p.network
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[address]
	if l == nil {
		return nil, nil, true
	}
	there, back := n.links[[2]int{p.node, l.port.node}], n.links[[2]int{l.port.node, p.node}]
	if there.cuts+back.cuts > 0 {
		return nil, nil, false
	}
	out := &flow{network: n, link: there, changed: make(chan struct{})}
	in := &flow{network: n, link: back, changed: make(chan struct{})}
	n.flows[out], n.flows[in] = struct{}{}, struct{}{}
	ours, theirs = &simConn{port: p, in: in, out: out}, &simConn{port: l.port, in: out, out: in}
	if !ours.add() || !theirs.add() {
		return nil, nil, true
	}
	return ours, theirs, true
}

func (p *port) listener() *simListener {
	p.network.mu.Lock()
	defer p.network.mu.Unlock()
	if l := p.network.listeners[p.address]; l != nil {
		return l
	}
	return &simListener{}
}

// crash ends all connections. The other ends hear of it after a while.
func (p *port) crash(heardAfter time.Duration) {
	p.mu.Lock()
	p.dead = true
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	p.network.mu.Lock()
	delete(p.network.listeners, p.address)
	p.network.mu.Unlock()
	for c := range conns {
		c.out.fail(syscall.ECONNRESET, heardAfter)
		c.in.fail(syscall.ECONNRESET, 0)
	}
}

type simListener struct {
	port   *port
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *simListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *simListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.port.network.mu.Lock()
		defer l.port.network.mu.Unlock()
		if l.port.network.listeners[l.port.address] == l {
			delete(l.port.network.listeners, l.port.address)
		}
	})
	return nil
}

func (l *simListener) Addr() net.Addr { return name(l.port.address) }

// simConn is one end of a connection. What is sent arrives late, in order, and
// as long as the way is cut not at all.
type simConn struct {
	port    *port
	in, out *flow
	abrupt  atomic.Bool // Close takes back what has not arrived yet
}

// add notes the connection with its port, if that still lives.
func (c *simConn) add() bool {
	c.port.mu.Lock()
	defer c.port.mu.Unlock()
	if c.port.dead {
		return false
	}
	if c.port.conns == nil {
		c.port.conns = map[*simConn]struct{}{}
	}
	c.port.conns[c] = struct{}{}
	return true
}

func (c *simConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *simConn) Write(b []byte) (int, error) { return c.out.write(b) }

func (c *simConn) CloseWrite() error {
	c.out.end()
	return nil
}

func (c *simConn) SetLinger(int) error {
	c.abrupt.Store(true)
	return nil
}

func (c *simConn) Close() error {
	if c.abrupt.Load() {
		c.out.takeBack()
	} else {
		c.out.end()
	}
	c.in.fail(net.ErrClosed, 0)
	c.port.mu.Lock()
	delete(c.port.conns, c)
	c.port.mu.Unlock()
	return nil
}

func (c *simConn) LocalAddr() net.Addr                { return name(c.port.address) }
func (c *simConn) RemoteAddr() net.Addr               { return name("another node") }
func (c *simConn) SetWriteDeadline(time.Time) error   { return nil } // a write never waits
func (c *simConn) SetReadDeadline(at time.Time) error { c.in.setDeadline(at); return nil }
func (c *simConn) SetDeadline(at time.Time) error     { c.in.setDeadline(at); return nil }

// flow is one direction of a connection.
type flow struct {
	network *simNetwork
	link    *simLink

	mu       sync.Mutex
	parts    []part
	ended    bool      // nothing more is sent
	err      error     // for the reader from failAt on, and for the writer
	failAt   time.Time // zero while err is nil
	deadline time.Time
	changed  chan struct{} // closed when the reader has to look again
}

// part is what one write sent; without bytes it is the end.
type part struct {
	at    time.Time
	bytes []byte
}

func (f *flow) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changedLocked()
}

func (f *flow) changedLocked() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// fail breaks the flow: for who writes at once, for who reads after a while.
func (f *flow) fail(err error, after time.Duration) {
	f.mu.Lock()
	if at := time.Now().Add(after); f.err == nil || at.Before(f.failAt) {
		f.err, f.failAt = err, at
	}
	f.changedLocked()
	f.mu.Unlock()
	f.network.mu.Lock()
	delete(f.network.flows, f)
	f.network.mu.Unlock()
}

func (f *flow) setDeadline(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deadline = at
	f.changedLocked()
}

func (f *flow) end() { f.put(nil) }

// takeBack lets nothing arrive any more. Who reads hears of it after a while.
func (f *flow) takeBack() {
	f.network.mu.Lock()
	after := f.link.delay()
	f.network.mu.Unlock()
	f.mu.Lock()
	broken := f.err != nil
	if !broken {
		f.parts = nil
	}
	f.mu.Unlock()
	if !broken {
		f.fail(syscall.ECONNRESET, after)
	}
}

func (f *flow) write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return len(b), f.put(append([]byte(nil), b...))
}

func (f *flow) put(b []byte) error {
	f.network.mu.Lock()
	at := time.Now().Add(f.link.delay())
	f.network.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return errors.Join(syscall.EPIPE, f.err)
	}
	if f.ended {
		return net.ErrClosed
	}
	f.ended = b == nil
	if n := len(f.parts); n > 0 && f.parts[n-1].at.After(at) {
		at = f.parts[n-1].at
	}
	f.parts = append(f.parts, part{at, b})
	f.changedLocked()
	return nil
}

func (f *flow) read(b []byte) (int, error) {
	for {
		n, again, changed, err := f.readNow(b)
		if n > 0 || err != nil {
			return n, err
		}
		var timer <-chan time.Time
		if !again.IsZero() {
			timer = time.After(time.Until(again))
		}
		select {
		case <-changed:
		case <-timer:
		}
	}
}

// readNow reads what has arrived. If that is nothing, it says when to look
// again, unless something changes before.
func (f *flow) readNow(b []byte) (n int, again time.Time, changed <-chan struct{}, err error) {
	f.network.mu.Lock()
	cut := f.link.cuts > 0
	f.network.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.err != nil && !now.Before(f.failAt) {
		return 0, again, nil, f.err
	}
	if !f.deadline.IsZero() && !now.Before(f.deadline) {
		return 0, again, nil, os.ErrDeadlineExceeded
	}
	earliest := func(at time.Time) {
		if !at.IsZero() && (again.IsZero() || at.Before(again)) {
			again = at
		}
	}
	earliest(f.deadline)
	earliest(f.failAt)
	if len(f.parts) == 0 || cut {
		return 0, again, f.changed, nil
	}
	first := &f.parts[0]
	if now.Before(first.at) {
		earliest(first.at)
		return 0, again, f.changed, nil
	}
	if first.bytes == nil {
		return 0, again, nil, io.EOF
	}
	n = copy(b, first.bytes)
	if first.bytes = first.bytes[n:]; len(first.bytes) == 0 {
		f.parts = f.parts[1:]
	}
	return n, again, nil, nil
}
