package main

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/client"
)

// BenchmarkFailover kills the leader of three nodes, and reports how long it
// takes until one of the others has granted a lock. Each node has its default
// settings. It is for -benchtime 10x: each round is a failover.
func BenchmarkFailover(b *testing.B) {
	c := startNodes(b, "a", "b", "c")
	var took []time.Duration
	for b.Loop() {
		leader, others := c.leader()
		var urls []string
		for _, p := range others {
			urls = append(urls, p.url)
		}
		locks, err := client.New(urls...)
		if err != nil {
			b.Fatal(err)
		}
		uid := fmt.Sprint("round-", len(took))
		leader.kill()
		began := time.Now()
		_, err = locks.Lock(context.Background(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(uid), Exp: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		locks.Close()
		leader.start()
		c.awaitAll()
		c.awaitLevel() // or there is one node only that can lead
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "median-ms")
	b.ReportMetric(took[len(took)-1].Seconds()*1000, "worst-ms")
}

// awaitLevel waits until no node is behind the others.
func (c *nodes) awaitLevel() {
	c.t.Helper()
	locks := c.client(0, client.Options{})
	c.until("no node is behind", func() bool {
		view, err := locks.Cluster(context.Background())
		return err == nil && !slices.ContainsFunc(view.Nodes, func(n holdfast.Node) bool { return n.Lag > 0 || n.Role == holdfast.RoleAway })
	})
}
