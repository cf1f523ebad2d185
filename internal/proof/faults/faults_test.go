package faults

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"holdfast/internal/proof"
)

var (
	seed = flag.Uint64("seed", 5, "what is drawn comes from this; zero draws a seed")
	long = flag.Duration("time", 0, "for how long to do harm, in rounds of 15s at most; zero is one short round of each deployment")
	only = flag.String("only", "", "a deployment to be hit alone")
)

func TestMain(m *testing.M) {
	RunClient()
	flag.Parse()
	os.Exit(m.Run())
}

// short is how long the one round of each deployment takes.
var short = map[string]time.Duration{"memory": 8 * time.Second}

// budget bounds the search for an order of the calls on each group of keys.
const budget = 2 * time.Minute

// TestFaults does harm to each deployment, and checks that the rules hold.
// Other harm: make faults SEED=… TIME=….
func TestFaults(t *testing.T) {
	if _, there := Deployments[*only]; !there && *only != "" {
		t.Fatalf("there is no deployment %q, only %v", *only, slices.Sorted(maps.Keys(Deployments)))
	}
	if *seed == 0 {
		*seed = rand.Uint64N(1_000_000)
	}
	program, err := Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range Deployments {
		if *only == "" || *only == name {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	began := time.Now()
	for n := uint64(0); n == 0 || time.Since(began) < *long; n++ {
		for _, name := range names {
			plan := Plan{Seed: *seed + n, Long: 15 * time.Second}
			if s := short[name]; s > 0 && *long == 0 {
				plan.Long = s
			} else if *long > 0 {
				plan.Long = min(plan.Long, *long)
			}
			t.Run(fmt.Sprintf("%s/%d", name, plan.Seed), func(t *testing.T) { hit(t, program, name, plan) })
			if t.Failed() || *long > 0 && time.Since(began) > *long {
				return
			}
		}
	}
}

// hit does one round of harm.
func hit(t *testing.T, program, name string, plan Plan) {
	dir, err := os.MkdirTemp("", "holdfast-faults-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Logf("the history, the logs and a picture are in %s; once more: make faults SEED=%d ONLY=%s", dir, plan.Seed, name)
		} else {
			os.RemoveAll(dir)
		}
	}()
	d, err := Deployments[name](Site{Program: program, Dir: dir, Clients: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	plan.Name, plan.Groups, plan.Owners, plan.Say = fmt.Sprint("k", plan.Seed), 6, 6, t.Logf
	history, err := d.Round(t.Context(), plan)
	if err != nil {
		t.Error(err)
	}
	if err := proof.SaveHistory(filepath.Join(dir, "history.jsonl"), history); err != nil { // however the check ends
		t.Error(err)
	}
	verdict := proof.Check(history, budget)
	if err := verdict.Err(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		if err := verdict.Save(dir); err != nil {
			t.Error(err)
		}
	}
}
