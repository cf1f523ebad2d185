package faults

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/proof"
	"holdfast/internal/raftstore"
)

var soak = flag.Duration("soak", 8*time.Second, "for how long a server works until its memory is looked at")

// TestSoak lets owners work with a durable server of this process, in rounds
// with new keys and new owners, and wants it to need no more in the end than
// after the first rounds. For an hour of it: make soak.
func TestSoak(t *testing.T) {
	store, err := raftstore.Open(t.Context(), raftstore.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), SnapshotEvery: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(api.New(store, api.Options{Logger: slog.New(slog.DiscardHandler)}))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTime)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
	}()
	d := &Deployment{Servers: []string{"http://" + listener.Addr().String()}, Site: Site{Dir: t.TempDir(), Clients: 2}}
	if err := d.linkClients(); err != nil {
		t.Fatal(err)
	}
	defer d.Stop()

	began := time.Now()
	round := min(max(*soak/60, 2*time.Second), 20*time.Second)
	var first, last usage
	calls := 0
	for n := uint64(0); n < 3 || time.Since(began) < *soak; n++ {
		history, err := d.Round(t.Context(), Plan{
			Seed: n, Name: fmt.Sprint("soak-", n), Long: round, Gently: true, Groups: 6, Owners: 6, Say: func(string, ...any) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		if verdict := proof.Check(history, budget); verdict.Err() != nil {
			dir, _ := os.MkdirTemp("", "holdfast-soak-")
			t.Fatalf("%v\nthe history is in %s (%v)", verdict.Err(), dir, verdict.Save(dir))
		}
		calls += len(history)
		if last = used(); n == 1 { // by then all that is kept ready is there
			first = last
		}
		t.Logf("after %v and %d calls: %v", time.Since(began).Round(time.Second), calls, last)
	}
	if last.goroutines > first.goroutines+5 {
		t.Errorf("%d goroutines at first, %d in the end", first.goroutines, last.goroutines)
	}
	// The log remembers in 4 bytes where each entry is in its newest file, which has
	// 64 MiB at most: less than 800,000 entries, of 88 bytes at least. When the file
	// is full, it writes these places out, and needs as much again.
	const slack = 8 << 20
	if last.heap > first.heap+first.heap/4+slack {
		t.Errorf("%d bytes on the heap at first, %d in the end", first.heap, last.heap)
	}
}

// usage is what this process needs when it has nothing to do.
type usage struct {
	heap       uint64 // bytes that are in use
	goroutines int
}

func (u usage) String() string {
	return fmt.Sprintf("%.1f MiB on the heap, %d goroutines", float64(u.heap)/(1<<20), u.goroutines)
}

func used() usage {
	var u usage
	// What the last connections leave behind takes a moment to end.
	for range 20 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := usage{m.HeapAlloc, runtime.NumGoroutine()}
		if u.goroutines != 0 && now.goroutines >= u.goroutines {
			return now
		}
		u = now
		time.Sleep(100 * time.Millisecond)
	}
	return u
}
