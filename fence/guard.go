package fence

import (
	"context"
	"sync"

	"holdfast"
)

// Guard is a [Gate] in memory. Its zero value has seen nothing and is ready.
// It may be used from any number of goroutines, and must not be copied.
//
// It keeps one version for each key that it ever let pass, about 50 bytes
// beside the key, for as long as it lives: a key that it forgot would be open to
// the latecomer again. It does not outlive the process; when what it guards
// does, keep the versions there instead, or show them to [Guard.Check] at the
// start.
type Guard struct {
	mu     sync.Mutex
	newest map[string]uint64 // the newest version that passed, by key
	turns  map[string]*turn  // only keys that somebody uses or waits for
}

// turn is whose turn it is on one key: who has put something into the channel.
// Those who wait get it in the order in which they came.
type turn struct {
	taken chan struct{}
	users int // who has it or waits for it
}

var _ Gate = (*Guard)(nil)

// Check remembers the versions if none is older than the newest seen for its
// key; otherwise it remembers none and answers [ErrStale]. It waits while
// [Guard.Do] runs a function on one of the keys. What is done after it is not
// guarded by it: use it where a token is shown and nothing is written.
//
// Malformed tokens, and no tokens, are refused with [holdfast.CodeInvalid].
// When ctx ends first it answers the cause.
func (g *Guard) Check(ctx context.Context, tokens ...holdfast.Token) error {
	return g.Do(ctx, tokens, func() error { return nil })
}

// Do checks and remembers as [Guard.Check] does, then runs fn and answers its
// error. Until fn returns, nothing else passes on these keys, newer or not, so
// that the check and what fn writes are one step. The versions stay remembered
// when fn fails.
//
// A newer owner waits for fn: what fn does should be bounded in time. fn must
// not use the Guard with the same keys, which would wait for itself.
func (g *Guard) Do(ctx context.Context, tokens []holdfast.Token, fn func() error) error {
	tokens, err := normal(tokens)
	if err != nil {
		return err
	}
	if err := g.check(tokens, false); err != nil {
		return err // late already; there is nothing to wait for
	}
	for _, token := range tokens {
		if err := g.take(ctx, token.Key); err != nil {
			return err
		}
		defer g.leave(token.Key, true)
	}
	if err := g.check(tokens, true); err != nil {
		return err
	}
	return fn()
}

// check answers ErrStale if a token is older than the newest seen. To remember
// them the caller has the turn on every key.
func (g *Guard) check(tokens []holdfast.Token, remember bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, token := range tokens {
		if newest := g.newest[token.Key]; token.Version < newest {
			return &staleError{token, newest}
		}
	}
	if !remember {
		return nil
	}
	if g.newest == nil {
		g.newest = make(map[string]uint64)
	}
	for _, token := range tokens {
		g.newest[token.Key] = token.Version
	}
	return nil
}

// take waits for the turn on a key.
func (g *Guard) take(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	g.mu.Lock()
	t := g.turns[key]
	if t == nil {
		if g.turns == nil {
			g.turns = make(map[string]*turn)
		}
		t = &turn{taken: make(chan struct{}, 1)}
		g.turns[key] = t
	}
	t.users++
	g.mu.Unlock()

	select {
	case t.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		g.leave(key, false)
		return context.Cause(ctx)
	}
}

// leave gives the turn on a key to the next, or, when it was not had, only
// stops waiting for it.
func (g *Guard) leave(key string, had bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.turns[key]
	if had {
		<-t.taken
	}
	if t.users--; t.users == 0 {
		delete(g.turns, key)
	}
}
