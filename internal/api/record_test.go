package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/logtest"
)

// logged is a log that a test can read.
type logged struct{ logtest.Log }

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// lines gives the lines with this message.
func (l *logged) lines(t testing.TB, message string) (found []map[string]any) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if fields["msg"] == message {
			found = append(found, fields)
		}
	}
	return found
}

// soon gives the n lines with this message, once they are there.
func (l *logged) soon(t testing.TB, message string, n int) []map[string]any {
	t.Helper()
	until(t, func() string {
		if got := len(l.lines(t, message)); got != n {
			return fmt.Sprintf("%d lines %q, want %d", got, message, n)
		}
		return ""
	})
	return l.lines(t, message)
}

// picked writes some fields of a line one behind the other.
func picked(line map[string]any, names ...string) string {
	var values []string
	for _, name := range names {
		values = append(values, fmt.Sprint(line[name]))
	}
	return strings.Join(values, " ")
}

func TestAccessLog(t *testing.T) {
	var log logged
	s := openOver(t, openStore(t), Options{Logger: log.logger(), AccessLog: true})
	for i, test := range []struct {
		method, path, body string
		want               string
	}{
		{"POST", "/lock", `{"uid":"u","keys":"secret","exp":60000}`, "POST /lock 200 ok"},
		{"POST", "/lock", `{"uid":"v","keys":"secret"}`, "POST /lock 409 locked"},
		{"POST", "/lock", `{"uid":"v"}`, "POST /lock 400 invalid"},
		{"GET", "/locks/secret", "", "GET /locks/{key} 200 ok"},
		{"HEAD", "/locks?prefix=secret", "", "HEAD /locks 200 ok"},
		{"GET", "/ui/main.js", "", "GET /ui/{file} 200 ok"},
		{"GET", "/secret", "", "GET  404 not_found"},
		{"UNLIKELYMETHOD", "/lock", "", "UNLIKEL  405 method_not_allowed"},
	} {
		s.ask(test.method, test.path, test.body, "X-Request-Id", fmt.Sprintf("id-%d", i))
		line := log.soon(t, "request", i+1)[i]
		if got := picked(line, "method", "route", "status", "outcome"); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
		if got, want := line["request_id"], fmt.Sprintf("id-%d", i); got != want {
			t.Errorf("got the id %v, want %s", got, want)
		}
		if ms, ok := line["ms"].(float64); !ok || ms < 0 || ms > float64(patience.Milliseconds()) {
			t.Errorf("took %v", line["ms"])
		}
		if remote, _ := line["remote"].(string); !strings.HasPrefix(remote, "127.0.0.1:") {
			t.Errorf("from %v", line["remote"])
		}
	}
	if strings.Contains(log.String(), "secret") {
		t.Error("a key stands in the log")
	}
}

// With an access log every request has an id; otherwise nothing is made up.
func TestAccessLogMakesUpIDs(t *testing.T) {
	var log logged
	s := openOver(t, openStore(t), Options{Logger: log.logger(), AccessLog: true})
	seen := map[string]bool{}
	for i := range 3 {
		id := s.ask("GET", "/ping", "").is(200).header.Get("X-Request-Id")
		if id == "" || seen[id] || log.soon(t, "request", i+1)[i]["request_id"] != id {
			t.Errorf("got the id %q; the log says %v", id, log.lines(t, "request")[i])
		}
		seen[id] = true
	}
}

func TestNoAccessLogUnlessAsked(t *testing.T) {
	var log logged
	s := openOver(t, openStore(t), Options{Logger: log.logger()})
	s.lock("u", "a")
	s.ask("GET", "/nowhere", "").is(404)
	s.stop()
	if log.String() != "" {
		t.Errorf("logged: %s", log.String())
	}
}

// Whoever goes away got no answer, and the log does not say otherwise.
func TestAccessLogOfWhoWent(t *testing.T) {
	var log logged
	s := openOver(t, openStore(t), Options{Logger: log.logger(), AccessLog: true})
	s.lock("u", "a")
	ctx, cancel := context.WithCancel(t.Context())
	waiting := s.later(ctx, "/lock", `{"uid":"w","keys":"a","wait":3600000}`)
	s.inLine("a", "w")
	cancel()
	soon(t, waiting)
	line := log.soon(t, "request", 2)[1]
	if got := picked(line, "route", "status", "outcome"); got != "/lock 0 gone" {
		t.Errorf("got %s", got)
	}
}

// An unexpected failure is logged under an id that its client learns, too.
func TestFailureIsLoggedWithItsID(t *testing.T) {
	var log logged
	s := openOver(t, odd{}, Options{Logger: log.logger()})
	answer := s.ask("GET", "/locks/a", "").is(503)
	line := log.soon(t, "a request failed", 1)[0]
	if id := answer.header.Get("X-Request-Id"); id == "" || line["request_id"] != id {
		t.Errorf("the client learns %q, the log says %v", id, line)
	}
}

// odd is a service that fails in a way that nobody has foreseen.
type odd struct{ holdfast.Service }

func (odd) Get(context.Context, string) (holdfast.Lock, error) {
	return holdfast.Lock{}, errors.New("something odd")
}

func TestForcedReleaseIsAudited(t *testing.T) {
	var log logged
	s := openOver(t, openStore(t), Options{Logger: log.logger()})
	version := s.lock("u", "a")
	s.ask("DELETE", "/locks/a?reason=it+hangs", "", "X-Request-Id", "id-1").is(200)
	line := log.soon(t, "audit", 1)[0]
	if got := picked(line, "level", "action", "key", "reason", "certain", "holds"); got != "ERROR+4 force a it hangs true 1" {
		t.Errorf("got %s", got)
	}
	if got, want := fmt.Sprint(line["released"]), fmt.Sprintf("[map[key:a uid:u version:%g]]", float64(version)); got != want {
		t.Errorf("released %s, want %s", got, want)
	}
	by, _ := line["by"].(map[string]any)
	if remote, _ := by["remote"].(string); !strings.HasPrefix(remote, "127.0.0.1:") || by["request_id"] != "id-1" {
		t.Errorf("by %v", by)
	}
	// What changes nothing for certain needs no line.
	s.ask("DELETE", "/locks/a?why=x", "").is(400)
	s.ask("DELETE", "/locks/b", "").is(200)
	if got := picked(log.soon(t, "audit", 2)[1], "key", "holds", "released"); got != "b 0 []" {
		t.Errorf("got %s", got)
	}
}

// unsure is a service that does not know what came of a forced release.
type unsure struct {
	holdfast.Service
	outcomeUnknown bool
}

func (u unsure) Force(context.Context, holdfast.ForceRequest) ([]holdfast.Released, error) {
	err := holdfast.Unavailable(nil, "no leader")
	err.OutcomeUnknown = u.outcomeUnknown
	return nil, err
}

func TestForcedReleaseThatMayHaveHappenedIsAudited(t *testing.T) {
	for unknown, lines := range map[bool]int{true: 1, false: 0} {
		var log logged
		s := openOver(t, unsure{outcomeUnknown: unknown}, Options{Logger: log.logger()})
		s.ask("DELETE", "/locks/a?reason=r", "").is(503)
		for _, line := range log.soon(t, "audit", lines) {
			if got := picked(line, "action", "key", "reason", "certain"); got != "force a r false" {
				t.Errorf("got %s", got)
			}
		}
	}
}

func TestBackupIsAudited(t *testing.T) {
	var log logged
	fail := errors.New("the disk is gone")
	size := 1
	var err error
	s := openOver(t, openStore(t), Options{Logger: log.logger(), Backup: func(_ context.Context, w io.Writer) error {
		if _, err := w.Write(make([]byte, size)); err != nil {
			return err
		}
		return err
	}})
	s.ask("GET", "/backup", "").is(200)
	if got := picked(log.soon(t, "audit", 1)[0], "action", "whole"); got != "backup true" {
		t.Errorf("got %s", got)
	}
	// One of which nothing was sent is none, ...
	err = fail
	s.ask("GET", "/backup", "").is(503)
	s.ask("HEAD", "/backup", "").is(200)
	// ... and one that was cut off is.
	size = 1 << 20
	request, _ := http.NewRequest("GET", "http://"+s.address+"/backup", nil)
	if response, err := http.DefaultTransport.RoundTrip(request); err == nil {
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	if got := picked(log.soon(t, "audit", 2)[1], "action", "whole"); got != "backup false" {
		t.Errorf("got %s", got)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// Requests are counted by what they asked for, in the words of openapi.yaml,
// and by what came of them; nothing in the figures is chosen by clients.
func TestRequestsAreCounted(t *testing.T) {
	s := open(t)
	version := s.lock("u", "a")
	s.post("/lock", `{"uid":"v","keys":"a"}`).is(409)
	s.post("/lock", `{"uid":"v","keys":"a","wait":1}`).is(409)
	s.post("/lock", `{"uid":"v","keys":"b","wait":1}`).is(200)
	s.post("/lock", `{"uid":"v","keys":""}`).is(400)
	s.ask("GET", "/locks", "").is(200)
	s.ask("GET", "/locks/a", "").is(200)
	s.ask("HEAD", "/locks/b", "").is(200)
	s.ask("DELETE", "/locks/b", "").is(200)
	s.unlock("u", "a", version)
	s.ask("GET", "/no/such/path", "").is(404)
	s.ask("PUT", "/lock", "").is(405)
	s.ask("GET", "/ping", "", "Origin", "http://elsewhere", "Sec-Fetch-Site", "cross-site").is(200)
	s.ask("POST", "/lock", "{}", "Sec-Fetch-Site", "cross-site").is(403)
	want := []string{
		"force ok 1", "get ok 2", "list ok 1", "lock forbidden 1", "lock invalid 1", "lock locked 1", "lock ok 1", "lock_wait locked 1", "lock_wait ok 1",
		"none method_not_allowed 1", "none not_found 1", "ping ok 1", "unlock ok 1",
	}
	until(t, func() string {
		got := counted(s)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Sprintf("got  %q\nwant %q", got, want)
		}
		return ""
	})
	if got := s.server.handler.Stats().Count(); got != 14 {
		t.Errorf("%d requests together", got)
	}
}

func counted(s *site) (lines []string) {
	for _, r := range s.server.handler.Stats().Requests {
		lines = append(lines, fmt.Sprint(r.Operation, " ", r.Outcome, " ", r.Took.Count()))
	}
	return lines
}

// A panic, or an answer that was cut off, is no success.
func TestWhatBrokeIsCountedSo(t *testing.T) {
	s := openOver(t, openStore(t), Options{
		Logger: slog.New(slog.DiscardHandler),
		Ready:  func(context.Context) error { panic("oh") },
		Backup: func(_ context.Context, w io.Writer) error {
			w.Write(make([]byte, 1<<20))
			return errors.New("broken")
		},
	})
	s.ask("GET", "/readyz", "").is(503)
	s.try(t.Context(), "GET", "/backup", "")
	until(t, func() string {
		if got := fmt.Sprint(counted(s)); got != "[backup gone 1 readyz unavailable 1]" {
			return got
		}
		return ""
	})
}

func TestEventStreamsAreCounted(t *testing.T) {
	s := open(t)
	now := func(n int) {
		t.Helper()
		until(t, func() string {
			if got := s.server.handler.Stats().EventStreams; got != n {
				return fmt.Sprintf("%d streams, want %d", got, n)
			}
			return ""
		})
	}
	now(0)
	one, other := s.dial(), s.dial()
	for _, conn := range []*raw{one, other} {
		conn.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	now(2)
	one.Close()
	now(1)
	other.Close()
	now(0)
}

// Whatever code a refusal has, it is counted; as such, if it is one of ours.
func TestEveryCodeIsAnOutcome(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && strings.HasPrefix(spec.Names[0].Name, "Code") {
			codes++
			if code := strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`); !slices.Contains(outcomes, code) {
				t.Errorf("%s is no outcome", code)
			}
		}
		return true
	})
	if codes == 0 {
		t.Error("no codes were found")
	}
	tally := newTally()
	tally.count("lock", "a_new_code", time.Second)
	if got := tally.requests["lock"][outcomeOther].Read().Count(); got != 1 {
		t.Errorf("an unknown code is counted %d times", got)
	}
}

// Calls of the stream are counted like requests of their own, under the same
// names; the connection is counted too, when it is over.
func TestCallsOfTheStreamAreCounted(t *testing.T) {
	s := open(t)
	c := s.socket()
	until(t, func() string {
		if got := s.server.handler.Stats().Streams; got != 1 {
			return fmt.Sprintf("%d connections", got)
		}
		return ""
	})
	for i, call := range []string{
		`"op":"lock","uid":"u","keys":"a"`,
		`"op":"lock","uid":"v","keys":"a"`,
		`"op":"lock","uid":"v","keys":"a","wait":1`,
		`"op":"lock","uid":"v","keys":""`,
		`"op":"check","keys":"a"`,
		`"op":"extend","uid":"u"`,
		`"op":"unlock","uid":"u","tokens":[{"key":"a","version":1}]`,
	} {
		c.send(fmt.Sprintf(`{"id":%d,%s}`, i+1, call))
		c.next()
	}
	c.Close()
	want := "[check ok 1 extend ok 1 lock invalid 1 lock locked 1 lock ok 1 lock_wait locked 1 stream ok 1 unlock ok 1]"
	until(t, func() string {
		if got := fmt.Sprint(counted(s)); got != want {
			return fmt.Sprintf("got  %s\nwant %s", got, want)
		}
		return ""
	})
	if got := s.server.handler.Stats().Streams; got != 0 {
		t.Errorf("%d connections are left", got)
	}
}

func TestChangesOfTheClusterAreAudited(t *testing.T) {
	var log logged
	n := &nodes{}
	s := openOver(t, openStore(t), Options{Logger: log.logger(), Cluster: n})
	s.ask("POST", "/cluster/step-down", "")
	s.ask("DELETE", "/cluster/nodes/n1", "")
	n.err = &holdfast.Error{Code: holdfast.CodeNotFound, Message: "no such node"}
	s.ask("DELETE", "/cluster/nodes/n2", "").is(404)
	unknown := holdfast.Unavailable(nil, "no leader")
	unknown.OutcomeUnknown = true
	n.err = unknown
	s.ask("DELETE", "/cluster/nodes/n3", "").is(503)
	var got []string
	for _, line := range log.soon(t, "audit", 3) {
		got = append(got, picked(line, "action", "node", "certain"))
	}
	if want := "[step down  true remove node n1 true remove node n3 false]"; fmt.Sprint(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What another node has passed on is in that node's log, with who asked it.
func TestWhatIsPassedOnIsAuditedOnce(t *testing.T) {
	var log logged
	s := openOver(t, openStore(t), Options{Logger: log.logger(), PassedOn: true, Cluster: &nodes{}})
	s.lock("u", "a")
	s.ask("DELETE", "/locks/a", "").is(200)
	s.ask("DELETE", "/cluster/nodes/n1", "").is(200)
	s.stop()
	if lines := log.lines(t, "audit"); len(lines) > 0 {
		t.Errorf("logged: %v", lines)
	}
}
