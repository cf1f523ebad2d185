package servicetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
)

const (
	// patience bounds every wait for what must come. Only a fault reaches it.
	patience = time.Minute

	// lateness is how much later than its time something may happen on a busy
	// machine. What an idle machine owes is for the stores' own tests.
	lateness = 5 * time.Second
)

// errSceneOver is the cause with which a scene ends the calls that are still
// under way.
var errSceneOver = errors.New("the scene is over")

// scene is one case at work: owners and keys with names of its own, and a
// language to say what they do and what must come of it. What does not come
// true ends the case.
type scene struct {
	*stage
	request holdfast.LockRequest // exp, wait and note of what is asked next
}

// stage is what all forms of one scene share.
type stage struct {
	t      *testing.T
	suite  *suite
	home   holdfast.Service // the one that a watcher stays with
	prefix string           // of every key and uid
	turn   atomic.Uint64

	ctx   context.Context // ends with the scene
	end   context.CancelCauseFunc
	calls sync.WaitGroup

	mu     sync.Mutex
	tokens map[[2]string]holdfast.Token // the newest by uid and key, in short names
}

// scene makes the scene for the next case.
func (s *suite) scene(t *testing.T) *scene {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := s.scenes
	s.scenes++
	st := &stage{
		t:      t,
		suite:  s,
		home:   s.target.Services[number%len(s.target.Services)],
		prefix: fmt.Sprintf("%s.%d/", s.name, number),
		tokens: map[[2]string]holdfast.Token{},
	}
	st.turn.Store(uint64(number))
	st.ctx, st.end = context.WithCancelCause(context.Background())
	// The exp is one that no case lives to see.
	return &scene{stage: st, request: holdfast.LockRequest{Exp: time.Minute}}
}

// play runs the case and then sees that nothing of it is left.
func (c *scene) play(run func(c *scene)) {
	defer c.tidy()
	run(c)
}

// tidy ends what is under way, gives everything back, and fails the case if
// anything is left under its prefix all the same.
func (c *scene) tidy() {
	c.t.Helper()
	c.end(errSceneOver)
	ended := make(chan struct{})
	go func() { c.calls.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		c.t.Errorf("a call did not return within %v of the end of its ctx", patience)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var left []holdfast.Lock
	var err error
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if left, err = c.giveAllBack(ctx); err == nil && len(left) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			c.t.Errorf("when the case was over, this was left: %+v (%v)", left, err)
			return
		case <-time.After(pause):
		}
	}
}

// giveAllBack unlocks every hold under the prefix, by its own uid and version,
// and tells what there was.
func (c *scene) giveAllBack(ctx context.Context) ([]holdfast.Lock, error) {
	page, err := c.service().List(ctx, holdfast.ListRequest{Prefix: c.prefix, Limit: holdfast.MaxPage})
	if err != nil {
		return nil, err
	}
	byUID := map[string][]holdfast.Token{}
	for _, lock := range page.Locks {
		for _, h := range lock.Holders {
			byUID[h.UID] = append(byUID[h.UID], holdfast.Token{Key: lock.Key, Version: h.Version})
		}
	}
	for uid, tokens := range byUID {
		for some := range slices.Chunk(tokens, holdfast.MaxKeys) {
			if _, err := c.service().Unlock(ctx, holdfast.UnlockRequest{UID: uid, Tokens: some}); err != nil {
				return page.Locks, err
			}
		}
	}
	return page.Locks, nil
}

// service gives the next of the target's services.
func (c *scene) service() holdfast.Service {
	services := c.suite.target.Services
	return services[c.turn.Add(1)%uint64(len(services))]
}

// soon is a ctx for a call that should be answered at once.
func (c *scene) soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.ctx, patience)
}

// name gives the key or uid that a short name stands for.
func (c *scene) name(short string) string { return c.prefix + short }

// names does so for several.
func (c *scene) names(short ...string) []string {
	long := make([]string, len(short))
	for i := range short {
		long[i] = c.name(short[i])
	}
	return long
}

// granted is the version of the hold on a key that a grant tells of; 0 without
// one. It may be older than the others, if the answer to an earlier request was
// lost.
func (c *scene) granted(grant holdfast.Grant, short string) uint64 {
	for _, token := range grant.Tokens {
		if token.Key == c.name(short) {
			return token.Version
		}
	}
	return 0
}

// short gives the name as the case wrote it.
func (c *scene) short(name string) string { return strings.TrimPrefix(name, c.prefix) }

// exp is the scene in which holds live so long.
func (c *scene) exp(d time.Duration) *scene {
	next := *c
	next.request.Exp = d
	return &next
}

// wait is the scene in which requests stand in line for so long.
func (c *scene) wait(d time.Duration) *scene {
	next := *c
	next.request.Wait = d
	return &next
}

// note is the scene in which requests carry this note.
func (c *scene) note(note string) *scene {
	next := *c
	next.request.Note = note
	return &next
}

// asking makes the request of uid for asks such as "x", "x shared" and
// "x shared 3".
func (c *scene) asking(uid string, asks []string) holdfast.LockRequest {
	req := c.request
	req.UID = c.name(uid)
	for _, ask := range asks {
		words := strings.Fields(ask)
		a := holdfast.Ask{Key: c.name(words[0])}
		if len(words) > 1 {
			if words[1] != "shared" {
				panic("servicetest: no such ask: " + ask)
			}
			a.Mode = holdfast.Shared
		}
		if len(words) > 2 {
			limit, err := strconv.Atoi(words[2])
			if err != nil {
				panic("servicetest: no such ask: " + ask)
			}
			a.Limit = limit
		}
		req.Keys = append(req.Keys, a)
	}
	return req
}

// inMode writes a name and a mode as a case does.
func (c *scene) inMode(name string, mode holdfast.Mode, limit int) string {
	text := c.short(name)
	if mode == holdfast.Shared {
		text += " shared"
	}
	if limit > 0 {
		text += " " + strconv.Itoa(limit)
	}
	return text
}

// eventually waits until what must come true is true.
func (c *scene) eventually(what string, is func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for pause := 200 * time.Microsecond; !is(); pause = min(2*pause, 10*time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("within %v it did not come true that %s", patience, what)
		}
		<-time.After(pause)
	}
}

// must ends the case if a call failed.
func (c *scene) must(err error, format string, args ...any) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// equal ends the case unless both lists are the same.
func equal[T comparable](c *scene, what string, got, want []T) {
	c.t.Helper()
	if !slices.Equal(got, want) {
		c.t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// together does the same for n owners at once and ends the case if it went
// wrong for one of them.
func (c *scene) together(n int, do func(i int) error) {
	c.t.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		c.t.Fatal(err)
	}
}
