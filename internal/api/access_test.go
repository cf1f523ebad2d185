package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/auth"
)

// rights say, for every route, which verb lets a caller in. A route that is
// not here fails the test: whoever adds one decides.
var rights = []struct {
	route string // method and path
	verb  string // "" is for everybody, "any" for whoever is known
	path  string // as it is asked; without it that of the route
	body  string
	head  bool // ask with HEAD: the answer to GET has no end

	refused int // what it answers to one who may, but did not ask well
}{
	{route: "POST /lock", verb: "lock", body: `{"uid":"mine","keys":["a/x","a/y"]}`},
	{route: "POST /unlock", verb: "lock", body: `{"uid":"mine","tokens":[{"key":"a/x","version":1}]}`},
	{route: "POST /extend", verb: "lock", body: `{"uid":"mine","tokens":[{"key":"a/x","version":1}]}`},
	{route: "POST /check", verb: "check", body: `{"keys":["a/x","a/y"]}`},
	{route: "GET /locks", verb: "list", path: "/locks?prefix=a/"},
	{route: "GET /locks/{key}", verb: "list", path: "/locks/a%2Fx"},
	{route: "DELETE /locks/{key}", verb: "force", path: "/locks/a%2Fx?reason=test"},
	{route: "DELETE /locks", verb: "force", path: "/locks?key=a%2Fx&reason=test"},
	{route: "GET /count", verb: "admin"}, // or list on every key
	{route: "GET /metrics", verb: "metrics"},
	{route: "GET /events", verb: "watch", path: "/events?prefix=a/", head: true},
	{route: "GET /stream", verb: "any", refused: 400}, // whoever is known; what comes on it needs the verbs of its own
	{route: "GET /backup", verb: "admin"},
	{route: "GET /cluster", verb: "admin"}, // or list on every key
	{route: "DELETE /cluster/nodes/{id}", verb: "admin", path: "/cluster/nodes/n2"},
	{route: "POST /cluster/step-down", verb: "admin"},
	{route: "GET /ping"},
	{route: "GET /healthz"},
	{route: "GET /readyz"},
	{route: "GET /openapi.yaml"},
	{route: "GET /", refused: 404}, // the page, for whoever accepts HTML
	{route: "GET /ui/{file}", path: "/ui/main.js"},
}

// lodge is a handler with a keyring, and tokens by name.
type lodge struct {
	t       testing.TB
	handler *Handler
	file    *auth.File
	ring    *auth.Keyring
	tokens  map[string]string
	asked   int
}

func newLodge(t testing.TB) *lodge {
	l := &lodge{t: t, file: new(auth.File), tokens: map[string]string{}}
	l.ring = auth.NewKeyring(l.file)
	l.handler = New(openStore(t), whole(l.ring))
	return l
}

// whole are options with which every route answers.
func whole(ring *auth.Keyring) Options {
	return Options{
		Keyring: ring,
		Backup:  func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, "all"); return err },
		Cluster: new(nodes),
		Count:   func(context.Context) (holdfast.Count, error) { return holdfast.Count{}, nil },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "figures") }),
		Logger:  slog.New(slog.DiscardHandler),
	}
}

// let makes somebody known by a token, and by a certificate of the same name.
func (l *lodge) let(name, uid string, grants ...auth.Grant) {
	l.t.Helper()
	token, hash := auth.NewToken()
	l.tokens[name] = token
	for _, e := range []auth.Entry{
		{Name: name, SHA256: hash, UID: uid, Grants: grants},
		{Name: name + ", certified", Certificate: name, UID: uid, Grants: grants},
	} {
		if err := l.file.Add(e); err != nil {
			l.t.Fatal(err)
		}
	}
	l.ring.Use(l.file)
}

// ask puts a request to the handler, from an address that nobody else has.
func (l *lodge) ask(method, path, body string, change ...func(*http.Request)) answer {
	l.asked++
	r := httptest.NewRequestWithContext(l.t.Context(), method, path, strings.NewReader(body))
	r.RemoteAddr = fmt.Sprintf("10.0.%d.%d:1", l.asked/250, l.asked%250)
	for _, change := range change {
		change(r)
	}
	w := httptest.NewRecorder()
	l.handler.ServeHTTP(w, r)
	return answer{l.t, w.Code, w.Header(), w.Body.String()}
}

func authorization(values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header["Authorization"] = values }
}

// certified is what a connection says of a client certificate.
func certified(name string, verified bool) func(*http.Request) {
	return func(r *http.Request) {
		certificate := &x509.Certificate{Subject: pkix.Name{CommonName: name}}
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
		if verified {
			r.TLS.VerifiedChains = [][]*x509.Certificate{{certificate}}
		}
	}
}

func TestEveryRouteIsForThoseWhoMay(t *testing.T) {
	var decided, routed []string
	for _, right := range rights {
		decided = append(decided, right.route)
	}
	for _, route := range routes {
		routed = append(routed, route.method+" "+route.path)
	}
	slices.Sort(decided)
	slices.Sort(routed)
	if !slices.Equal(decided, routed) {
		t.Fatalf("decided:\n  %s\nrouted:\n  %s", strings.Join(decided, "\n  "), strings.Join(routed, "\n  "))
	}

	l := newLodge(t)
	everything, err := auth.ParseVerbs([]string{"lock", "check", "list", "watch", "force"})
	if err != nil {
		t.Fatal(err)
	}
	l.let("nothing", "")
	l.let("elsewhere", "", auth.Grant{Prefix: "b/", Verbs: everything}, auth.Grant{Prefix: "a", Verbs: 0})
	l.let("another uid", "other-", auth.Grant{Prefix: "", Verbs: auth.Lock})
	for _, verb := range auth.VerbNames() {
		verbs, err := auth.ParseVerbs([]string{verb})
		if err != nil {
			t.Fatal(err)
		}
		prefix := "a/"
		if verb == "admin" || verb == "metrics" {
			prefix = ""
		}
		l.let(verb, "m", auth.Grant{Prefix: prefix, Verbs: verbs}, auth.Grant{Prefix: "a/not/", Verbs: 0})
	}
	l.let("revoked", "", auth.Grant{Prefix: "", Verbs: everything | auth.Admin | auth.Metrics})
	l.file.Remove("revoked")
	l.file.Remove("revoked, certified")
	l.ring.Use(l.file)

	other, _ := auth.NewToken()
	good := "Bearer " + l.tokens["lock"]
	hash := sha256.Sum256([]byte(l.tokens["lock"]))
	type credential struct {
		name  string
		verb  string // what it may do; "" is nothing
		known bool
		with  func(*http.Request)
	}
	credentials := []credential{
		{"none", "", false, func(*http.Request) {}},
		{"an empty header", "", false, authorization("")},
		{"no scheme", "", false, authorization(l.tokens["lock"])},
		{"no token", "", false, authorization("Bearer")},
		{"an empty token", "", false, authorization("Bearer ")},
		{"another scheme", "", false, authorization("Basic " + l.tokens["lock"])},
		{"a wrong token", "", false, authorization("Bearer " + other)},
		{"half a token", "", false, authorization(good[:30])},
		{"a token and more", "", false, authorization(good + " ")},
		{"a hash", "", false, authorization(fmt.Sprintf("Bearer %x", hash))},
		{"two headers", "", false, authorization(good, good)},
		{"a revoked token", "", false, authorization("Bearer " + l.tokens["revoked"])},
		{"a revoked certificate", "", false, certified("revoked", true)},
		{"a certificate that nobody knows", "", false, certified("stranger", true)},
		{"a certificate without a name", "", false, certified("", true)},
		{"a certificate that is not verified", "", false, certified("lock", false)},
		{"a wrong token beside a good certificate", "", false, func(r *http.Request) {
			certified("lock", true)(r)
			authorization("Bearer " + other)(r)
		}},
	}
	for name, token := range l.tokens {
		if name == "revoked" {
			continue
		}
		verb := name
		if !slices.Contains(auth.VerbNames(), name) {
			verb = ""
		}
		credentials = append(credentials,
			credential{"token of " + name, verb, true, authorization("Bearer " + token)},
			credential{"token of " + name + ", in another case", verb, true, authorization("bEARER " + token)},
			credential{"certificate of " + name, verb, true, certified(name, true)},
		)
	}
	for _, right := range rights {
		method, path, _ := strings.Cut(right.route, " ")
		if path = cmp.Or(right.path, path); right.head {
			method = http.MethodHead
		}
		for _, c := range credentials {
			t.Run(right.route+" "+c.name, func(t *testing.T) {
				answer := l.ask(method, path, right.body, c.with)
				answer.t = t
				switch {
				case right.verb == "" || c.verb == right.verb || right.verb == "any" && c.known:
					answer.is(cmp.Or(right.refused, 200))
				case c.known:
					answer.refuses(403, "forbidden", "")
				default:
					answer.refuses(401, "unauthenticated", "")
					if got := answer.header.Get("Www-Authenticate"); got != `Bearer realm="holdfast"` {
						t.Errorf("WWW-Authenticate: %s", got)
					}
				}
			})
		}
	}
}

func TestWhoMayListEverythingMaySeeTheCluster(t *testing.T) {
	l := newLodge(t)
	l.let("all", "", auth.Grant{Prefix: "", Verbs: auth.List})
	l.let("most", "", auth.Grant{Prefix: "", Verbs: auth.List}, auth.Grant{Prefix: "a/", Verbs: 0})
	l.ask("GET", "/cluster", "", authorization("Bearer "+l.tokens["all"])).is(200)
	l.ask("GET", "/cluster", "", authorization("Bearer "+l.tokens["most"])).
		refuses(403, "forbidden", `"most" has no grant of list or admin`)
}

func TestARefusalNamesTheKeyOrTheUid(t *testing.T) {
	l := newLodge(t)
	l.let("t", "mine-", auth.Grant{Prefix: "a/", Verbs: auth.Lock})
	with := authorization("Bearer " + l.tokens["t"])
	l.ask("POST", "/lock", `{"uid":"mine-1","keys":["a/x","b/x"]}`, with).
		refuses(403, "forbidden", `key "b/x": "t" has no grant to lock it`)
	l.ask("POST", "/lock", `{"uid":"yours-1","keys":"a/x"}`, with).
		refuses(403, "forbidden", `uid "yours-1": "t" may only use uids that begin with "mine-"`)
	l.ask("GET", "/locks?prefix=b/", "", with).
		refuses(403, "forbidden", `prefix "b/": "t" has no grant to list any key that begins so`)
	l.ask("GET", "/locks", "", with).refuses(403, "forbidden", `"t" has no grant to list any key`)
	l.ask("GET", "/backup", "", with).refuses(403, "forbidden", `"t" has no grant of admin`)
	l.ask("POST", "/lock", `{"uid":"mine-1"}`, with).refuses(400, "invalid", "keys: is missing")
	l.ask("POST", "/lock", `{"uid":"mine-1"}`).refuses(401, "unauthenticated", "credentials are missing")
}

// A route of which nobody has said for whom it is lets nobody in, with and
// without a keyring.
func TestARouteThatDoesNotSayIsClosed(t *testing.T) {
	for _, options := range []Options{{}, {Keyring: auth.NewKeyring(new(auth.File))}} {
		h := New(openStore(t), options)
		x := newExchange(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if err := h.admit(x, route{}.who); holdfast.ErrorCode(err) != holdfast.CodeForbidden {
			t.Errorf("got %v", err)
		}
	}
}

func TestWhoTriesManyTokensIsAnsweredLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLodge(t)
		l.let("t", "", auth.Grant{Prefix: "", Verbs: auth.Check})
		began := time.Now()
		from := func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }
		for range 10 {
			l.ask("GET", "/locks", "", authorization("Bearer wrong"), from).is(401)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("ten took %v", took)
		}
		l.ask("GET", "/locks", "", authorization("Bearer wrong"), from).is(401)
		if took := time.Since(began); took != time.Second {
			t.Errorf("eleven took %v", took)
		}
		l.ask("POST", "/check", `{"keys":"a"}`, authorization("Bearer "+l.tokens["t"]), from).is(200)
		l.ask("GET", "/locks", "", authorization("Bearer wrong")).is(401)
		l.ask("GET", "/locks", "", from).is(401) // without a token there is no attempt
		if took := time.Since(began); took != time.Second {
			t.Errorf("others were slowed: %v", took)
		}
	})
}

// Events stop with the right to see them.
func TestEventsEndWhenTheTokenIsRevoked(t *testing.T) {
	file := new(auth.File)
	token, hash := auth.NewToken()
	if err := file.Add(auth.Entry{Name: "t", SHA256: hash, Grants: []auth.Grant{{Prefix: "", Verbs: auth.Watch}}}); err != nil {
		t.Fatal(err)
	}
	ring := auth.NewKeyring(file)
	store := openStore(t)
	s := openOver(t, store, Options{Keyring: ring})
	events := s.watch("", "", "Authorization", "Bearer "+token)
	hold := func(key string) {
		if _, err := store.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys(key)}); err != nil {
			t.Fatal(err)
		}
	}
	hold("a")
	if _, event, _ := s.event(events); event != "granted" {
		t.Errorf("got %s", event)
	}
	ring.Use(new(auth.File))
	hold("b")
	if rest, err := io.ReadAll(events); err != nil || strings.Contains(string(rest), `"b"`) {
		t.Errorf("got %q, %v", rest, err)
	}
}

// Who takes the state away is written down by name, also if the token is
// revoked while that goes on.
func TestWhoIsRevokedMeanwhileIsAuditedByName(t *testing.T) {
	var log logged
	file := new(auth.File)
	token, hash := auth.NewToken()
	if err := file.Add(auth.Entry{Name: "ops", SHA256: hash, Grants: []auth.Grant{{Prefix: "", Verbs: auth.Admin}}}); err != nil {
		t.Fatal(err)
	}
	ring := auth.NewKeyring(file)
	s := openOver(t, openStore(t), Options{Keyring: ring, Logger: log.logger(), Backup: func(_ context.Context, w io.Writer) error {
		ring.Use(new(auth.File))
		_, err := io.WriteString(w, "all")
		return err
	}})
	s.ask("GET", "/backup", "", "Authorization", "Bearer "+token).is(200)
	if by, _ := log.soon(t, "audit", 1)[0]["by"].(map[string]any); by["name"] != "ops" {
		t.Errorf("by %v", by)
	}
}

// What is in the way names machines that a stranger need not know of.
func TestOnlyThoseWhoAreKnownHearWhyAServerIsNotReady(t *testing.T) {
	inTheWay := map[string]error{
		"not ready: dial tcp 10.0.0.9:6379": errors.New("dial tcp 10.0.0.9:6379"),
		"Redis at 10.0.0.9 is out of reach": holdfast.Unavailable(nil, "Redis at 10.0.0.9 is out of reach"),
	}
	for why, err := range inTheWay {
		l := newLodge(t)
		l.let("known", "")
		l.handler.options.Ready = func(context.Context) error { return err }
		const stranger = "not ready: the log of the server says why"
		l.ask("GET", "/readyz", "").refuses(503, "unavailable", stranger)
		l.ask("GET", "/readyz", "", authorization("Bearer hf_wrong")).refuses(503, "unavailable", stranger)
		l.ask("GET", "/readyz", "", authorization("Bearer "+l.tokens["known"])).refuses(503, "unavailable", why)
		l.handler.options.Ready = nil
		l.ask("GET", "/readyz", "").is(200)
	}
}
