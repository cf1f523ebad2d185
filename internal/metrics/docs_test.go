package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every metric has a row in the tables of docs/metrics.md, with its type and
// its labels, and no row is about something else.
func TestEveryMetricIsDocumented(t *testing.T) {
	documented := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `(holdfast_\\w+)` \\| (\\w+) \\| ([^|]*)\\| .+\\|$")
	for _, found := range row.FindAllStringSubmatch(document(t, "metrics.md"), -1) {
		labels := strings.Split(strings.TrimSpace(found[3]), ", ")
		slices.Sort(labels)
		documented[found[1]] = found[2] + " | " + strings.Join(labels, ", ")
	}
	all := exposed(t)
	for name, want := range all {
		if got := documented[name]; got != want {
			t.Errorf("%s is documented as %q, and is %q", name, got, want)
		}
	}
	for name := range documented {
		if all[name] == "" {
			t.Errorf("%s is documented, and is not there", name)
		}
	}
}

var (
	anyName  = regexp.MustCompile(`\bholdfast_\w+`)
	selector = regexp.MustCompile(`\b(holdfast_\w+)\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=|!)`)
)

// base is the name of the metric that a series belongs to.
func base(series string, all map[string]string) string {
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, part); ok && strings.HasPrefix(all[name], "histogram") {
			return name
		}
	}
	return series
}

// What dashboard, alerts and documents speak of is there, and has the labels
// by which they choose.
func TestOnlyMetricsThatAreThereAreUsed(t *testing.T) {
	all := exposed(t)
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	names := []string{"alerts.yml", "grafana.json"}
	for _, page := range pages {
		names = append(names, filepath.Base(page))
	}
	for _, name := range names {
		text := strings.ReplaceAll(document(t, name), `\"`, `"`)
		used := anyName.FindAllString(text, -1)
		if len(used) == 0 && !strings.HasSuffix(name, ".md") {
			t.Errorf("%s uses nothing", name)
		}
		for _, series := range used {
			if all[base(series, all)] == "" && series != "holdfast_fence" { // a table, of package fence
				t.Errorf("%s uses %s, which is not there", name, series)
			}
		}
		for _, found := range selector.FindAllStringSubmatch(text, -1) {
			for _, label := range matcher.FindAllStringSubmatch(found[2], -1) {
				own := strings.Contains(all[base(found[1], all)], "`"+label[1]+"`")
				if !own && !slices.Contains([]string{"job", "instance", "le"}, label[1]) {
					t.Errorf("%s chooses %s by %s, which it has not", name, found[1], label[1])
				}
			}
		}
	}
}

// The dashboard is one that Grafana can import, and shows every metric.
func TestDashboard(t *testing.T) {
	var dashboard struct {
		Title      string
		Templating struct{ List []struct{ Name string } }
		Panels     []struct {
			ID          int
			Type, Title string
			GridPos     struct{ H, W, X, Y int }
			Targets     []struct{ RefID, Expr string }
		}
	}
	text := document(t, "grafana.json")
	if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
		t.Fatal(err)
	}
	all := exposed(t)
	shown := map[string]bool{}
	ids := map[int]bool{}
	for i, panel := range dashboard.Panels {
		if ids[panel.ID] || panel.Title == "" || panel.GridPos.X+panel.GridPos.W > 24 {
			t.Errorf("panel %d, %q, cannot be placed", panel.ID, panel.Title)
		}
		ids[panel.ID] = true
		for _, other := range dashboard.Panels[:i] {
			a, b := panel.GridPos, other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%q lies over %q", panel.Title, other.Title)
			}
		}
		if len(panel.Targets) == 0 && panel.Type != "row" {
			t.Errorf("%q shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			if strings.Count(target.Expr, "(") != strings.Count(target.Expr, ")") {
				t.Errorf("%q: %s", panel.Title, target.Expr)
			}
			for _, series := range anyName.FindAllString(target.Expr, -1) {
				shown[base(series, all)] = true
			}
		}
	}
	for name := range all {
		if !shown[name] {
			t.Errorf("%s is not shown", name)
		}
	}
	for _, variable := range []string{"source", "job"} {
		if !slices.ContainsFunc(dashboard.Templating.List, func(v struct{ Name string }) bool { return v.Name == variable }) {
			t.Errorf("there is no variable %s", variable)
		}
	}
}

// Prometheus accepts the rules, and each fires when it should and not when all
// is well. It accepts the expressions of the dashboard, too.
func TestRulesWithPromtool(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("promtool is not here; it comes with: apt-get install prometheus")
	}
	promtool := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	promtool("check", "rules", "../../docs/alerts.yml")
	promtool("test", "rules", "testdata/alerts_test.yml")
	tested, err := os.ReadFile("testdata/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(document(t, "alerts.yml"), -1) {
		if strings.Count(string(tested), "alertname: "+rule[1]) < 2 {
			t.Errorf("%s is not tested both ways", rule[1])
		}
	}
	promtool("check", "rules", dashboardRules(t))
}

// dashboardRules writes the expressions of the dashboard into a file of rules,
// which is what promtool can read.
func dashboardRules(t *testing.T) string {
	var rules strings.Builder
	rules.WriteString("groups: [{name: dashboard, rules: [\n")
	exprs := regexp.MustCompile(`"expr": ("(?:[^"\\]|\\.)*")`).FindAllStringSubmatch(document(t, "grafana.json"), -1)
	for i, expr := range exprs {
		fmt.Fprintf(&rules, "{record: dashboard:expr%d, expr: %s},\n", i, strings.ReplaceAll(expr[1], "$__rate_interval", "1m"))
	}
	rules.WriteString("]}]\n")
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
