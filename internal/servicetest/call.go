package servicetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast"
)

// errGone is the cause with which a case ends a call.
var errGone = errors.New("the client has gone")

// lock asks without standing in line, and is granted.
func (c *scene) lock(uid string, asks ...string) holdfast.Grant {
	c.t.Helper()
	grant, err := c.tryLock(uid, asks...)
	c.must(err, "%s asks for %q", uid, asks)
	return grant
}

// tryLock is lock for goroutines beside the case: it gives the error back. It
// stands in line for as long as the scene says.
func (c *scene) tryLock(uid string, asks ...string) (holdfast.Grant, error) {
	ctx, cancel := c.soon()
	defer cancel()
	req := c.asking(uid, asks)
	grant, err := c.service().Lock(ctx, req)
	if err == nil {
		err = c.keep(req, grant)
	}
	return grant, err
}

// keep looks at a grant, as every grant of every case is looked at, and
// remembers its tokens.
func (c *scene) keep(req holdfast.LockRequest, grant holdfast.Grant) error {
	req, err := req.Normal()
	if err != nil {
		return err
	}
	if len(grant.Tokens) != len(req.Keys) {
		return fmt.Errorf("%d tokens for %d keys: %v", len(grant.Tokens), len(req.Keys), grant.Tokens)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, token := range grant.Tokens {
		if token.Key != req.Keys[i].Key {
			return fmt.Errorf("token %d is for %q, but %q was asked", i, token.Key, req.Keys[i].Key)
		}
		if err := c.suite.record(token.Version, req.UID); err != nil {
			return err
		}
		c.tokens[[2]string{c.short(req.UID), c.short(token.Key)}] = token
	}
	return nil
}

// token gives the newest token of uid on the key.
func (c *scene) token(uid, key string) holdfast.Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tokens[[2]string{uid, key}]
}

// version gives the version of the newest token of uid on the key.
func (c *scene) version(uid, key string) uint64 { return c.token(uid, key).Version }

// newest gives the newest tokens of uid on several keys.
func (c *scene) newest(uid string, keys ...string) []holdfast.Token {
	tokens := make([]holdfast.Token, len(keys))
	for i, key := range keys {
		tokens[i] = c.token(uid, key)
	}
	return tokens
}

// unlock gives the newest tokens of uid on the keys back, and releases them
// all.
func (c *scene) unlock(uid string, keys ...string) {
	c.t.Helper()
	equal(c, "unlocked by "+uid, c.giveBack(uid, c.newest(uid, keys...)...), keys)
}

// giveBack unlocks with these tokens and tells which keys were released.
func (c *scene) giveBack(uid string, tokens ...holdfast.Token) []string {
	c.t.Helper()
	keys, err := c.tryGiveBack(uid, tokens...)
	c.must(err, "%s unlocks %v", uid, tokens)
	return keys
}

// tryGiveBack is giveBack for goroutines beside the case.
func (c *scene) tryGiveBack(uid string, tokens ...holdfast.Token) ([]string, error) {
	ctx, cancel := c.soon()
	defer cancel()
	keys, err := c.service().Unlock(ctx, holdfast.UnlockRequest{UID: c.name(uid), Tokens: tokens})
	for i := range keys {
		keys[i] = c.short(keys[i])
	}
	return keys, err
}

// tryUnlock is unlock for goroutines beside the case. It wants every token of
// the grant to be released.
func (c *scene) tryUnlock(uid string, grant holdfast.Grant) error {
	keys, err := c.tryGiveBack(uid, grant.Tokens...)
	if err == nil && len(keys) != len(grant.Tokens) {
		err = fmt.Errorf("%s gave %v back, but only %v were released", uid, grant.Tokens, keys)
	}
	return err
}

// extend extends what the tokens name, or, without tokens, everything that uid
// holds.
func (c *scene) extend(uid string, tokens ...holdfast.Token) holdfast.Extension {
	c.t.Helper()
	ctx, cancel := c.soon()
	defer cancel()
	req := holdfast.ExtendRequest{UID: c.name(uid), Tokens: tokens, Exp: c.request.Exp}
	extension, err := c.service().Extend(ctx, req)
	c.must(err, "%s extends %v", uid, tokens)
	return extension
}

// forceReason is the reason that every case gives.
const forceReason = "the case wants it"

// force releases the key, and tells whose holds it ended.
func (c *scene) force(key string) []string {
	c.t.Helper()
	ctx, cancel := c.soon()
	defer cancel()
	released, err := c.service().Force(ctx, holdfast.ForceRequest{Key: c.name(key), Reason: forceReason})
	c.must(err, "force %s", key)
	uids := make([]string, len(released))
	for i, r := range released {
		uids[i] = c.short(r.UID)
		if r.Key != c.name(key) || r.Version != c.version(uids[i], key) {
			c.t.Fatalf("force %s: released %+v, but the hold was %+v", key, r, c.token(uids[i], key))
		}
	}
	return uids
}

// get looks at one key.
func (c *scene) get(key string) holdfast.Lock {
	c.t.Helper()
	ctx, cancel := c.soon()
	defer cancel()
	lock, err := c.service().Get(ctx, c.name(key))
	c.must(err, "get %s", key)
	if lock.Key != c.name(key) {
		c.t.Fatalf("get %s: the answer is about %q", key, lock.Key)
	}
	return lock
}

// holder looks at the hold of uid on the key.
func (c *scene) holder(key, uid string) holdfast.Holder {
	c.t.Helper()
	for _, h := range c.get(key).Holders {
		if h.UID == c.name(uid) {
			return h
		}
	}
	c.t.Fatalf("%s does not hold %s", uid, key)
	return holdfast.Holder{}
}

// heldBy sees that exactly these hold the key, in this order and in these
// modes: "a", "a shared", "a shared 3". Nobody is no name.
func (c *scene) heldBy(key string, want ...string) {
	c.t.Helper()
	equal(c, "holders of "+key, c.holders(key), want)
}

func (c *scene) holders(key string) []string {
	c.t.Helper()
	var uids []string
	for _, h := range c.get(key).Holders {
		uids = append(uids, c.inMode(h.UID, h.Mode, h.Limit))
	}
	return uids
}

// line sees that exactly these stand in line for the key, in this order and
// with these asks.
func (c *scene) line(key string, want ...string) {
	c.t.Helper()
	equal(c, "line for "+key, c.waiters(key), want)
}

func (c *scene) waiters(key string) []string {
	c.t.Helper()
	var uids []string
	for _, w := range c.get(key).Waiters {
		uids = append(uids, c.inMode(w.UID, w.Mode, w.Limit))
	}
	return uids
}

// free sees that nobody holds or waits for the keys.
func (c *scene) free(keys ...string) {
	c.t.Helper()
	for _, key := range keys {
		c.heldBy(key)
		c.line(key)
	}
}

// call is a Lock that is under way.
type call struct {
	c    *scene
	uid  string
	asks []string
	req  holdfast.LockRequest

	sent   time.Time // before the request left
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when what follows is set

	grant    holdfast.Grant
	err      error
	answered time.Time
}

// start sends a request that stands in line for a minute, unless the scene
// says for how long, and does not wait for anything.
func (c *scene) start(uid string, asks ...string) *call {
	w := &call{c: c, uid: uid, asks: asks, req: c.asking(uid, asks), done: make(chan struct{})}
	if w.req.Wait == 0 {
		w.req.Wait = time.Minute
	}
	var ctx context.Context
	ctx, w.cancel = context.WithCancelCause(c.ctx)
	service := c.service()
	w.sent = time.Now()
	c.calls.Go(func() {
		defer close(w.done)
		defer w.cancel(nil)
		w.grant, w.err = service.Lock(ctx, w.req)
		w.answered = time.Now()
	})
	return w
}

// waits sends a request that has to stand in line, and comes back when it is
// seen there.
func (c *scene) waits(uid string, asks ...string) *call {
	c.t.Helper()
	places := func() (n int) {
		for _, ask := range c.asking(uid, asks).Keys {
			for _, waiter := range c.get(c.short(ask.Key)).Waiters {
				if waiter.UID == c.name(uid) {
					n++
				}
			}
		}
		return n
	}
	before := places()
	w := c.start(uid, asks...)
	c.eventually(fmt.Sprintf("%s stands in line for %q", uid, asks), func() bool {
		if w.over() {
			c.t.Fatalf("%s should stand in line for %q, but was answered: %v, %v", uid, asks, w.grant, w.err)
		}
		return places() > before
	})
	return w
}

// over says whether the call has returned.
func (w *call) over() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// answer waits until the call returns.
func (w *call) answer() (holdfast.Grant, error) {
	w.c.t.Helper()
	select {
	case <-w.done:
	case <-time.After(patience):
		w.c.t.Fatalf("%s, who asks for %q, was not answered within %v", w.uid, w.asks, patience)
	}
	if w.err == nil {
		w.c.must(w.c.keep(w.req, w.grant), "%s was granted %q", w.uid, w.asks)
	}
	return w.grant, w.err
}

// granted waits for the grant.
func (w *call) granted() holdfast.Grant {
	w.c.t.Helper()
	grant, err := w.answer()
	w.c.must(err, "%s, who asked for %q", w.uid, w.asks)
	return grant
}

// stillWaits sees that the request was not answered so far.
func (w *call) stillWaits() {
	w.c.t.Helper()
	if w.over() {
		w.c.t.Fatalf("%s should still stand in line for %q, but was answered: %v, %v", w.uid, w.asks, w.grant, w.err)
	}
}

// leaves ends the call's ctx, and sees that it returns the cause.
func (w *call) leaves() {
	w.c.t.Helper()
	w.cancel(errGone)
	if grant, err := w.answer(); !errors.Is(err, errGone) {
		w.c.t.Fatalf("%s left the line for %q: got %v, %v; want the cause of the end of ctx", w.uid, w.asks, grant, err)
	}
}
