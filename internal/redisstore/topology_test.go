package redisstore

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/certs"
	"holdfast/internal/freeport"
	"holdfast/internal/redistest"
	"holdfast/internal/servicetest"
)

// TestCluster runs the conformance suite over a cluster of three nodes.
func TestCluster(t *testing.T) {
	nodes := redistest.StartCluster(t, 3)
	url := "redis+cluster://" + nodes[0].Addr() + "," + nodes[1].Addr() + "," + nodes[2].Addr()
	servicetest.Run(t, func(t *testing.T) servicetest.Target {
		return servicetest.Over(openOver(t, url), openOver(t, url))
	})
	says(t, nodes[0].URL(), "redis+cluster://")
	nothingIsGrantedWhileTheSlotMoves(t, nodes, url)
}

// While a cluster moves the slot of all keys from one node to another, some of
// them are here and some there.
func nothingIsGrantedWhileTheSlotMoves(t *testing.T, nodes []*redistest.Server, url string) {
	s := openQuick(t, url)
	held := lock(t, s, "a", "x", time.Minute)
	slot := nodes[0].Do("CLUSTER", "KEYSLOT", "{holdfast}:")
	var from, to *redistest.Server
	for _, node := range nodes {
		if node.Do("CLUSTER", "COUNTKEYSINSLOT", slot) != "0" {
			from = node
		} else {
			to = node
		}
	}
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", from.Do("CLUSTER", "MYID"))
	from.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", to.Do("CLUSTER", "MYID"))
	for _, keys := range [][]string{{"x"}, {"y"}, {"x", "y"}} {
		_, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys(keys...), Exp: time.Minute})
		e, ok := errors.AsType[*holdfast.Error](err)
		if !ok || e.Code != holdfast.CodeUnavailable || e.OutcomeUnknown || !strings.Contains(e.Message, "moves") {
			t.Errorf("%v: answer: %v", keys, err)
		}
	}
	redistest.Eventually(t, "the store is not ready", func() bool { return s.Ready(t.Context()) != nil })
	for {
		keys := from.Do("CLUSTER", "GETKEYSINSLOT", slot, "100")
		if keys == "" {
			break
		}
		from.Do(append([]string{"MIGRATE", to.Host, fmt.Sprint(to.Port), "", "0", "5000", "KEYS"}, strings.Split(keys, "\n")...)...)
	}
	for _, node := range []*redistest.Server{to, from} {
		node.Do("CLUSTER", "SETSLOT", slot, "NODE", to.Do("CLUSTER", "MYID"))
	}
	redistest.Eventually(t, "the store is ready", func() bool { return s.Ready(t.Context()) == nil })
	if _, err := s.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("x")}); holdfast.ErrorCode(err) != holdfast.CodeLocked {
		t.Errorf("x is held: %v", err)
	}
	unlock(t, s, "a", held)
}

// TestTLS speaks rediss:// to a server with a certificate of its own.
func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	server := redistest.New(t, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	tls := freeport.Port(t)
	server.Args("--tls-port", fmt.Sprint(tls))
	server.Start()
	s := openOver(t, fmt.Sprintf("rediss://127.0.0.1:%d?skip_verify=true", tls))
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	token := lock(t, s, "a", "x", time.Minute)
	answer := waits(t, s, "b", "x")
	unlock(t, s, "a", token)
	soon(t, "b is let in", answer)
	// Without that, nobody vouches for the certificate.
	says(t, fmt.Sprintf("rediss://127.0.0.1:%d", tls), "certificate")
}

// certificate writes a certificate, and its key, for which only an authority of
// its own vouches.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	authority, err := certs.NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.New(certs.ForServer, "redis", []string{"127.0.0.1"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := errors.Join(os.WriteFile(cert, pair.Cert, 0o600), os.WriteFile(key, pair.Key, 0o600)); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// TestSentinelFailover kills the primary in the middle of traffic: the store
// goes on with the replica by itself, and versions still grow, also if the
// replica has missed the last writes.
func TestSentinelFailover(t *testing.T) {
	primary := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", primary.Host+" "+fmt.Sprint(primary.Port))
	var hosts []string
	for range 3 {
		sentinel := redistest.NewSentinel(t, primary, 2)
		sentinel.Start()
		hosts = append(hosts, sentinel.Addr())
	}
	redistest.Eventually(t, "the sentinels know the replica and each other", func() bool {
		_, port, _ := net.SplitHostPort(hosts[0])
		master, _ := primary.TryAt(port, "SENTINEL", "master", "main")
		return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") &&
			strings.Contains(master, "num-slaves\n1\n") && strings.Contains(master, "num-other-sentinels\n2\n")
	})
	url := "redis+sentinel://" + strings.Join(hosts, ",") + "/main"
	s, other := openQuick(t, url), openQuick(t, url)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var highest atomic.Uint64
	var rounds, failed atomic.Int64
	var traffic sync.WaitGroup
	over := make(chan struct{})
	end := sync.OnceFunc(func() { close(over); traffic.Wait() })
	defer end()
	for i := range 4 {
		store := []*Store{s, other}[i%2]
		traffic.Go(func() {
			uid := fmt.Sprint("owner-", i)
			for {
				select {
				case <-over:
					return
				default:
				}
				grant, err := store.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(uid), Exp: time.Second})
				if err != nil {
					failed.Add(1)
					if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
						t.Errorf("in the middle of the failover: %v", err)
					}
					time.Sleep(10 * time.Millisecond)
					continue
				}
				rounds.Add(1)
				for version := grant.Tokens[0].Version; ; {
					known := highest.Load()
					if version <= known || highest.CompareAndSwap(known, version) {
						break
					}
				}
				store.Unlock(t.Context(), holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens})
			}
		})
	}
	redistest.Eventually(t, "there is traffic", func() bool { return rounds.Load() > 200 })
	replica.Pause() // it misses the last writes
	time.Sleep(50 * time.Millisecond)
	before := highest.Load()
	primary.Kill()
	replica.Resume()
	redistest.Eventually(t, "the replica is the primary", func() bool {
		// A sentinel closes all connections of the replica that it promotes.
		replication, _ := replica.Try("INFO", "replication")
		return strings.Contains(replication, "role:master")
	})
	redistest.Eventually(t, "both stores are ready", func() bool { return s.Ready(t.Context()) == nil && other.Ready(t.Context()) == nil })
	done := rounds.Load()
	redistest.Eventually(t, "traffic goes on", func() bool { return rounds.Load() > done+200 })
	end()
	if token := lock(t, s, "a", "after", time.Minute); token.Version <= before || token.Version <= highest.Load() {
		t.Fatalf("version %d after %d", token.Version, highest.Load())
	}
	// Messages come through the new primary too.
	holder := lock(t, s, "a", "x", time.Minute)
	answer := waits(t, other, "b", "x")
	unlock(t, s, "a", holder)
	soon(t, "b is let in", answer)
	t.Logf("%d rounds, %d failed", rounds.Load(), failed.Load())
}

// Channels of Redis know no databases, but events of another one are not told.
func TestEventsStayInTheirDatabase(t *testing.T) {
	server := redistest.Start(t)
	s, other := openOver(t, server.URL()), openOver(t, server.URL()+"/1")
	events, err := s.Watch(t.Context(), holdfast.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Watch(t.Context(), holdfast.WatchRequest{}); err != nil { // there they are told, too
		t.Fatal(err)
	}
	lock(t, other, "b", "there", time.Minute)
	lock(t, s, "a", "here", time.Minute)
	for e, err := range events {
		if err != nil || e.Key != "here" {
			t.Errorf("event %+v %v", e, err)
		}
		break
	}
}
