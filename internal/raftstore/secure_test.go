package raftstore

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/certs"
)

// secured is the network of a node over TLS, of which all connections can be cut
// at once. New ones may come at once, too.
type secured struct {
	tcp
	mu    sync.Mutex
	conns []net.Conn
}

func (s *secured) Dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := s.tcp.Dial(ctx, address)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns = append(s.conns, conn)
	}
	return conn, err
}

func (s *secured) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
	s.conns = nil
}

// The nodes of a cluster go on while they change their authority, each
// connection being made anew after each step.
func TestNodesGoOnWithAnotherAuthority(t *testing.T) {
	authority := func() certs.Pair {
		pair, err := certs.NewAuthority("test", time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	old, next := authority(), authority()
	dir := t.TempDir()
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certify := func(id string, authority certs.Pair) {
		pair, err := authority.New(certs.ForPeer, id, []string{"127.0.0.1"}, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		write(id+".pem", pair.Cert)
		write(id+"-key.pem", pair.Key)
	}

	write("ca.pem", old.Cert)
	var nodes []*node
	var sources []*certs.Source
	var networks []*secured
	for _, id := range []string{"a", "b", "c"} {
		certify(id, old)
		source, err := certs.OpenPeer(certs.Files{
			Cert: filepath.Join(dir, id+".pem"), Key: filepath.Join(dir, id+"-key.pem"), CA: filepath.Join(dir, "ca.pem"),
		})
		if err != nil {
			t.Fatal(err)
		}
		w := &secured{tcp: tcp{source.Peer}}
		n := newNode(t, id, t.TempDir(), nodes...)
		n.options.Node.network = w
		nodes, sources, networks = append(nodes, n.start()), append(sources, source), append(networks, w)
	}
	awaitVoters(t, nodes...)

	for i, step := range []func(){
		func() { write("ca.pem", slices.Concat(old.Cert, next.Cert)) },
		func() {
			for _, n := range nodes {
				certify(n.options.Node.ID, next)
			}
		},
		func() { write("ca.pem", next.Cert) },
	} {
		step()
		for j, source := range sources {
			if err := source.Reload(); err != nil {
				t.Fatal(err)
			}
			networks[j].cut()
		}
		for _, n := range nodes {
			lock(t, n, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys(fmt.Sprint(n.options.Node.ID, i)), Exp: time.Hour})
		}
		until(t, func() bool {
			all := nodes[0].raft.LastIndex()
			for _, n := range nodes {
				all = max(all, n.raft.LastIndex())
			}
			return !slices.ContainsFunc(nodes, func(n *node) bool { return n.raft.AppliedIndex() < all })
		})
	}
}
