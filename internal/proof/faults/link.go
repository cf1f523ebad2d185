package faults

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Link is a TCP connection line from one process to another, through a proxy
// that can be cut. Its zero state passes everything on.
type Link struct {
	Name string

	to       string
	listener net.Listener
	done     sync.WaitGroup

	mu    sync.Mutex
	state linkState
	news  chan struct{} // closed when the state changes
	conns map[net.Conn]struct{}
	over  bool
}

// linkState is what is wrong with a link.
type linkState struct {
	there, back bool          // nothing gets through in this direction
	delay       time.Duration // each piece takes up to so long
	flaky       float64       // chance that a piece breaks its connection
}

// NewLink gives a link to an address, which listens on another one; port 0
// takes any.
func NewLink(name, listen, to string) (*Link, error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	l := &Link{Name: name, to: to, listener: listener, news: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	l.done.Go(l.accept)
	return l, nil
}

// Addr is where the link begins.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Set changes what is wrong with the link.
func (l *Link) Set(state linkState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = state
	close(l.news)
	l.news = make(chan struct{})
}

// Close ends the link and all that hangs on it.
func (l *Link) Close() {
	l.listener.Close()
	l.mu.Lock()
	l.over = true
	for conn := range l.conns {
		conn.Close()
	}
	close(l.news)
	l.news = make(chan struct{})
	l.mu.Unlock()
	l.done.Wait()
}

func (l *Link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.done.Go(func() { l.carry(near) })
	}
}

// hold notes a connection, so that Close ends it.
func (l *Link) hold(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.conns[conn] = struct{}{}
	}
	return !l.over
}

func (l *Link) drop(conn net.Conn) {
	conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

// carry passes on what comes on a connection, in both directions.
func (l *Link) carry(near net.Conn) {
	defer l.drop(near)
	if !l.hold(near) || !l.pass(true) {
		return
	}
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		near.(*net.TCPConn).SetLinger(0) // refused
		return
	}
	defer l.drop(far)
	if !l.hold(far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(near.(*net.TCPConn), far.(*net.TCPConn), true) })
	both.Go(func() { l.pump(far.(*net.TCPConn), near.(*net.TCPConn), false) })
	both.Wait()
}

// pass waits until a piece may go on, and says whether the connection lasts.
func (l *Link) pass(there bool) bool {
	for {
		l.mu.Lock()
		state, news, over := l.state, l.news, l.over
		l.mu.Unlock()
		switch {
		case over:
			return false
		case there && state.there || !there && state.back:
			<-news
			continue
		case state.flaky > 0 && rand.Float64() < state.flaky:
			return false
		case state.delay > 0:
			time.Sleep(rand.N(state.delay))
		}
		return true
	}
}

func (l *Link) pump(from, to *net.TCPConn, there bool) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil && err != io.EOF || !l.pass(there) {
			// Broken, for both sides.
			from.SetLinger(0)
			to.SetLinger(0)
			from.Close()
			to.Close()
			return
		}
		if _, writeErr := to.Write(buffer[:n]); writeErr != nil {
			from.SetLinger(0)
			from.Close()
			return
		}
		if err == io.EOF {
			to.CloseWrite()
			return
		}
	}
}
