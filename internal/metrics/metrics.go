// Package metrics shows the figures of all parts in the formats of Prometheus.
// The parts count by themselves, in plain numbers; what those are called
// outside, and what is told of them, stands here and in docs/metrics.md. No
// label takes its values from keys, uids or anything else that users choose.
package metrics

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"holdfast/internal/api"
	"holdfast/internal/raftstore"
	"holdfast/internal/redisstore"
	"holdfast/internal/stats"
)

// patience is how long a scrape waits for what has to be asked elsewhere.
const patience = 2 * time.Second

var (
	buildInfo = gauge("build_info", "1; the labels tell what runs.", "version", "goversion")
	storeInfo = gauge("store_info", "1; the label tells where the state is kept: memory, raft or redis.", "store")
	ready     = gauge("ready", "1 if this server can serve, 0 if not.")

	requests     = histogram("request_duration_seconds", "How long requests took, by what they asked for and what came of it.", "operation", "outcome")
	eventStreams = gauge("event_streams", "Clients that follow events.")
	streams      = gauge("stream_connections", "Connections of /stream.")

	holds        = gauge("holds", "Holds that there are.")
	waiters      = gauge("waiters", "Requests in line.")
	oldestWaiter = gauge("oldest_waiter_seconds", "How long the request has waited that has waited longest.")
	grants       = counter("grants_total", "Requests that were let in.")
	extensions   = counter("extensions_total", "Holds whose life began anew.")
	releases     = counter("releases_total", "Holds that were given back, or taken back undelivered.")
	expiries     = counter("expiries_total", "Holds that ran out.")
	forced       = counter("forced_releases_total", "Holds that were released by force.")
	deadlocks    = counter("deadlocks_total", "Requests that were refused because they would have waited for ever.")
	waited       = histogram("wait_duration_seconds", "How long requests stood in line that were granted, or left without a grant.", "outcome")
	held         = histogram("hold_duration_seconds", "How long holds were held.")

	raftLeader    = gauge("raft_leader", "1 if this node leads, 0 if not.")
	raftTerm      = gauge("raft_term", "The term that this node is in.")
	raftCommitted = gauge("raft_committed_index", "The last entry known to be on a majority of disks.")
	raftApplied   = gauge("raft_applied_index", "The last entry that this node's table knows.")
	raftChanges   = counter("raft_leader_changes_total", "How often this node learned of another leader, or of none.")
	raftEntries   = counter("raft_entries_total", "Entries that this node has written to its log.")
	raftFsync     = histogram("raft_fsync_duration_seconds", "How long writes to the log took, which end with an fsync.")
	raftCommands  = histogram("raft_commands_per_entry", "Commands in the entries that this node proposed.")

	redisTrips = histogram("redis_round_trip_duration_seconds", "How long Redis took for a script, there and back, by whether it answered.", "outcome")
)

// Set is all that /metrics shows. It begins with what every process has; the
// other parts are added, and are read each time somebody asks. It is safe for
// concurrent use.
type Set struct {
	registry *prometheus.Registry
	http.Handler
}

// New gives a set for a binary of this version, with its state in this store.
func New(version, store string) *Set {
	registry := prometheus.NewRegistry()
	s := &Set{registry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.add(func(to sink) {
		to.value(buildInfo, 1, version, runtime.Version())
		to.value(storeInfo, 1, store)
	}, buildInfo, storeInfo)
	return s
}

// Ready adds whether the server can serve; nil says that it always can.
func (s *Set) Ready(why func(context.Context) error) {
	s.add(func(to sink) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		to.truth(ready, why == nil || why(ctx) == nil)
	}, ready)
}

// Requests adds the figures of the HTTP side.
func (s *Set) Requests(read func() api.Stats) {
	s.add(func(to sink) {
		now := read()
		for _, r := range now.Requests {
			to.seconds(requests, r.Took, r.Operation, r.Outcome)
		}
		to.value(eventStreams, float64(now.EventStreams))
		to.value(streams, float64(now.Streams))
	}, requests, eventStreams, streams)
}

// Locks adds the figures of the locks. When read fails, those that had to be
// asked elsewhere are left out.
func (s *Set) Locks(read func(context.Context) (stats.Locks, error)) {
	s.add(func(to sink) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		now, err := read(ctx)
		if err == nil {
			to.value(holds, float64(now.Holds))
			to.value(waiters, float64(now.Waiters))
		}
		to.value(oldestWaiter, now.OldestWaiter.Seconds())
		to.count(grants, now.Grants.Load())
		to.count(extensions, now.Extensions.Load())
		to.count(releases, now.Releases.Load())
		to.count(expiries, now.Expiries.Load())
		to.count(forced, now.Forced.Load())
		to.count(deadlocks, now.Deadlocks.Load())
		to.seconds(waited, now.Waited.Read(), "granted")
		to.seconds(waited, now.Left.Read(), "left")
		to.seconds(held, now.Held.Read())
	}, holds, waiters, oldestWaiter, grants, extensions, releases, expiries, forced, deadlocks, waited, held)
}

// Raft adds the figures of the log.
func (s *Set) Raft(read func() raftstore.Stats) {
	s.add(func(to sink) {
		now := read()
		to.truth(raftLeader, now.Leader)
		to.value(raftTerm, float64(now.Term))
		to.value(raftCommitted, float64(now.Committed))
		to.value(raftApplied, float64(now.Applied))
		to.count(raftChanges, now.LeaderChanges)
		to.count(raftEntries, now.Entries)
		to.seconds(raftFsync, now.Write)
		to.plain(raftCommands, now.Commands)
	}, raftLeader, raftTerm, raftCommitted, raftApplied, raftChanges, raftEntries, raftFsync, raftCommands)
}

// Redis adds the figures of the way to Redis.
func (s *Set) Redis(read func() redisstore.Stats) {
	s.add(func(to sink) {
		now := read()
		to.seconds(redisTrips, now.Answered, "answered")
		to.seconds(redisTrips, now.Failed, "failed")
	}, redisTrips)
}
