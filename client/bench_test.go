package client_test

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/api"
)

// Lock+unlock pairs of own keys over loopback, client and server in one
// process: for profiles, and to compare two versions. What counts for users,
// two processes, is measured in internal/bench.
//
//	go test -run '^$' -bench Pairs -benchtime 200000x ./client
func BenchmarkPairs(b *testing.B) {
	client.UseRealClock() // reading it is part of a call
	defer client.UseTestClock()
	for _, goroutines := range []int{1, 64, 256} {
		for _, plain := range []bool{false, true} {
			name := map[bool]string{false: "stream", true: "plain"}[plain]
			b.Run(fmt.Sprintf("%s-%d", name, goroutines), func(b *testing.B) {
				c := connectWith(b, client.Options{Plain: plain}, servePrompt(b))
				benchPairs(b, goroutines, func(int) *client.Client { return c })
			})
		}
	}
	b.Run("connections-64", func(b *testing.B) {
		server := servePrompt(b)
		clients := make([]*client.Client, 64)
		for i := range clients {
			clients[i] = connect(b, server)
		}
		benchPairs(b, 64, func(i int) *client.Client { return clients[i] })
	})
}

// servePrompt serves a memory store as `holdfast serve` does.
func servePrompt(b *testing.B) (url string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return serveHandlerOn(b, listener, api.New(store(b), api.Options{Prompt: true, Logger: slog.New(slog.DiscardHandler)}))
}

func benchPairs(b *testing.B, goroutines int, of func(i int) *client.Client) {
	b.ReportAllocs()
	b.ResetTimer()
	used := processorTime(b)
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			uid, keys := fmt.Sprintf("worker-%d", i), holdfast.Keys(fmt.Sprintf("orders/%d", i))
			for range (b.N + goroutines - 1) / goroutines {
				grant, err := of(i).Lock(b.Context(), holdfast.LockRequest{UID: uid, Keys: keys, Exp: 30 * time.Second})
				if err == nil {
					_, err = of(i).Unlock(b.Context(), holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens})
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(processorTime(b)-used)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}

// processorTime is what the process has used of the processors.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
