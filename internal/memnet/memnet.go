// Package memnet makes connections within the process. Unlike sockets they keep
// the time of a bubble of testing/synctest, so that a client and its server can
// live in one.
package memnet

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Listener is a [net.Listener] for connections that Dial makes.
type Listener struct {
	name   name
	coming chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Listen gives a listener with this address, which only its name makes one.
func Listen(address string) *Listener {
	return &Listener{name: name(address), coming: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to the listener, as soon as it accepts.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	near, far := Pipe()
	if err := l.Deliver(ctx, far); err != nil {
		return nil, errors.Join(err, near.Close(), far.Close())
	}
	return near, nil
}

// Deliver has the listener accept this connection. It fails with
// [ErrRefused], or as ctx does.
func (l *Listener) Deliver(ctx context.Context, conn net.Conn) error {
	select {
	case l.coming <- conn:
		return nil
	case <-l.closed:
		return ErrRefused
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ErrRefused is what who dials is told when nobody listens.
var ErrRefused error = &net.OpError{Op: "dial", Net: "memory", Err: errors.New("connection refused")}

// Accept waits for the next connection. After Close it fails with
// [net.ErrClosed].
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.coming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener; connections that it has accepted go on.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the address that Listen was given.
func (l *Listener) Addr() net.Addr { return l.name }

type name string

func (n name) Network() string { return "memory" }
func (n name) String() string  { return string(n) }

// Pipe gives the two ends of a connection. What is written to one waits until
// it is read from the other.
func Pipe() (near, far *Conn) {
	toFar, fromNear := net.Pipe()
	toNear, fromFar := net.Pipe()
	return &Conn{toFar, fromFar}, &Conn{toNear, fromNear}
}

// Conn is one end of a connection, each side of which can be closed.
type Conn struct{ out, in net.Conn }

func (c *Conn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *Conn) Write(p []byte) (int, error) { return c.out.Write(p) }

// CloseRead closes the side that is read from.
func (c *Conn) CloseRead() error { return c.in.Close() }

// CloseWrite closes the side that is written to.
func (c *Conn) CloseWrite() error { return c.out.Close() }

// Close closes both sides.
func (c *Conn) Close() error { return errors.Join(c.in.Close(), c.out.Close()) }

// LocalAddr is the same for all.
func (c *Conn) LocalAddr() net.Addr { return c.out.LocalAddr() }

// RemoteAddr is the same for all.
func (c *Conn) RemoteAddr() net.Addr { return c.out.RemoteAddr() }

// SetReadDeadline and those after it are as [net.Conn] says.
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.in.SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
