package main

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// link is a proxy in front of the port at which a node listens for the others.
// From the first line of a connection it knows who calls.
type link struct {
	listener net.Listener
	to       string // where the node listens

	mu    sync.Mutex
	cut   map[string]bool // from these nodes nothing gets through
	conns map[net.Conn]string
}

func newLink(t testing.TB, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, to: to, cut: map[string]bool{}, conns: map[net.Conn]string{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { l.carry(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.mu.Lock()
		for conn := range l.conns {
			conn.Close()
		}
		l.mu.Unlock()
		running.Wait()
	})
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }

// setCut cuts the connections of a node, and lets it make no new ones; or
// heals that.
func (l *link) setCut(from string, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut[from] = cut
	for conn, caller := range l.conns {
		if cut && caller == from {
			conn.Close()
		}
	}
}

// carry carries one connection until one of its ends closes.
func (l *link) carry(in net.Conn) {
	defer in.Close()
	first := make([]byte, 0, 256)
	var b [1]byte
	for len(first) == 0 || first[len(first)-1] != '\n' {
		if _, err := in.Read(b[:]); err != nil {
			return
		}
		first = append(first, b[0])
	}
	words := strings.Fields(string(first))
	if len(words) < 4 || !l.add(in, words[3]) {
		return
	}
	defer l.remove(in)
	out, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer out.Close()
	if _, err := out.Write(first); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(in, out)
		in.Close()
	})
	io.Copy(out, in)
	out.Close()
	back.Wait()
}

func (l *link) add(conn net.Conn, from string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut[from] {
		return false
	}
	l.conns[conn] = from
	return true
}

func (l *link) remove(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}
