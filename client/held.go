package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast"
)

var (
	// ErrLost is why a hold that was not unlocked is over. It comes as one of
	// the next two.
	ErrLost = errors.New("the hold is lost")

	// ErrEnded is an [ErrLost]: a server says that the hold is over. It was
	// released by force, it ran out, or a server that keeps its state in
	// memory has forgotten it. Somebody else may hold the keys by now.
	ErrEnded = fmt.Errorf("%w: it has ended on the server", ErrLost)

	// ErrNotExtended is an [ErrLost]: no server could be reached in time, or
	// this process was stopped for too long. Nobody else can hold the keys yet
	// when the context of the hold ends with it, but soon may.
	ErrNotExtended = fmt.Errorf("%w: it could not be extended in time", ErrLost)

	// ErrUnlocked is why a hold that was unlocked is over.
	ErrUnlocked = errors.New("the hold was unlocked")
)

const (
	// A hold is extended when a third of its exp has passed. An attempt may
	// take a fifth of exp and the pause after it a thirtieth, so that two may
	// fail before the third must not. With five servers or more, which are
	// there so that several may die at once, attempts are that much shorter:
	// a live server is asked before two thirds have passed.
	renewals = 3
	attempts = 5
	pauses   = 30

	// The last tenth of a hold's life is not used: it is the time that its
	// owner has to stop.
	reserve = 10

	// The clock is looked at several times between two extensions, because a
	// timer stands still while the machine is suspended.
	looks = 9

	// tries is how often to ask for a hold that is over by the time that its
	// owner hears of it. If no machine was suspended, its exp is too short.
	tries = 3

	// unlockWithin is how long to try to give back what the caller has no ctx
	// for any more.
	unlockWithin = 5 * time.Second
)

// Held is a hold on one or more keys that is extended in the background, until
// it is unlocked or lost. It is safe for concurrent use.
type Held struct {
	client *Client
	uid    string
	exp    time.Duration
	bind   bool
	tokens []holdfast.Token

	ctx    heldContext
	cancel context.CancelCauseFunc // of ctx

	stop    context.CancelFunc // ends the extending
	renewer sync.WaitGroup

	mu      sync.Mutex
	lives   instant       // when its life last began, or a little before that
	life    time.Duration // how long it lives from then on
	trouble error         // why the last extension failed, if it did
	err     error         // why the hold is over, if it is
	watch   *time.Timer   // for the end of its life

	unlocking sync.Mutex // one at a time tells the server
	told      bool       // the server may have been told
	unlocked  bool       // the server has been told
}

// Hold asks for keys, stands in line until it is granted them, and then keeps
// them until Unlock is called or they are lost.
//
// ctx is for the waiting, and for what is done with the hold: when it ends,
// [Held.Context] ends. The keys stay locked until they are unlocked all the
// same. Hold returns the refusal of [Client.Lock], or an error that wraps the
// cause of ctx; and [ErrEnded], when the answers take longer than the hold lives.
func (c *Client) Hold(ctx context.Context, keys []holdfast.Ask, options ...Option) (*Held, error) {
	held, _, err := c.hold(ctx, asking(keys, options))
	return held, err
}

// hold is Hold. Loose says that the keys were granted and could not be given
// back: an Unlock may be on its way still, and end what the same uid is granted
// meanwhile, since that has the same version.
func (c *Client) hold(ctx context.Context, req asked) (_ *Held, loose bool, err error) {
	if req.LockRequest, err = req.Normal(); err != nil {
		return nil, false, err
	}
	for range tries {
		began := now()
		grant, tie, err := c.lock(ctx, req)
		for req.endless && holdfast.ErrorCode(err) == holdfast.CodeLocked {
			grant, tie, err = c.lock(ctx, req) // nobody may stand in line for longer than MaxWait at once
		}
		if err != nil {
			return nil, false, err
		}
		// What is not bound now never is: it would be by an extension whose answer
		// is lost as well, and then end long before its exp.
		granted := req
		granted.bind = tie.grace > 0
		tokens, life := grant.Tokens, lifeOf(req.Exp, tie.grace)
		if began.since() > life/renewals {
			// It stood in line, and nobody on this side knows since when it has
			// been granted. From an extension on, it is known.
			began = now()
			tokens, life, err = c.extendOnce(ctx, granted, tokens, life)
		}
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case err == nil && len(tokens) == len(grant.Tokens) && (granted.bind || !tie.unsure):
			return c.newHeld(ctx, granted, tokens, life, began), false, nil
		}
		// A part may be gone: the answers took longer than the hold lives. Or a
		// connection that is lost may take all of it away.
		left := c.giveBack(ctx, req.UID, grant.Tokens)
		if err == nil {
			err = left
		}
		if err != nil {
			return nil, left != nil, err
		}
	}
	return nil, false, fmt.Errorf("%w before that was known here: an exp of %v is too short", ErrEnded, req.Exp)
}

// lifeOf is how long a hold lives at least after it was extended. If it is
// bound, its connection may be lost at that moment.
func lifeOf(exp, grace time.Duration) time.Duration {
	if grace > 0 {
		return min(exp, grace)
	}
	return exp
}

// extendOnce extends a new grant, and gives the tokens that live on and for how
// long.
func (c *Client) extendOnce(
	ctx context.Context, req asked, tokens []holdfast.Token, life time.Duration,
) ([]holdfast.Token, time.Duration, error) {
	extension, grace, err := c.extend(ctx, holdfast.ExtendRequest{UID: req.UID, Tokens: tokens, Exp: req.Exp}, req.bind)
	return extension.Tokens, min(life, lifeOf(req.Exp, grace)), err
}

// giveBack unlocks tokens, whatever has become of ctx.
func (c *Client) giveBack(ctx context.Context, uid string, tokens []holdfast.Token) error {
	ctx, cancel := givingBack(ctx)
	defer cancel()
	_, err := c.Unlock(ctx, holdfast.UnlockRequest{UID: uid, Tokens: tokens})
	return err
}

// givingBack is a ctx to unlock in, whatever has become of ctx.
func givingBack(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), unlockWithin)
}

func (c *Client) newHeld(ctx context.Context, req asked, tokens []holdfast.Token, life time.Duration, began instant) *Held {
	h := &Held{client: c, uid: req.UID, exp: req.Exp, bind: req.bind, tokens: tokens, lives: began, life: life}
	h.ctx.held = h
	h.ctx.Context, h.cancel = context.WithCancelCause(ctx)
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	h.mu.Lock() // a hold whose life is short can be over before all of it is there
	defer h.mu.Unlock()
	h.renewer.Go(func() { h.renew(renewing) })
	h.watch = time.AfterFunc(0, h.look)
	return h
}

// UID is the owner of the hold.
func (h *Held) UID() string { return h.uid }

// Tokens are the keys with their versions, in the order asked. Versions grow
// from grant to grant: a resource that is shown them can refuse a latecomer.
func (h *Held) Tokens() []holdfast.Token { return slices.Clone(h.tokens) }

// Token is the token of one key; the zero Token if the key is none of those
// that were asked for.
func (h *Held) Token(key string) holdfast.Token {
	for _, token := range h.tokens {
		if token.Key == key {
			return token
		}
	}
	return holdfast.Token{}
}

// Context is for everything that may be done only while the keys are held. It
// ends before the hold can have run out on the server, with the ctx that Hold
// was given, or with Unlock; and with the next extension when somebody has
// released the hold by force. [context.Cause] says why.
//
// Its Err and Done look at the clock by themselves. So even a process that has
// been stopped for a while, and goes on before any timer has fired, sees that
// its hold is over.
func (h *Held) Context() context.Context { return &h.ctx }

// Err is nil while the keys are certainly held, unless somebody has released
// them by force since the last extension, and then says why they are not:
// [ErrEnded] or [ErrNotExtended], both of them [ErrLost], with more about it; or
// [ErrUnlocked]. After an Unlock it is ErrEnded as well if somebody had released
// them by force before that.
func (h *Held) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.check()
}

// Left is how much longer the hold can be used if it is not extended again: the
// time until its Context ends. It is zero when the hold is over.
func (h *Held) Left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.check() != nil {
		return 0
	}
	return h.left()
}

// Trouble is why the last attempt to extend the hold has failed; nil if it has
// not. The next one may do better.
func (h *Held) Trouble() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.trouble
}

// check is Err for those who have the mutex.
func (h *Held) check() error {
	if h.err == nil && h.left() <= 0 {
		if h.trouble != nil {
			h.over(fmt.Errorf("%w: %w", ErrNotExtended, h.trouble))
		} else {
			h.over(ErrNotExtended)
		}
	}
	return h.err
}

// left is Left while the hold is not over.
func (h *Held) left() time.Duration { return h.life - h.life/reserve - h.lives.since() }

// over ends the hold on this side.
func (h *Held) over(err error) {
	h.err = err
	h.watch.Stop()
	h.stop()
	h.cancel(err)
}

// look is called by the timer.
func (h *Held) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.check() == nil {
		h.watch.Reset(min(h.left(), h.life/looks))
	}
}

// renew extends the hold until ctx ends.
func (h *Held) renew(ctx context.Context) {
	for pause(ctx, h.rest()) {
		for !h.extend(ctx) {
			if !pause(ctx, h.part(pauses)) {
				return
			}
		}
	}
}

// rest is how long there is nothing to do.
func (h *Held) rest() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.life/renewals - h.lives.since()
}

// part is a part of its life.
func (h *Held) part(of time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.life / of
}

// extend asks for a new life. It says whether that has been settled.
func (h *Held) extend(ctx context.Context) bool {
	began := now()
	ctx, cancel := context.WithTimeoutCause(ctx, h.part(attempts*h.client.mayDie()), errNoAnswer)
	defer cancel()
	extension, grace, err := h.client.extend(ctx, holdfast.ExtendRequest{UID: h.uid, Tokens: h.tokens, Exp: h.exp}, h.bind)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.check() != nil: // nobody may use it any more, whatever the answer
	case err != nil:
		h.trouble = err
		return false
	case len(extension.Tokens) < len(h.tokens):
		h.over(ended(h.tokens, extension.Tokens))
	default:
		// A hold that was bound once goes on being extended as often, even if
		// this answer does not bind it: the server to which it was bound may be
		// another one, which releases it when nobody extends it within its grace.
		h.lives, h.life, h.trouble = began, min(h.life, lifeOf(h.exp, grace)), nil
	}
	return true
}

// mayDie is how many servers may be silent while the others serve; with too few
// for that, one.
func (c *Client) mayDie() time.Duration { return time.Duration(max(1, (len(c.servers)-1)/2)) }

var errNoAnswer = errors.New("no server answers")

// ended says what is missing in kept.
func ended(tokens, kept []holdfast.Token) error {
	for _, token := range tokens {
		if !slices.Contains(kept, token) {
			return fmt.Errorf("%w: key %q was released by force, or its time ran out", ErrEnded, token.Key)
		}
	}
	return ErrEnded
}

// Unlock gives the keys back. From the moment of the call the hold is over on
// this side; if the call fails, it ends on the server when its exp has passed,
// unless Unlock is called again. When all is done, or h is nil, Unlock does
// nothing. With a ctx that has ended it still tries for a moment, so that it
// can be deferred.
func (h *Held) Unlock(ctx context.Context) error {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	if h.check() == nil {
		h.over(ErrUnlocked)
	}
	h.mu.Unlock()
	h.renewer.Wait() // nothing of the hold outlives Unlock

	h.unlocking.Lock()
	defer h.unlocking.Unlock()
	if h.unlocked {
		return nil
	}
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = givingBack(ctx)
		defer cancel()
	}
	keys, first, err := h.client.unlock(ctx, holdfast.UnlockRequest{UID: h.uid, Tokens: h.tokens})
	if err == nil && first && !h.told && len(keys) < len(h.tokens) {
		h.missed(keys)
	}
	h.told, h.unlocked = true, err == nil
	return err
}

// missed notes that the server has unlocked these keys only. If the others
// cannot have run out, somebody has released them before.
func (h *Held) missed(unlocked []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != ErrUnlocked || h.left() <= 0 {
		return
	}
	kept := slices.DeleteFunc(slices.Clone(h.tokens), func(t holdfast.Token) bool { return !slices.Contains(unlocked, t.Key) })
	h.err = ended(h.tokens, kept)
}

// heldContext is a context that asks the clock.
type heldContext struct {
	context.Context // that is cancelled when the hold is over
	held            *Held
}

// Err looks at the clock before it answers.
func (c *heldContext) Err() error {
	_ = c.held.Err()
	return c.Context.Err()
}

// Done looks at the clock before it answers.
func (c *heldContext) Done() <-chan struct{} {
	_ = c.held.Err()
	return c.Context.Done()
}
