package metrics

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast/internal/api"
	"holdfast/internal/raftstore"
	"holdfast/internal/redisstore"
	"holdfast/internal/stats"
)

// everything is a set with all parts, those of all stores at once.
func everything(raft raftstore.Stats, locks stats.Locks, err error) *Set {
	some := stats.NewHistogram(stats.Quick)
	some.Add(int64(3 * time.Millisecond))
	none := stats.NewHistogram(stats.Quick).Read()
	if raft.Write.Counts == nil {
		raft.Write, raft.Commands = none, stats.NewHistogram(stats.Sizes).Read()
	}
	set := New("v1", "raft")
	set.Ready(func(context.Context) error { return err })
	set.Requests(func() api.Stats {
		return api.Stats{EventStreams: 3, Streams: 4, Requests: []api.RequestStats{{Operation: "lock", Outcome: "ok", Took: some.Read()}}}
	})
	set.Locks(func(context.Context) (stats.Locks, error) { return locks, err })
	set.Raft(func() raftstore.Stats { return raft })
	set.Redis(func() redisstore.Stats { return redisstore.Stats{Answered: some.Read(), Failed: none} })
	return set
}

func locks() stats.Locks { return stats.Locks{Counts: stats.NewCounts()} }

// scrape gives the lines about Holdfast.
func scrape(t *testing.T, set *Set) string {
	t.Helper()
	w := httptest.NewRecorder()
	set.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("answered %d, %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	return w.Body.String()
}

func shows(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
}

func TestFiguresAreShown(t *testing.T) {
	now := locks()
	now.Holds, now.Waiters, now.OldestWaiter = 7, 2, 1500*time.Millisecond
	now.Grants.Add(11)
	now.Extensions.Add(12)
	now.Releases.Add(13)
	now.Expiries.Add(14)
	now.Forced.Add(15)
	now.Deadlocks.Add(16)
	now.Waited.Add(int64(2 * time.Second))
	now.Left.Add(int64(48 * time.Hour))
	now.Held.Add(int64(time.Millisecond))
	sizes := stats.NewHistogram(stats.Sizes)
	sizes.Add(3)
	fsync := stats.NewHistogram(stats.Quick)
	fsync.Add(int64(250 * time.Microsecond))
	text := scrape(t, everything(raftstore.Stats{
		Leader: true, Term: 21, Committed: 22, Applied: 23, LeaderChanges: 24, Entries: 25, Write: fsync.Read(), Commands: sizes.Read(),
	}, now, nil))
	shows(t, text,
		`holdfast_store_info{store="raft"} 1`, `holdfast_ready 1`,
		`holdfast_holds 7`, `holdfast_waiters 2`, `holdfast_oldest_waiter_seconds 1.5`,
		`holdfast_grants_total 11`, `holdfast_extensions_total 12`, `holdfast_releases_total 13`, `holdfast_expiries_total 14`,
		`holdfast_forced_releases_total 15`, `holdfast_deadlocks_total 16`,
		`holdfast_wait_duration_seconds_bucket{outcome="granted",le="1"} 0`,
		`holdfast_wait_duration_seconds_bucket{outcome="granted",le="5"} 1`,
		`holdfast_wait_duration_seconds_bucket{outcome="granted",le="86400"} 1`,
		`holdfast_wait_duration_seconds_sum{outcome="granted"} 2`,
		`holdfast_wait_duration_seconds_bucket{outcome="left",le="86400"} 0`,
		`holdfast_wait_duration_seconds_bucket{outcome="left",le="+Inf"} 1`,
		`holdfast_wait_duration_seconds_count{outcome="left"} 1`,
		`holdfast_hold_duration_seconds_bucket{le="0.001"} 1`,
		`holdfast_event_streams 3`, `holdfast_stream_connections 4`,
		`holdfast_request_duration_seconds_bucket{operation="lock",outcome="ok",le="0.0025"} 0`,
		`holdfast_request_duration_seconds_bucket{operation="lock",outcome="ok",le="0.005"} 1`,
		`holdfast_request_duration_seconds_sum{operation="lock",outcome="ok"} 0.003`,
		`holdfast_raft_leader 1`, `holdfast_raft_term 21`, `holdfast_raft_committed_index 22`, `holdfast_raft_applied_index 23`,
		`holdfast_raft_leader_changes_total 24`, `holdfast_raft_entries_total 25`,
		`holdfast_raft_fsync_duration_seconds_bucket{le="0.00025"} 1`, `holdfast_raft_fsync_duration_seconds_sum 0.00025`,
		`holdfast_raft_commands_per_entry_bucket{le="2"} 0`, `holdfast_raft_commands_per_entry_bucket{le="4"} 1`, `holdfast_raft_commands_per_entry_sum 3`,
		`holdfast_redis_round_trip_duration_seconds_count{outcome="answered"} 1`, `holdfast_redis_round_trip_duration_seconds_count{outcome="failed"} 0`,
	)
	if !regexp.MustCompile(`\nholdfast_build_info\{goversion="go1\.\d+[^"]*",version="v1"\} 1\n`).MatchString(text) {
		t.Error("no build info")
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("%s is missing", name)
		}
	}
}

// A store that is away is not taken for an empty one.
func TestWhatIsNotKnownIsNotShown(t *testing.T) {
	text := scrape(t, everything(raftstore.Stats{}, locks(), errors.New("away")))
	for _, name := range []string{"holdfast_holds", "holdfast_waiters"} {
		if strings.Contains(text, name+" ") {
			t.Errorf("%s is shown", name)
		}
	}
	shows(t, text, "holdfast_ready 0", "holdfast_raft_leader 0", "holdfast_grants_total 0")
}

func TestNamesAreInGoodStyle(t *testing.T) {
	problems, err := testutil.GatherAndLint(everything(raftstore.Stats{}, locks(), nil).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

// exposed gives, for each metric of Holdfast, its type and labels as they
// stand in docs/metrics.md.
func exposed(t *testing.T) map[string]string {
	t.Helper()
	families, err := everything(raftstore.Stats{}, locks(), nil).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), namespace+"_") {
			continue
		}
		var labels []string
		for _, label := range family.Metric[0].Label {
			labels = append(labels, "`"+label.GetName()+"`")
		}
		slices.Sort(labels)
		all[family.GetName()] = fmt.Sprintf("%s | %s", strings.ToLower(family.GetType().String()), strings.Join(labels, ", "))
	}
	return all
}
