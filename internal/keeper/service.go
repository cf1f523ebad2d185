package keeper

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/table"
)

// Log is the way of commands to the keeper.
type Log interface {
	// Propose has the command carried out by [Keeper.Apply] and gives its
	// result. When ctx ends before the command is on its way, the error is
	// that of ctx; later it is an [*holdfast.Error] with CodeUnavailable.
	Propose(ctx context.Context, cmd table.Command) (Result, error)

	// Verify returns when the keeper knows everything that was answered
	// before the call.
	Verify(ctx context.Context) error
}

// Service is the part of a [holdfast.Service] that all stores with a keeper
// have in common.
type Service struct {
	keeper  *Keeper
	log     Log
	keep    time.Duration
	limits  table.Limits
	closing chan struct{}
	once    sync.Once
	late    sync.WaitGroup // those who keep a place
}

var _ holdfast.Service = (*Service)(nil)

// NewService gives a service over a keeper and the log that leads to it. It
// keeps for so long the place of a client that has lost the server through
// which it asked; see ErrLost.
func NewService(k *Keeper, log Log, keep time.Duration) *Service {
	return &Service{keeper: k, log: log, keep: keep, closing: make(chan struct{})}
}

// ErrLost is the cause with which the ctx of a Lock ends when a server that
// passed it on is gone. Its client did not say goodbye, and may come back
// through another server: the place in line is kept for a while (rule 9), and
// what it was granted is only taken back then.
var ErrLost = errors.New("the server in between is gone")

// Limit sets how much there may be. It must be called before the first request;
// a request beyond a limit is refused with CodeLimit.
func (s *Service) Limit(limits table.Limits) { s.limits = limits }

// Stop answers whoever waits or watches with CodeUnavailable, and so every
// later request that would have to wait.
func (s *Service) Stop() {
	s.once.Do(func() { close(s.closing) })
	s.keeper.feed.Close()
}

// Wait returns when nothing of this service runs any more, after Stop and the
// last request.
func (s *Service) Wait() { s.late.Wait() }

// ErrStopping is the answer of a service that is shutting down.
func ErrStopping() error { return holdfast.Unavailable(nil, "the service is shutting down") }

// Lock grants all keys or none.
func (s *Service) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	grant, wait, err := StartLock(ctx, s, req)
	if wait != nil {
		return wait(ctx)
	}
	return grant, err
}

// StartLock is what [Start] asks for. It is no method, so that a store in which
// a Service is embedded has none either: its requests may have to go another
// way.
func StartLock(ctx context.Context, s *Service, req holdfast.LockRequest) (
	_ holdfast.Grant, wait func(context.Context) (holdfast.Grant, error), _ error,
) {
	req, err := req.Normal()
	if err != nil {
		return holdfast.Grant{}, nil, err
	}
	var end time.Time
	if req.Wait > 0 {
		end = time.Now().Add(req.Wait)
	}
	grant, c, err := s.put(ctx, req, false)
	if c == nil {
		return grant, nil, err
	}
	return holdfast.Grant{}, func(ctx context.Context) (holdfast.Grant, error) { return s.stand(ctx, req, c, end) }, nil
}

// put asks the table once. It gives the call that the request stands in line
// with then; or that has stood there since before, if it is refused. It may
// have stood in line before it is put again.
func (s *Service) put(ctx context.Context, req holdfast.LockRequest, stood bool) (holdfast.Grant, *call, error) {
	r, err := s.propose(ctx, &table.Command{
		Op: table.Lock, UID: req.UID, Keys: req.Keys, Exp: req.Exp, Note: req.Note, Wait: req.Wait > 0,
		Limits: s.limits,
	})
	switch {
	case err != nil && stood:
		return holdfast.Grant{}, nil, holdfast.Unknown(err)
	case err != nil:
		return holdfast.Grant{}, nil, err
	case r.Status == table.Granted && ctx.Err() != nil:
		return holdfast.Grant{}, nil, s.unheard(ctx, req.UID, r.Tokens)
	case r.Status == table.Granted:
		return holdfast.Grant{Tokens: r.Tokens, Exp: r.Exp}, nil, nil
	case r.Status == table.Limited:
		return holdfast.Grant{}, nil, &holdfast.Error{Code: holdfast.CodeLimit, Message: r.OverLimit, RetryAfter: time.Second}
	case r.Status == table.Deadlock:
		return holdfast.Grant{}, nil, holdfast.Deadlock(r.Cycle)
	case r.Status == table.Refused && r.call == nil:
		return holdfast.Grant{}, nil, holdfast.Locked(r.Blockers)
	}
	return holdfast.Grant{}, r.call, nil
}

// stand waits in line until end. A refusal is the last word, so who is refused
// while the same request stands there since before leaves it first.
func (s *Service) stand(ctx context.Context, req holdfast.LockRequest, c *call, end time.Time) (holdfast.Grant, error) {
	for {
		grant, again, err := s.await(ctx, c, end)
		if !again {
			return grant, err
		}
		// The line was left without an answer, perhaps since a new leader knows
		// nobody who waits here.
		if grant, c, err = s.put(ctx, req, true); c == nil {
			return grant, err
		}
	}
}

// await waits for the grant of a call until end. It leaves everything in good
// order: the line without a request that nobody waits for any more, and no
// hold behind that its owner does not hear of. Again says that the call was
// over without a grant, and the place may be there still; or that nothing is left
// of the grant.
func (s *Service) await(ctx context.Context, c *call, end time.Time) (_ holdfast.Grant, again bool, _ error) {
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-c.over:
	case <-timer.C:
	case <-ctx.Done():
	case <-s.closing:
	}
	left := ctx.Err() != nil
	if left && context.Cause(ctx) == ErrLost {
		s.keeper.keep(c)
		s.leaveLater(c)
		return holdfast.Grant{}, false, ErrLost
	}
	if !left && s.stopping() && !c.isOver() {
		// The place stays: a store that keeps it will have it for the client
		// that comes back.
		return holdfast.Grant{}, false, holdfast.Unknown(ErrStopping())
	}
	blockers, sentAway, others, err := s.leave(ctx, c)
	granted := !others && c.grant != nil
	switch {
	case granted && !left:
		exp := remaining(c.until) // it may have had to leave first, which takes a while
		if exp == 0 {
			s.keeper.undo(c.grant.UID, c.grant.Tokens) // nobody is told; what is there still is asked for again
		}
		return holdfast.Grant{Tokens: slices.Clone(c.grant.Tokens), Exp: exp}, exp == 0, nil
	case granted:
		return holdfast.Grant{}, false, s.unheard(ctx, c.grant.UID, c.grant.Tokens)
	case left && (sentAway || err != nil):
		return holdfast.Grant{}, false, holdfast.Unknown(context.Cause(ctx))
	case left:
		return holdfast.Grant{}, false, context.Cause(ctx)
	case sentAway:
		return holdfast.Grant{}, true, nil // even if it is too late to wait
	case err != nil:
		return holdfast.Grant{}, false, holdfast.Unknown(err)
	}
	return holdfast.Grant{}, false, holdfast.Locked(blockers)
}

// leaveLater leaves a place that is kept, unless somebody has a use for it then.
func (s *Service) leaveLater(c *call) {
	s.later(func() {
		if s.keeper.giveUp(c) {
			s.await(gone(), c, time.Now())
		}
	})
}

// later puts in order what a client leaves behind of which only the server in
// between is gone, or what could not be put in order at once, when its place was
// kept for long enough.
func (s *Service) later(putInOrder func()) {
	if s.stopping() {
		return // nobody may wait for it any more
	}
	s.late.Go(func() {
		select {
		case <-time.After(s.keep):
			putInOrder()
		case <-s.closing:
		}
	})
}

// leave takes one request from a call, and the call out of the line when that
// was the last one. It says who was in the way. SentAway says that the call or
// the place was over already: if it has no grant, the place may be there still,
// or was granted after all had been sent away. Others says that the same request
// waits on there, and is the only one to hear of a grant.
func (s *Service) leave(ctx context.Context, c *call) (blockers []holdfast.Blocker, sentAway, others bool, err error) {
	cancel, blockers, over := s.keeper.detach(c)
	if cancel == nil {
		return blockers, over, !over, nil
	}
	r, err := s.log.Propose(context.WithoutCancel(ctx), *cancel)
	sentAway = err == nil && len(r.Blockers) == 0 // a place in line has somebody in its way
	others, kept := s.keeper.detached(c, err != nil)
	if kept {
		s.leaveLater(c)
	}
	return r.Blockers, sentAway, others, err
}

// unheard undoes a grant of which its client does not hear (rule 9), and gives
// the answer.
func (s *Service) unheard(ctx context.Context, uid string, tokens []holdfast.Token) error {
	cause := context.Cause(ctx)
	if cause == ErrLost {
		s.later(func() { s.takeBack(uid, tokens) })
	} else if !s.takeBack(uid, tokens) {
		return holdfast.Unknown(cause)
	}
	return cause
}

// takeBack undoes a grant as far as its owner does not know of it. It says false if
// that is not at all, or cannot be done now.
func (s *Service) takeBack(uid string, tokens []holdfast.Token) bool {
	undo := s.keeper.undo(uid, tokens)
	if undo == nil {
		return false
	}
	_, err := s.log.Propose(context.Background(), *undo)
	if err != nil {
		s.keeper.postpone(uid, undo.Tokens)
		s.later(func() { s.takeBack(uid, undo.Tokens) })
	}
	return err == nil
}

// Abandon puts in order what a Lock or Extend command has done whose result
// nobody waits for any more. Of other commands it does nothing.
func (s *Service) Abandon(cmd *table.Command, r Result) {
	switch {
	case r.Status == table.Granted, cmd.Op == table.Extend:
		s.takeBack(cmd.UID, r.Tokens)
	case r.call != nil:
		s.await(gone(), r.call, time.Now())
	}
}

// gone is the ctx of a client that is gone.
func gone() context.Context {
	ctx, leave := context.WithCancel(context.Background())
	leave()
	return ctx
}

// Unlock releases what req names exactly.
func (s *Service) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	r, err := s.propose(ctx, &table.Command{Op: table.Unlock, UID: req.UID, Tokens: req.Tokens})
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(r.Tokens))
	for i, token := range r.Tokens {
		keys[i] = token.Key
	}
	return keys, nil
}

// Extend starts the life of holds anew.
func (s *Service) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	req, err := req.Normal()
	if err != nil {
		return holdfast.Extension{}, err
	}
	r, err := s.propose(ctx, &table.Command{Op: table.Extend, UID: req.UID, Tokens: req.Tokens, Exp: req.Exp})
	if err != nil {
		return holdfast.Extension{}, err
	}
	return holdfast.Extension{Tokens: r.Tokens, Lost: r.Lost, Exp: r.Exp}, nil
}

// Force releases a key whoever holds it.
func (s *Service) Force(ctx context.Context, req holdfast.ForceRequest) ([]holdfast.Released, error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	r, err := s.propose(ctx, &table.Command{Op: table.Force, Key: req.Key, Reason: req.Reason})
	if err != nil {
		return nil, err
	}
	return r.Freed, nil
}

func (s *Service) propose(ctx context.Context, cmd *table.Command) (Result, error) {
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	return s.log.Propose(ctx, *cmd)
}

func (s *Service) stopping() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Check says whether anybody holds one of the keys.
func (s *Service) Check(ctx context.Context, keys []string) (bool, error) {
	if err := holdfast.ValidKeys(keys); err != nil {
		return false, err
	}
	if err := s.verify(ctx); err != nil {
		return false, err
	}
	return s.keeper.held(keys), nil
}

// List gives a page of the keys that are held or waited for.
func (s *Service) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	req, err := req.Normal()
	if err != nil {
		return holdfast.Page{}, err
	}
	if err := s.verify(ctx); err != nil {
		return holdfast.Page{}, err
	}
	return s.keeper.list(req), nil
}

// Get gives the state of one key.
func (s *Service) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	if err := holdfast.ValidKey(key); err != nil {
		return holdfast.Lock{}, err
	}
	if err := s.verify(ctx); err != nil {
		return holdfast.Lock{}, err
	}
	return s.keeper.get(key), nil
}

// Count says how much this process knows of, which may be a moment old where
// the state is replicated: it asks nobody else.
func (s *Service) Count(context.Context) (holdfast.Count, error) { return s.keeper.size(), nil }

// Watch follows what happens.
func (s *Service) Watch(ctx context.Context, req holdfast.WatchRequest) (iter.Seq2[holdfast.Event, error], error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	if err := s.verify(ctx); err != nil {
		return nil, err
	}
	return s.keeper.feed.Watch(ctx, req), nil
}

func (s *Service) verify(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.log.Verify(ctx)
}
