package api

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// writeTimeout is how long a client has at least to receive what was written,
// before it counts as one that does not read; at most twice as long.
const writeTimeout = 40 * time.Second

// listener gives connections that look after their deadlines, and on which
// net/http refuses in JSON.
type listener struct {
	net.Listener
	header int // bytes that a header may have
}

// Accept waits for the next connection.
func (l listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: accepted, header: l.header}, nil
}

// conn is a connection of an HTTP server. Setting a deadline costs more than
// all else that is done here for a request, and net/http sets six of them: most
// for reads that never come, because the next request is there already, and
// each later than the one before. So a deadline for reading is kept back until
// there is a read that it is for, and until the one that is set has passed, if
// that is sooner: then it turns out that the read may go on.
//
// As with any connection of an HTTP server, one goroutine at a time reads, and
// one writes. Who takes it over from net/http, and wants to set deadlines for
// writing, must take the Conn in it.
type conn struct {
	net.Conn

	header int         // bytes that a header may have
	timed  bool        // a deadline for writing is set, which may have passed
	cutOff atomic.Bool // it has ended, and not since the client has closed its side

	mu      sync.Mutex // guards the rest
	reading bool       // a read is under way
	ahead   []byte     // what has been read already, see watch
	wanted  time.Time  // the deadline for reading that was asked for
	armed   time.Time  // and the one that is set
}

// longAgo is before all deadlines but those that mean: now.
var longAgo = time.Unix(0, 0).AddDate(1, 0, 0)

// mostAhead is how many bytes a connection reads ahead while its request runs.
const mostAhead = 16 << 10

// Read reads into p, until the deadline that was asked for.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// With a deadline long ago, net/http ends the read in which it waits for a
	// client to go away; mostly before that has begun.
	if !c.wanted.IsZero() && c.wanted.Before(longAgo) {
		return 0, os.ErrDeadlineExceeded
	}
	if len(p) == 1 && c.wanted.IsZero() { // that read: all others have a deadline, or more room
		return c.watch(p)
	}
	if len(c.ahead) > 0 {
		return c.take(p), nil
	}
	return c.read(p)
}

// watch waits for the client to go away while its request runs. net/http would
// look no further than to the first byte that a client sends behind its request,
// and never miss one that goes after that. So what comes is kept for the reads
// to come, as long as there is room for it.
func (c *conn) watch(p []byte) (int, error) {
	next := p
	for len(c.ahead) < mostAhead {
		n, err := c.read(next)
		c.ahead = append(c.ahead, next[:n]...)
		if err != nil {
			return 0, err
		}
		if !c.wanted.IsZero() {
			return 0, os.ErrDeadlineExceeded
		}
		if len(next) == 1 {
			next = make([]byte, 512)
		}
		next = next[:min(len(next), mostAhead-len(c.ahead))]
	}
	return c.take(p), nil
}

// take gives what was read ahead.
func (c *conn) take(p []byte) int {
	n := copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
	return n
}

// read reads from the connection itself.
func (c *conn) read(p []byte) (int, error) {
	err := c.arm()
	for err == nil {
		var n int
		c.reading = true
		c.mu.Unlock()
		n, err = c.Conn.Read(p)
		c.mu.Lock()
		c.reading = false
		if err != nil && err != io.EOF && !errors.Is(err, os.ErrDeadlineExceeded) {
			c.cutOff.Store(true)
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !c.wanted.IsZero() && time.Until(c.wanted) <= 0 {
			return n, err
		}
		err = c.set()
	}
	return 0, err
}

// SetReadDeadline sets the deadline of a read that is under way, and of those
// to come.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = t
	if !c.reading {
		return nil
	}
	return c.arm()
}

// arm sees to it that a read ends by the deadline that was asked for. It may
// end sooner, by one that is to come.
func (c *conn) arm() error {
	if c.wanted.IsZero() && c.armed.IsZero() || c.armed.After(longAgo) && (c.wanted.IsZero() || !c.wanted.Before(c.armed)) {
		return nil
	}
	return c.set()
}

// set sets the deadline for reading that was asked for.
func (c *conn) set() error {
	c.armed = c.wanted
	return c.Conn.SetReadDeadline(c.wanted)
}

// Write writes p, or, if p is a refusal of net/http's own, that refusal in
// JSON.
func (c *conn) Write(p []byte) (int, error) {
	status := ownRefusal(p)
	if status == 0 {
		return c.write(p)
	}
	if _, err := c.write(jsonRefusal(status, p, c.header)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// write writes p. A client that does not read what it asked for must not keep a
// goroutine for ever; but to set a deadline for each write, or only to look at
// the clock, costs more than most are worth. So the deadline is that of a write
// before, and only when it has passed does this one get a time of its own.
func (c *conn) write(p []byte) (int, error) {
	if !c.timed {
		if err := c.giveTime(); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if err = c.giveTime(); err == nil {
			var rest int
			rest, err = c.Conn.Write(p[n:])
			n += rest
		}
	}
	return n, err
}

func (c *conn) giveTime() error {
	c.timed = true
	return c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
}

// SetWriteDeadline does nothing. net/http calls it after every request, to
// take back a deadline that it has not set.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// CloseWrite lets net/http say that nothing more follows, and give the client
// time to read a refusal before the connection is cut.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite closes the server's side of a connection, if that can be done.
func closeWrite(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// connKey is where the context of a request has its connection.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// untilLost gives a context for a request of its own that ends as ctx does; but
// with the cause lost, if the client has not said that it leaves by closing its
// side of the connection. The function releases it.
func untilLost(ctx context.Context, lost error) (context.Context, func()) {
	if lost == nil {
		return ctx, func() {}
	}
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return ctx, func() {}
	}
	until, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		if c.cutOff.Load() {
			cancel(lost)
		} else {
			cancel(context.Cause(ctx))
		}
	})
	return until, func() {
		unhook()
		cancel(nil)
	}
}
