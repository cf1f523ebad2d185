package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
	"holdfast/client"
)

// network carries connections within the process, so that a client and its
// servers can live in virtual time. It can be cut, and slow.
type network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	cut       bool
	held      chan struct{} // nil, or what clients write waits for it
	delay     time.Duration // of answers
	severed   int           // of so many connections nothing arrives any more
	count     int           // connections made
}

func newNetwork() *network { return &network{listeners: map[string]*listener{}} }

// serve starts a server with this name.
func (n *network) serve(t *testing.T, host string, service holdfast.Service) {
	t.Helper()
	l := &listener{network: n, host: host, coming: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	n.listeners[host+":80"] = l
	n.mu.Unlock()
	serveOn(t, l, service)
}

// client gives a client of servers in the network.
func (n *network) client(t *testing.T, hosts ...string) *client.Client {
	t.Helper()
	return connectWith(t, client.Options{Transport: n.transport(t)}, hosts...)
}

// transport makes connections in the network.
func (n *network) transport(t *testing.T) *http.Transport {
	transport := &http.Transport{DialContext: n.dial}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	if l == nil {
		return nil, refused
	}
	fromClient, toServer := net.Pipe()
	fromServer, toClient := net.Pipe()
	n.mu.Lock()
	n.count++
	count := n.count
	n.mu.Unlock()
	near := &wire{network: n, count: count, in: fromServer, out: toServer}
	far := &wire{network: n, count: count, in: fromClient, out: toClient, answers: true}
	select {
	case l.coming <- far:
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return near, nil
}

// setCut decides whether what is written arrives. Nobody is told.
func (n *network) setCut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
}

// sever lets nothing arrive any more that is written to the connections that
// there are now. New ones work. Nobody is told.
func (n *network) sever() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.severed = n.count
}

// hold lets what clients write wait until it is released.
func (n *network) hold() (release func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	held := make(chan struct{})
	n.held = held
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.held = nil
		close(held)
	}
}

// waitHeld waits while what clients write is held.
func (n *network) waitHeld() {
	n.mu.Lock()
	held := n.held
	n.mu.Unlock()
	if held != nil {
		<-held
	}
}

// slow lets every answer take so long.
func (n *network) slow(delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delay
}

func (n *network) answersTake() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.delay
}

type listener struct {
	network *network
	host    string
	coming  chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.coming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return name(l.host) }

type name string

func (n name) Network() string { return "test" }
func (n name) String() string  { return string(n) }

// wire is one end of a connection, each side of which can be closed.
type wire struct {
	network *network
	count   int // which connection of the network it is
	in, out net.Conn
	answers bool // what is written here is what a server says

	deadline atomic.Pointer[time.Time] // for writing
}

func (w *wire) isCut() bool {
	w.network.mu.Lock()
	defer w.network.mu.Unlock()
	return w.network.cut || w.count <= w.network.severed
}

func (w *wire) Read(p []byte) (int, error) { return w.in.Read(p) }

func (w *wire) Write(p []byte) (int, error) {
	if by := w.deadline.Load(); by != nil && !by.IsZero() && time.Until(*by) <= 0 {
		return 0, os.ErrDeadlineExceeded // at once, however long an answer takes
	}
	if w.answers {
		time.Sleep(w.network.answersTake())
	} else {
		w.network.waitHeld()
	}
	if w.isCut() {
		return len(p), nil
	}
	return w.out.Write(p)
}

func (w *wire) CloseWrite() error {
	if w.isCut() {
		return nil
	}
	return w.out.Close()
}

func (w *wire) Close() error                      { return errors.Join(w.in.Close(), w.out.Close()) }
func (w *wire) LocalAddr() net.Addr               { return name("local") }
func (w *wire) RemoteAddr() net.Addr              { return name("remote") }
func (w *wire) SetReadDeadline(t time.Time) error { return w.in.SetReadDeadline(t) }
func (w *wire) SetWriteDeadline(t time.Time) error {
	w.deadline.Store(&t)
	return w.out.SetWriteDeadline(t)
}
func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}
