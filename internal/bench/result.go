package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is what a run has measured. Latencies are of calls that succeeded.
type Result struct {
	Target string `json:"target"` // what was measured; for the caller of Run to say
	Calls  string `json:"calls"`  // how it was asked; likewise
	Conns  int    `json:"conns"`  // over how many connections; likewise

	Clients int     `json:"clients"`
	Keys    Keys    `json:"keys"`
	Hold    float64 `json:"hold_ms"`
	Seconds float64 `json:"seconds"`

	Pairs     int     `json:"pairs"` // a lock and its unlock
	PerSecond float64 `json:"pairs_per_second"`
	Lock      Latency `json:"lock_us"`
	Unlock    Latency `json:"unlock_us"`
	Fairness  Share   `json:"pairs_of_a_client"`

	Errors map[string]int `json:"errors"` // how many calls failed, by code
}

// Latency tells how long calls took, in microseconds.
type Latency struct {
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p99.9"`
	Longest float64 `json:"longest"`
}

// Share tells how many pairs one client made.
type Share struct {
	Smallest int     `json:"smallest"`
	Mean     float64 `json:"mean"`
	Largest  int     `json:"largest"`
}

// sum makes a result of what the clients have seen.
func sum(load Load, clients []*client) Result {
	r := Result{
		Clients: load.Clients, Keys: load.Keys, Hold: 1e3 * load.Hold.Seconds(), Seconds: load.Duration.Seconds(),
		Fairness: Share{Smallest: clients[0].pairs}, Errors: make(map[string]int),
	}
	var lock, unlock histogram
	for _, c := range clients {
		r.Pairs += c.pairs
		r.Fairness.Smallest = min(r.Fairness.Smallest, c.pairs)
		r.Fairness.Largest = max(r.Fairness.Largest, c.pairs)
		lock.merge(&c.lock)
		unlock.merge(&c.unlock)
		for code, n := range c.errors {
			r.Errors[code] += n
		}
	}
	r.Fairness.Mean = float64(r.Pairs) / float64(len(clients))
	r.PerSecond = float64(r.Pairs) / r.Seconds
	r.Lock, r.Unlock = latency(&lock), latency(&unlock)
	return r
}

func latency(h *histogram) Latency {
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	return Latency{us(h.quantile(0.5)), us(h.quantile(0.99)), us(h.quantile(0.999)), us(h.longest)}
}

// Failed is how many calls failed.
func (r *Result) Failed() int {
	failed := 0
	for _, n := range r.Errors {
		failed += n
	}
	return failed
}

// Print writes a result as one line of JSON, or as a table for people.
func (r *Result) Print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	keys, _ := r.Keys.MarshalText()
	fmt.Fprintf(out, "%s, %s\n%d clients, keys: %s, each held for %v ms, connections: %d, for %vs\n\n", r.Target, r.Calls, r.Clients, keys, r.Hold, r.Conns, r.Seconds)
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") }
	row("ms", "p50", "p99", "p99.9", "longest")
	for _, l := range []struct {
		name string
		Latency
	}{{"lock", r.Lock}, {"unlock", r.Unlock}} {
		row(l.name, ms(l.P50), ms(l.P99), ms(l.P999), ms(l.Longest))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\npairs/s: %.0f\n", r.PerSecond)
	fmt.Fprintf(out, "pairs of a client: smallest %d, mean %.1f, largest %d\n", r.Fairness.Smallest, r.Fairness.Mean, r.Fairness.Largest)
	errors := "none"
	if len(r.Errors) > 0 {
		var counts []string
		for _, code := range slices.Sorted(maps.Keys(r.Errors)) {
			counts = append(counts, fmt.Sprintf("%s %d", code, r.Errors[code]))
		}
		errors = strings.Join(counts, ", ")
	}
	_, err := fmt.Fprintf(out, "errors: %s\n", errors)
	return err
}

// ms writes microseconds as milliseconds.
func ms(us float64) string { return fmt.Sprintf("%.3f", us/1e3) }
