package holdfasttest

import (
	"net"
	"sync"
)

// presence is whether clients reach a server.
type presence struct {
	mu    sync.Mutex
	away  bool
	conns map[net.Conn]struct{} // that are open
}

// set lets clients reach the server from now on, or none.
func (p *presence) set(present bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = !present
	if p.away {
		for conn := range p.conns {
			conn.Close()
		}
		clear(p.conns)
	}
}

// admit says whether the server takes this connection.
func (p *presence) admit(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return false
	}
	if p.conns == nil {
		p.conns = map[net.Conn]struct{}{}
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *presence) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

// guarded is a listener that closes what comes while the server is away.
type guarded struct {
	net.Listener
	presence *presence
}

func (l guarded) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.presence.admit(accepted) {
			return &conn{accepted.(halfCloser), l.presence}, nil
		}
		accepted.Close()
	}
}

// halfCloser is what both kinds of connection are: one whose client can close
// its side alone.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

type conn struct {
	halfCloser
	presence *presence
}

func (c *conn) Close() error {
	c.presence.forget(c.halfCloser)
	return c.halfCloser.Close()
}
