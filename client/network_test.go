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
	"holdfast/internal/memnet"
)

// network carries connections within the process, so that a client and its
// servers can live in virtual time. It can be cut, and slow.
type network struct {
	mu        sync.Mutex
	listeners map[string]*memnet.Listener
	cut       bool
	held      chan struct{} // nil, or what clients write waits for it
	delay     time.Duration // of answers
	severed   int           // of so many connections nothing arrives any more
	lost      int           // those whose ends do not hear of each other any more
	count     int           // connections made
}

func newNetwork() *network { return &network{listeners: map[string]*memnet.Listener{}} }

// serve starts a server with this name.
func (n *network) serve(t *testing.T, host string, service holdfast.Service) {
	t.Helper()
	l := memnet.Listen(host)
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
	if l == nil {
		return nil, memnet.ErrRefused
	}
	atClient, atServer := memnet.Pipe()
	n.mu.Lock()
	n.count++
	count := n.count
	n.mu.Unlock()
	if err := l.Deliver(ctx, &wire{Conn: atServer, network: n, count: count, answers: true}); err != nil {
		return nil, err
	}
	return &wire{Conn: atClient, network: n, count: count}, nil
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

// lose is sever, and neither side hears of it when the other one closes.
func (n *network) lose() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.severed, n.lost = n.count, n.count
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

// wire is one end of a connection.
type wire struct {
	*memnet.Conn
	network *network
	count   int  // which connection of the network it is
	answers bool // what is written here is what a server says

	deadline atomic.Pointer[time.Time] // for writing
}

func (w *wire) isCut() bool {
	w.network.mu.Lock()
	defer w.network.mu.Unlock()
	return w.network.cut || w.count <= w.network.severed
}

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
	return w.Conn.Write(p)
}

func (w *wire) CloseWrite() error {
	if w.isCut() {
		return nil
	}
	return w.Conn.CloseWrite()
}

func (w *wire) Close() error {
	w.network.mu.Lock()
	quiet := w.count <= w.network.lost
	w.network.mu.Unlock()
	if quiet {
		return w.CloseRead()
	}
	return w.Conn.Close()
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.deadline.Store(&t)
	return w.Conn.SetWriteDeadline(t)
}

func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}
