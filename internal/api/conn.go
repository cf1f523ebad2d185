package api

import (
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// writeTimeout is how long a client may at least take to receive what was
	// written, before it counts as one that does not read.
	writeTimeout = 30 * time.Second

	// slack is how much longer than that it may turn out to be, so that not
	// every write has to set a timer.
	slack = 10 * time.Second
)

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
// all else that is done here for a request, and net/http sets six of them, most
// for reads that never come, because the next request is there already. So a
// deadline for reading is kept back until there is a read that it is for.
//
// As with any connection of an HTTP server, one goroutine at a time reads, and
// one writes. Who takes it over from net/http, and wants to set deadlines for
// writing, must take the Conn in it.
type conn struct {
	net.Conn

	header   int       // bytes that a header may have
	writable time.Time // when the deadline for writing was last set

	mu      sync.Mutex // guards the rest
	reading bool       // a read is under way
	wanted  time.Time  // the deadline for reading that was asked for
	armed   time.Time  // and the one that is set
}

// Read reads into p, until the deadline that was asked for.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	err := c.arm()
	c.reading = err == nil
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.reading = false
	c.mu.Unlock()
	return n, err
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

// arm sets the deadline for reading that was asked for.
func (c *conn) arm() error {
	if c.wanted == c.armed {
		return nil
	}
	c.armed = c.wanted
	return c.Conn.SetReadDeadline(c.wanted)
}

// Write writes p, or, if p is a refusal of net/http's own, that refusal in
// JSON. A client that does not read what it asked for must not keep a goroutine
// for ever, and so every write has from writeTimeout to writeTimeout + slack.
func (c *conn) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(c.writable) > slack {
		if err := c.Conn.SetWriteDeadline(now.Add(writeTimeout + slack)); err != nil {
			return 0, err
		}
		c.writable = now
	}
	status := ownRefusal(p)
	if status == 0 {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(jsonRefusal(status, p, c.header)); err != nil {
		return 0, err
	}
	return len(p), nil
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
