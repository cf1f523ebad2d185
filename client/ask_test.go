package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/client"
)

// script answers requests without a network, each as the next line says. The
// last line stands for all that follow.
type script struct {
	mu    sync.Mutex
	lines []line
	sent  []sent
}

// line is an answer: a status, a body and perhaps a Retry-After, or an error,
// after a while.
type line struct {
	status     int
	body       string
	retryAfter string
	err        error
	after      time.Duration
}

// sent is a request as it arrived.
type sent struct {
	at   time.Duration // since the first
	host string
	text string
}

var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	errReset   = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}

	isRefused = line{err: errRefused}
	isReset   = line{err: errReset}
	isBusy    = line{status: 503, body: `{"error":"unavailable","message":"no leader"}`, retryAfter: "3"}
	isUnclear = line{status: 503, body: `{"error":"unavailable","message":"lost","outcome":"unknown"}`, retryAfter: "1"}
	isGateway = line{status: 502, body: "<html>Bad Gateway</html>"}
	isProxy   = line{status: 504, body: `{"status":504,"error":"Gateway Timeout","path":"/lock"}`}
	isFree    = line{status: 200, body: `{"locked":false}`}
	isGranted = line{status: 200, body: `{"tokens":[{"key":"x","version":7}],"exp":1000}`}
)

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when virtual time begins

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	text := r.Method + " " + r.URL.RequestURI()
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		text += " " + string(body)
	}
	s.mu.Lock()
	line := s.lines[min(len(s.sent), len(s.lines)-1)]
	s.sent = append(s.sent, sent{time.Since(epoch), r.URL.Host, text})
	s.mu.Unlock()
	select {
	case <-time.After(line.after):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if line.err != nil {
		return nil, line.err
	}
	response := &http.Response{StatusCode: line.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(line.body))}
	if line.retryAfter != "" {
		response.Header.Set("Retry-After", line.retryAfter)
	}
	return response, nil
}

// hosts are the servers that were asked, in order.
func (s *script) hosts() string {
	var hosts []string
	for _, sent := range s.sent {
		hosts = append(hosts, sent.host)
	}
	return strings.Join(hosts, " ")
}

// follow runs a test in virtual time, with a client of servers a, b and c that
// answer as the lines say.
func follow(t *testing.T, servers string, lines []line, run func(t *testing.T, c *client.Client, s *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &script{lines: lines}
		run(t, connectWith(t, client.Options{Transport: s, Plain: true}, strings.Fields(servers)...), s)
	})
}

func check(t *testing.T, c *client.Client) {
	t.Helper()
	if locked, err := c.Check(t.Context(), []string{"x"}); err != nil || locked {
		t.Fatalf("check: %v, %v", locked, err)
	}
}

func TestTheNextServerIsAskedWhenOneIsAway(t *testing.T) {
	for name, away := range map[string]line{
		"refused": isRefused, "reset": isReset, "busy": isBusy, "unclear": isUnclear, "gateway": isGateway,
		"proxy":  isProxy,
		"silent": {after: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			follow(t, "a b c", []line{away, away, isFree}, func(t *testing.T, c *client.Client, s *script) {
				check(t, c)
				check(t, c)
				if s.hosts() != "a b c c" {
					t.Errorf("asked %s", s.hosts())
				}
				if last := s.sent[2].at; away.after == 0 && last > 0 {
					t.Errorf("the third was asked after %v", last)
				}
			})
		})
	}
}

func TestARefusalIsAnAnswer(t *testing.T) {
	for code, status := range map[holdfast.Code]int{
		holdfast.CodeInvalid: 400, holdfast.CodeUnauthenticated: 401, holdfast.CodeForbidden: 403,
		holdfast.CodeNotFound: 404, holdfast.CodeLocked: 409, holdfast.CodeDeadlock: 409, holdfast.CodeLimit: 429,
	} {
		answer := line{status: status, body: fmt.Sprintf(`{"error":%q,"message":"so it is"}`, code)}
		follow(t, "a b", []line{answer, isFree}, func(t *testing.T, c *client.Client, s *script) {
			_, err := c.Check(t.Context(), []string{"x"})
			if refusal, ok := errors.AsType[*holdfast.Error](err); !ok || refusal.Code != code || refusal.Message != "so it is" {
				t.Errorf("%s: got %v", code, err)
			}
			check(t, c)
			// With limit, the server says when to ask again, not the client.
			if s.hosts() != "a b" && s.hosts() != "a a" {
				t.Errorf("%s: asked %s", code, s.hosts())
			}
		})
	}
}

// What is not unlocked stays locked for as long as its exp: a server that has
// too much to do is asked again.
func TestAnUnlockIsRepeatedWhenAServerIsAtItsLimit(t *testing.T) {
	atLimit := line{status: 429, body: `{"error":"limit","message":"m"}`, retryAfter: "2"}
	done := line{status: 200, body: `{"unlocked":["x"]}`}
	req := holdfast.UnlockRequest{UID: "u", Tokens: []holdfast.Token{{Key: "x", Version: 7}}}
	follow(t, "a", []line{atLimit, atLimit, done}, func(t *testing.T, c *client.Client, s *script) {
		keys, err := c.Unlock(t.Context(), req)
		if err != nil || len(keys) != 1 {
			t.Fatalf("unlocked %v, %v", keys, err)
		}
		for i := 1; i < 3; i++ {
			if pause := s.sent[i].at - s.sent[i-1].at; pause < 2*time.Second || pause > 3*time.Second {
				t.Errorf("a pause of %v, but 2 s were asked for", pause)
			}
		}
	})
	follow(t, "a b", []line{atLimit}, func(t *testing.T, c *client.Client, s *script) {
		_, err := c.Unlock(t.Context(), req)
		if holdfast.ErrorCode(err) != holdfast.CodeLimit || time.Since(epoch) > client.PatienceByDefault {
			t.Errorf("after %v: %v", time.Since(epoch), err)
		}
	})
}

func TestARefusalIsCompleteAsItWasSent(t *testing.T) {
	answer := line{status: 409, body: `{"error":"locked","message":"m","blockers":[` +
		`{"key":"x","uid":"u","version":12,"mode":"shared","exp":412,"note":"nightly","waiting":false},` +
		`{"key":"x","uid":"v","mode":"exclusive","waiting":true}],"new":"field"}`}
	circle := line{status: 409, body: `{"error":"deadlock","message":"m","cycle":[{"uid":"a","key":"x"},{"uid":"b","key":"y"}]}`}
	limit := line{status: 429, body: `{"error":"limit","message":"m"}`, retryAfter: "7"}
	follow(t, "a", []line{answer, circle, limit}, func(t *testing.T, c *client.Client, _ *script) {
		refusal := func() *holdfast.Error {
			_, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x")})
			e, ok := errors.AsType[*holdfast.Error](err)
			if !ok || e.Message != "m" {
				t.Fatalf("got %v", err)
			}
			return e
		}
		want := []holdfast.Blocker{
			{Key: "x", UID: "u", Version: 12, Mode: holdfast.Shared, Exp: 412 * time.Millisecond, Note: "nightly"},
			{Key: "x", UID: "v", Waiting: true},
		}
		if e := refusal(); len(e.Blockers) != 2 || e.Blockers[0] != want[0] || e.Blockers[1] != want[1] {
			t.Errorf("blockers: %+v", e.Blockers)
		}
		if e := refusal(); len(e.Cycle) != 2 || e.Cycle[1] != (holdfast.Link{UID: "b", Key: "y"}) {
			t.Errorf("cycle: %+v", e.Cycle)
		}
		if e := refusal(); e.Code != holdfast.CodeLimit || e.RetryAfter != 7*time.Second {
			t.Errorf("limit: %+v", e)
		}
	})
}

func TestARoundIsFollowedByAPauseAsLongAsTheServersAskFor(t *testing.T) {
	follow(t, "a b", []line{isBusy, isBusy, isBusy, isBusy, isFree}, func(t *testing.T, c *client.Client, s *script) {
		check(t, c)
		if s.hosts() != "a b a b a" {
			t.Fatalf("asked %s", s.hosts())
		}
		for i := 2; i < 5; i += 2 {
			if pause := s.sent[i].at - s.sent[i-1].at; pause < 3*time.Second || pause > 4500*time.Millisecond {
				t.Errorf("a pause of %v, but 3 s were asked for", pause)
			}
		}
	})
}

// Whatever else is the case in a round, and in whatever order.
func TestAServerThatIsAwayDoesNotShortenWhatAnotherAsksFor(t *testing.T) {
	for _, round := range [][]line{{isBusy, isRefused}, {isRefused, isBusy}, {isUnclear, isBusy}} {
		least := 3 * time.Second
		if round[0] == isUnclear {
			least = time.Second // the first of them can be asked by then
		}
		follow(t, "a b", append(round, isFree), func(t *testing.T, c *client.Client, s *script) {
			check(t, c)
			if pause := s.sent[2].at - s.sent[1].at; pause < least || pause > least*3/2 {
				t.Errorf("a pause of %v, but %v were asked for", pause, least)
			}
		})
	}
}

func TestPausesGrowAndDiffer(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 4 {
		follow(t, "a", []line{isRefused}, func(t *testing.T, c *client.Client, s *script) {
			_, err := c.Check(t.Context(), []string{"x"})
			if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
				t.Fatal(err)
			}
			last, first := s.sent[len(s.sent)-1], s.sent[1].at
			if last.at > client.PatienceByDefault || last.at < client.PatienceByDefault/2 {
				t.Errorf("it gave up after %v", last.at)
			}
			if first > 50*time.Millisecond || len(s.sent) > 40 {
				t.Errorf("the first pause was %v; %d attempts", first, len(s.sent))
			}
			seen[first] = true
		})
	}
	if len(seen) == 1 {
		t.Error("all clients pause alike")
	}
}

// A server that comes back tells all who ask it at that moment to come again
// after the same time.
func TestWhoIsAskedToComeAgainDoesNotComeWithAllOthers(t *testing.T) {
	var first, last time.Duration
	for range 20 {
		follow(t, "a", []line{isBusy, isFree}, func(t *testing.T, c *client.Client, s *script) {
			check(t, c)
			at := s.sent[1].at
			if first == 0 {
				first = at
			}
			first, last = min(first, at), max(last, at)
		})
	}
	if last-first < 300*time.Millisecond {
		t.Errorf("all came again within %v", last-first)
	}
}

func TestPatienceIsWhatTheOptionsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{lines: []line{isRefused}}
		c := connectWith(t, client.Options{Transport: s, Patience: -1}, "a", "b")
		if _, err := c.Check(t.Context(), []string{"x"}); err == nil || s.hosts() != "a b" {
			t.Errorf("without patience: asked %s, %v", s.hosts(), err)
		}
		began := time.Now()
		c = connectWith(t, client.Options{Transport: s, Patience: time.Minute}, "a", "b")
		if _, err := c.Check(t.Context(), []string{"x"}); err == nil || time.Since(began) < 50*time.Second {
			t.Errorf("with a minute of it: %v after %v", err, time.Since(began))
		}
	})
}

func TestItIsSaidWhetherTheOutcomeIsKnown(t *testing.T) {
	atLimit := line{status: 429, body: `{"error":"limit","message":"too many"}`}
	unknownToIt := line{status: 401, body: `{"error":"unauthenticated","message":"who are you"}`}
	notAllowed := line{status: 403, body: `{"error":"forbidden","message":"not this key"}`}
	isLocked := line{status: 423, body: `{"error":"locked","message":"held","blockers":[{"key":"x","uid":"v","version":1,"exp":1,"mode":"exclusive","waiting":false}]}`}
	for name, test := range map[string]struct {
		lines   []line
		code    holdfast.Code
		unknown bool
	}{
		"never connected":              {[]line{isRefused}, holdfast.CodeUnavailable, false},
		"always busy":                  {[]line{isBusy}, holdfast.CodeUnavailable, false},
		"reset":                        {[]line{isReset}, holdfast.CodeUnavailable, true},
		"silent":                       {[]line{{after: time.Hour}}, holdfast.CodeUnavailable, true},
		"a gateway":                    {[]line{isGateway}, holdfast.CodeUnavailable, true},
		"a proxy that speaks JSON":     {[]line{isProxy}, holdfast.CodeUnavailable, true},
		"unclear, then refused":        {[]line{isUnclear, isRefused}, holdfast.CodeUnavailable, true},
		"reset, then busy":             {[]line{isReset, isBusy}, holdfast.CodeUnavailable, true},
		"at a limit":                   {[]line{atLimit}, holdfast.CodeLimit, false},
		"reset, then at a limit":       {[]line{isReset, atLimit}, holdfast.CodeLimit, true},
		"reset, then not known":        {[]line{isReset, unknownToIt}, holdfast.CodeUnauthenticated, true},
		"reset, then not allowed":      {[]line{isReset, notAllowed}, holdfast.CodeForbidden, true},
		"reset, then held by somebody": {[]line{isReset, isLocked}, holdfast.CodeLocked, false},
	} {
		t.Run(name, func(t *testing.T) {
			follow(t, "a b", test.lines, func(t *testing.T, c *client.Client, _ *script) {
				_, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x")})
				refusal, ok := errors.AsType[*holdfast.Error](err)
				if !ok || refusal.Code != test.code || refusal.OutcomeUnknown != test.unknown {
					t.Errorf("got %+v", err)
				}
			})
		})
	}
}

func TestALockIsRepeatedWithWhatIsLeftOfItsWait(t *testing.T) {
	lines := []line{{err: errReset, after: 40 * time.Second}, isRefused, isGranted}
	follow(t, "a b", lines, func(t *testing.T, c *client.Client, s *script) {
		grant, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Wait: time.Minute})
		if err != nil || len(grant.Tokens) != 1 || grant.Tokens[0].Version != 7 || grant.Exp != time.Second {
			t.Fatalf("got %v, %v", grant, err)
		}
		want := []string{`"wait":60000`, `"wait":20000`, `"wait":19`}
		for i, want := range want {
			if !strings.Contains(s.sent[i].text, want) {
				t.Errorf("request %d: %s; want %s", i, s.sent[i].text, want)
			}
		}
	})
}

// Each attempt takes longer than that, and nobody was served meanwhile.
func TestASilentServerIsNotAskedForEver(t *testing.T) {
	for _, plain := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{lines: []line{{after: 100 * time.Hour}}}
			c := connectWith(t, client.Options{Transport: s, Plain: plain, Patience: 4 * time.Second}, "a", "b")
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			_, err := c.Lock(ctx, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x")})
			if holdfast.ErrorCode(err) != holdfast.CodeUnavailable || time.Since(began) > 30*time.Second {
				t.Errorf("plain %v: %v after %v", plain, err, time.Since(began))
			}
		})
	}
}

// It is said in words, not in those of a context that nobody knows of.
func TestItIsSaidThatAServerIsSilent(t *testing.T) {
	for name, call := range map[string]func(context.Context, *client.Client) error{
		"check":  func(ctx context.Context, c *client.Client) error { _, err := c.Check(ctx, []string{"x"}); return err },
		"get":    func(ctx context.Context, c *client.Client) error { _, err := c.Get(ctx, "x"); return err },
		"backup": func(ctx context.Context, c *client.Client) error { return c.Backup(ctx, io.Discard, "") },
	} {
		follow(t, "a", []line{{after: 100 * time.Hour}}, func(t *testing.T, c *client.Client, _ *script) {
			if err := call(t.Context(), c); err == nil || !strings.Contains(err.Error(), "a does not answer: it takes too long") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// Who would stand in line for long does not wait so long for a server that does
// not even answer whether it has a stream.
func TestASilentServerDoesNotKeepWhoWouldStandInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{lines: []line{isGranted}}
		silent := roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "b" {
				return s.RoundTrip(r)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c := connectWith(t, client.Options{Transport: silent}, "a", "b")
		began := time.Now()
		_, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Wait: time.Hour})
		if err != nil || time.Since(began) > 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Nor when it is asked again because the others cannot serve either.
func TestASilentServerDoesNotKeepWhoAsksItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &script{lines: []line{isGranted}}
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			switch {
			case r.URL.Host == "b" && time.Since(began) < 7*time.Second:
				return nil, errRefused
			case r.URL.Host == "b":
				return s.RoundTrip(r)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c := connectWith(t, client.Options{Transport: transport}, "a", "b")
		_, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Wait: time.Hour})
		if err != nil || time.Since(began) > 20*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// One that is silent about a stream alone is asked to wait all the same.
func TestASilentProxyDoesNotKeepFromStandingInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			switch r.URL.Path {
			case "/stream":
				<-r.Context().Done()
				return nil, r.Context().Err()
			case "/ping":
				return (&script{lines: []line{{status: 200, body: "pong"}}}).RoundTrip(r)
			}
			granted := isGranted
			granted.after = 10 * time.Minute
			return (&script{lines: []line{granted}}).RoundTrip(r)
		})
		c := connectWith(t, client.Options{Transport: transport}, "a")
		if _, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Wait: time.Hour}); err != nil {
			t.Error(err)
		}
	})
}

// However long it has stood in line: patience is for servers that are away.
func TestALockThatWasServedForLongIsRepeated(t *testing.T) {
	lines := []line{isRefused, {err: errReset, after: time.Hour}, isRefused, isRefused, isGranted}
	follow(t, "a", lines, func(t *testing.T, c *client.Client, _ *script) {
		if _, err := c.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Wait: 2 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	})
}

// By the time of a second attempt, somebody else may hold the key.
func TestAForcedReleaseIsNotRepeatedWhenItMayHaveHappened(t *testing.T) {
	released := line{status: 200, body: `{"released":[{"key":"a/b","uid":"u","version":7}]}`}
	force := func(t *testing.T, c *client.Client) error {
		_, err := c.Force(t.Context(), holdfast.ForceRequest{Key: "a/b", Reason: "stuck & old"})
		return err
	}
	follow(t, "a b", []line{isReset, released}, func(t *testing.T, c *client.Client, s *script) {
		if err := force(t, c); holdfast.ErrorCode(err) != holdfast.CodeUnavailable || s.hosts() != "a" {
			t.Errorf("asked %s, got %v", s.hosts(), err)
		}
	})
	follow(t, "a b", []line{isRefused, isBusy, released}, func(t *testing.T, c *client.Client, s *script) {
		if err := force(t, c); err != nil || s.hosts() != "a b a" {
			t.Errorf("asked %s, got %v", s.hosts(), err)
		}
		if want := "DELETE /locks/a%2Fb?reason=stuck+%26+old"; s.sent[2].text != want {
			t.Errorf("sent %s", s.sent[2].text)
		}
	})
}

func TestWhatIsNoLockServiceIsNotAskedAgain(t *testing.T) {
	for _, answer := range []line{{status: 404, body: "not here"}, {status: 301}, {status: 200, body: "<html>Welcome"}} {
		follow(t, "a b", []line{answer}, func(t *testing.T, c *client.Client, s *script) {
			_, err := c.Check(t.Context(), []string{"x"})
			if holdfast.ErrorCode(err) != holdfast.CodeUnavailable || s.hosts() != "a" {
				t.Errorf("asked %s, got %v", s.hosts(), err)
			}
		})
	}
}

// Another service may answer every call with 200 and JSON of its own. That must
// not look like keys that are free, or were granted.
func TestTheJSONOfAnotherServiceIsNoAnswer(t *testing.T) {
	for name, call := range map[string]func(context.Context, *client.Client) error{
		"lock": func(ctx context.Context, c *client.Client) error {
			_, err := c.Lock(ctx, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x")})
			return err
		},
		"unlock": func(ctx context.Context, c *client.Client) error {
			_, err := c.Unlock(ctx, holdfast.UnlockRequest{UID: "u", Tokens: []holdfast.Token{{Key: "x", Version: 1}}})
			return err
		},
		"extend": func(ctx context.Context, c *client.Client) error {
			_, err := c.Extend(ctx, holdfast.ExtendRequest{UID: "u"})
			return err
		},
		"check": func(ctx context.Context, c *client.Client) error { _, err := c.Check(ctx, []string{"x"}); return err },
		"list": func(ctx context.Context, c *client.Client) error {
			_, err := c.List(ctx, holdfast.ListRequest{})
			return err
		},
		"get": func(ctx context.Context, c *client.Client) error { _, err := c.Get(ctx, "x"); return err },
		"force": func(ctx context.Context, c *client.Client) error {
			_, err := c.Force(ctx, holdfast.ForceRequest{Key: "x"})
			return err
		},
		"cluster":   func(ctx context.Context, c *client.Client) error { _, err := c.Cluster(ctx); return err },
		"remove":    func(ctx context.Context, c *client.Client) error { return c.RemoveNode(ctx, "n1", "") },
		"step down": func(ctx context.Context, c *client.Client) error { return c.StepDown(ctx, "") },
	} {
		for _, body := range []string{`{}`, `null`, `{"status":"UP"}`} {
			t.Run(name+" "+body, func(t *testing.T) {
				follow(t, "a", []line{{status: 200, body: body}}, func(t *testing.T, c *client.Client, _ *script) {
					if err := call(t.Context(), c); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestTheEndOfCtxEndsAllPatience(t *testing.T) {
	for name, lines := range map[string][]line{"refused": {isRefused}, "busy": {isBusy}, "silent": {{after: time.Hour}}} {
		follow(t, "a", lines, func(t *testing.T, c *client.Client, s *script) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 1500*time.Millisecond, errEnough)
			defer cancel()
			began := time.Now()
			_, err := c.Check(ctx, []string{"x"})
			if !errors.Is(err, errEnough) || time.Since(began) != 1500*time.Millisecond {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
		})
	}
}

// A ctx of a few seconds is shorter than all patience: who gives up in a pause
// learns what it was that kept it waiting.
func TestTheEndOfCtxInAPauseTellsWhatWasWrong(t *testing.T) {
	follow(t, "a", []line{isRefused}, func(t *testing.T, c *client.Client, s *script) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := c.Lock(ctx, holdfast.LockRequest{UID: "me", Keys: holdfast.Keys("x")})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "a does not answer") || holdfast.ErrorCode(err) != "" {
			t.Errorf("error %v", err)
		}
	})
}

// A call that was given little time tells the next one that a server is silent.
func TestASilentServerIsLeft(t *testing.T) {
	follow(t, "a b", []line{{after: time.Hour}, isFree}, func(t *testing.T, c *client.Client, s *script) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Check(ctx, []string{"x"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		check(t, c)
		if s.hosts() != "a b" {
			t.Errorf("asked %s", s.hosts())
		}
	})
}

// A server that hears of the end of a wait, and says nothing, is not waited
// for long.
func TestASilentServerDoesNotKeepWhoLeavesTheLine(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.hold(client.Exp(5 * time.Hour))
		plain := connectWith(t, client.Options{Transport: w.network.transport(t), Plain: true}, "one")
		for _, c := range []*client.Client{w.client, plain} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Minute, func() {
				w.network.setCut(true)
				cancel(errEnough)
			})
			began := time.Now()
			_, err := c.Lock(ctx, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Wait: time.Hour})
			if took := time.Since(began) - time.Minute; err != errEnough || took > 2*time.Second {
				t.Errorf("%v, %v after the end of ctx", err, took)
			}
			w.network.setCut(false)
		}
	})
}

func TestNewRefusesWhatIsNoServer(t *testing.T) {
	for _, bad := range []string{"", "ftp://a", "http://", "http://a?b", "http://a b", "://"} {
		if _, err := client.New("http://good", bad); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAKeyIsOneSegmentOfThePath(t *testing.T) {
	state := line{status: 200, body: `{"key":"x","holders":[],"waiters":[]}`}
	for key, want := range map[string]string{
		"x": "x", ".": "%2E", "..": "%2E%2E", "...": "...", "a/../b": "a%2F..%2Fb", "//": "%2F%2F",
		"%2F": "%252F", "a b+c": "a%20b+c", "?#": "%3F%23", "ключ": "%D0%BA%D0%BB%D1%8E%D1%87",
	} {
		follow(t, "a", []line{state}, func(t *testing.T, c *client.Client, s *script) {
			if _, err := c.Get(t.Context(), key); err != nil || s.sent[0].text != "GET /locks/"+want {
				t.Errorf("%q: sent %v, %v", key, s.sent, err)
			}
		})
	}
}

func TestAServerMayBeWrittenInShort(t *testing.T) {
	for text, want := range map[string]string{
		"a:3000":            "a:3000 GET /locks/x",
		"http://a":          "a GET /locks/x",
		"https://a/":        "a GET /locks/x",
		"http://a/b%2Fc/d/": "a GET /b%2Fc/d/locks/x",
		"http://a/b":        "a GET /b/locks/x",
		"":                  "localhost:3000 GET /locks/x",
	} {
		follow(t, text, []line{{status: 200, body: `{"key":"x","holders":[],"waiters":[]}`}}, func(t *testing.T, c *client.Client, s *script) {
			if _, err := c.Get(t.Context(), "x"); err != nil || s.sent[0].host+" "+s.sent[0].text != want {
				t.Errorf("%q: sent %v, %v", text, s.sent, err)
			}
		})
	}
}
