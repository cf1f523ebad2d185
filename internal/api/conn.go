package api

import (
	"net"
	"time"
)

const (
	// writeTimeout is how long a client may at least take to receive what was
	// written, before it counts as one that does not read.
	writeTimeout = 30 * time.Second

	// slack is by how much a deadline may miss its time, if that saves setting
	// a timer for every request.
	slack = 10 * time.Second
)

// listener gives connections that look after their own deadline for writing,
// and on which net/http refuses in JSON.
type listener struct{ net.Listener }

// Accept waits for the next connection.
func (l listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: accepted}, nil
}

// conn is a connection of an HTTP server. As with any, one goroutine at a
// time writes to it. Who takes it over from net/http, and wants to set
// deadlines for writing, must take the Conn in it.
type conn struct {
	net.Conn
	armed time.Time // when the deadline for writing was last set
}

// Write writes p. A client that does not read what it asked for must not keep
// a goroutine for ever, and so every write has from writeTimeout to
// writeTimeout + slack.
func (c *conn) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(c.armed) > slack {
		if err := c.Conn.SetWriteDeadline(now.Add(writeTimeout + slack)); err != nil {
			return 0, err
		}
		c.armed = now
	}
	status := ownRefusal(p)
	if status == 0 {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(jsonRefusal(status, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetWriteDeadline does nothing. net/http calls it after every request, to
// take back a deadline that it has not set.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// CloseWrite lets net/http say that nothing more follows, and give the client
// time to read a refusal before the connection is cut.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
