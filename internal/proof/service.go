package proof

import (
	"context"
	"errors"
	"slices"

	"holdfast"
)

// Service puts the calls of a workload to a lock service and records them. The
// service must put each call to the store once: a client that asks again by
// itself would do two things under one answer.
type Service struct {
	To     holdfast.Service
	Record *Recorder
	Client string // who calls; for people
}

// Lock asks for keys.
func (s *Service) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	id := s.Record.begin(Op{
		Client: s.Client, Kind: Lock, UID: req.UID, Asks: slices.Clone(req.Keys),
		Exp: req.Exp.Milliseconds(), Wait: req.Wait.Milliseconds(),
	})
	grant, err := s.To.Lock(ctx, req)
	s.Record.end(id, func(op *Op) {
		op.answered(err)
		op.Held = grant.Tokens
	})
	return grant, err
}

// Unlock gives tokens back.
func (s *Service) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	id := s.Record.begin(Op{Client: s.Client, Kind: Unlock, UID: req.UID, Tokens: req.Tokens})
	keys, err := s.To.Unlock(ctx, req)
	s.Record.end(id, func(op *Op) {
		op.answered(err)
		for _, token := range req.Tokens {
			if len(keys) > len(op.Held) && keys[len(op.Held)] == token.Key {
				op.Held = append(op.Held, token)
			}
		}
		if len(op.Held) != len(keys) {
			op.Error = "unlock answered keys that were not asked, or in another order"
		}
	})
	return keys, err
}

// Extend starts the life of holds anew.
func (s *Service) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	id := s.Record.begin(Op{
		Client: s.Client, Kind: Extend, UID: req.UID, Tokens: req.Tokens, All: req.Tokens == nil,
		Exp: req.Exp.Milliseconds(),
	})
	extension, err := s.To.Extend(ctx, req)
	s.Record.end(id, func(op *Op) {
		op.answered(err)
		op.Held, op.Lost = extension.Tokens, extension.Lost
	})
	return extension, err
}

// Check asks whether anybody holds one of the keys.
func (s *Service) Check(ctx context.Context, keys []string) (bool, error) {
	id := s.Record.begin(Op{Client: s.Client, Kind: Look, Keys: keys})
	is, err := s.To.Check(ctx, keys)
	s.Record.end(id, func(op *Op) {
		op.answered(err)
		op.Is = is
	})
	return is, err
}

// Get asks for the state of a key.
func (s *Service) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	id := s.Record.begin(Op{Client: s.Client, Kind: Get, Keys: []string{key}})
	state, err := s.To.Get(ctx, key)
	s.Record.end(id, func(op *Op) {
		op.answered(err)
		op.Holders, op.Waiters = state.Holders, state.Waiters
	})
	return state, err
}

// answered notes what an error says of the outcome.
func (op *Op) answered(err error) {
	op.Outcome = Done
	if err == nil {
		return
	}
	op.Error, op.Outcome = err.Error(), Open
	refusal, ok := errors.AsType[*holdfast.Error](err)
	switch {
	case !ok:
	case refusal.Code == holdfast.CodeLocked:
		op.Outcome, op.Blockers = Locked, refusal.Blockers
		op.Left = refusal.OutcomeUnknown
	case refusal.Code == holdfast.CodeDeadlock:
		op.Outcome, op.Cycle = Deadlock, refusal.Cycle
	case !refusal.OutcomeUnknown:
		op.Outcome = Nothing
	}
}
