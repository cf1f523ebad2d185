package raftstore

import (
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/logtest"
)

// A directory belongs to its node for good: so a start that comes to nothing, since
// the port for the other nodes is taken, leaves it what it was.
func TestAStartThatFailsMakesNoNode(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	lock(t, s, holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
	s.Close()

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	n := newNode(t, "a", dir)
	n.options.Node.PeerListen = taken.Addr().String()
	if started, err := Open(t.Context(), n.options); err == nil || !strings.Contains(err.Error(), "cannot listen for the other nodes") {
		if err == nil {
			started.Close()
		}
		t.Fatalf("a node on a port that is taken: %v", err)
	}

	if locked, err := open(t, dir).Check(t.Context(), []string{"x"}); err != nil || !locked {
		t.Fatalf("alone as before: %t %v", locked, err)
	}
}

// The first start has come to the term, and not to the entry that goes with it: the
// next one begins anew.
func TestAFirstStartThatFailedIsMadeUpFor(t *testing.T) {
	full, dir := &badDisk{}, t.TempDir()
	full.full.Store(true)
	s, err := Open(t.Context(), Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), openStorage: full.storage})
	if err == nil {
		s.Close()
		t.Fatal("started on a full disk")
	}
	lock(t, open(t, dir), holdfast.LockRequest{UID: "a", Keys: holdfast.Keys("x"), Exp: time.Hour})
}

func TestALogThatIsGoneStopsTheStart(t *testing.T) {
	dir, _ := made(t, 1)
	if err := os.Remove(segmentOf(t, dir)); err != nil {
		t.Fatal(err)
	}
	wantDamaged(t, dir, "no log")
}

func TestAStartThatReadsForLongSaysSo(t *testing.T) {
	for reads, want := range map[time.Duration]int{time.Millisecond: 0, time.Minute: 1} {
		synctest.Test(t, func(t *testing.T) {
			log, disk := new(logtest.Log), newSimDisk(rand.New(rand.NewPCG(1, 1)))
			s, err := Open(t.Context(), Options{
				Dir: "large", Logger: slog.New(slog.NewTextHandler(log, nil)),
				openStorage: func(options Options) (storage, error) {
					time.Sleep(reads)
					return disk.storage(options)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if said := strings.Count(log.String(), `msg="reading the state from disk" dir=large`); said != want {
				t.Errorf("%v of reading: %d lines, want %d", reads, said, want)
			}
		})
	}
}
