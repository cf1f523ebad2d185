// Package freeport gives ports to the processes of tests and measurements.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

var given sync.Map

// Get gives a TCP port of 127.0.0.1 on which nobody listens, and which it has
// not given before. It is below those that systems give to connections by
// themselves (from 32768 on Linux), so that none of these has it while the one
// who is to listen there is down. It may be called from several goroutines.
func Get() (port int, err error) {
	for range 100 {
		port = 10_000 + rand.IntN(20_000)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, listener.Close()
		}
	}
	return 0, err
}

// Port is Get for a test.
func Port(t testing.TB) int {
	t.Helper()
	port, err := Get()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Address gives an address for a test with such a port.
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(t)))
}
