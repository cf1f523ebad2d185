package keeper

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// owner asks, one thing after the other, for some of the keys. Now and then it
// asks twice at once, or is gone before it has its answer.
type owner struct {
	*trial
	uid  string
	rng  *rand.Rand
	told []holdfast.Token // and has not released since; for mu
}

var errStops = holdfast.Unavailable(nil, "the server is stopping")

func (o *owner) one(in int) bool { return o.rng.IntN(in) == 0 }

// upTo draws a duration.
func (o *owner) upTo(most time.Duration) time.Duration {
	return time.Duration(o.rng.Int64N(int64(most/time.Microsecond))) * time.Microsecond
}

func (o *owner) live() {
	for range 10 {
		o.ask()
		time.Sleep(o.upTo(3 * time.Millisecond))
		if o.one(2) {
			o.extend()
			time.Sleep(o.upTo(6 * time.Millisecond))
		}
		if o.one(20) {
			o.Force(context.Background(), holdfast.ForceRequest{Key: trialKeys[o.rng.IntN(len(trialKeys))]})
		}
		if !o.one(3) {
			o.release()
		}
	}
	o.release()
}

// ask asks for some keys, and waits for all answers.
func (o *owner) ask() {
	req := holdfast.LockRequest{UID: o.uid, Exp: o.exp * time.Duration(1+o.rng.IntN(2))}
	for _, key := range trialKeys {
		if o.one(2) {
			req.Keys = append(req.Keys, holdfast.Ask{Key: key, Mode: o.modes[key]})
		}
	}
	if len(req.Keys) == 0 {
		return
	}
	var all sync.WaitGroup
	for range 1 + o.rng.IntN(4)/3 {
		req.Wait = time.Duration(o.rng.IntN(3)) * 5 * time.Millisecond
		ctx, end := context.WithCancelCause(context.Background())
		defer end(nil)
		if o.one(2) {
			cause := []error{context.Canceled, ErrLost, errStops}[o.rng.IntN(3)]
			defer time.AfterFunc(o.upTo(12*time.Millisecond), func() { end(cause) }).Stop()
		}
		attempt := req
		all.Go(func() { o.lock(ctx, attempt) })
	}
	all.Wait()
}

func (o *owner) lock(ctx context.Context, req holdfast.LockRequest) {
	grant, err := o.Lock(ctx, req)
	o.say("%s asked for %v, and is told: %v %v %v", o.uid, req.Keys, grant.Tokens, grant.Exp, err)
	o.hear(grant.Tokens, grant.Exp)
	// What an earlier leader granted is not taken back by a later one: it
	// cannot know whether the owner has heard of it.
	refusal, known := errors.AsType[*holdfast.Error](err)
	if err != nil && o.changes && (!known || refusal.OutcomeUnknown) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, ask := range req.Keys {
			o.unsure[unsure{o.uid, ask.Key}] = true
		}
	}
}

// hear notes that the owner is told of holds.
func (o *owner) hear(tokens []holdfast.Token, exp time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, token := range tokens {
		now := time.Now()
		o.beliefs = append(o.beliefs, &belief{Owned: table.Owned{UID: o.uid, Token: token}, from: now, until: now.Add(exp)})
		if !slices.Contains(o.told, token) {
			o.told = append(o.told, token)
		}
	}
}

// extend extends all that the owner has, or what it was told of.
func (o *owner) extend() {
	req := holdfast.ExtendRequest{UID: o.uid, Exp: o.exp}
	if o.one(2) {
		req.Tokens = o.told
	}
	extension, err := o.Extend(context.Background(), req)
	o.say("%s extended %v, and is told: %v %v %v", o.uid, req.Tokens, extension.Tokens, extension.Exp, err)
	o.hear(extension.Tokens, extension.Exp)
}

// release gives back all that the owner was told of.
func (o *owner) release() {
	o.mu.Lock()
	for _, b := range o.beliefs {
		if now := time.Now(); b.UID == o.uid && b.until.After(now) {
			b.until = now
		}
	}
	o.mu.Unlock()
	for len(o.told) > 0 {
		if _, err := o.Unlock(context.Background(), holdfast.UnlockRequest{UID: o.uid, Tokens: o.told}); err == nil {
			o.told = nil
		}
		time.Sleep(time.Millisecond)
	}
}
