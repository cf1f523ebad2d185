package client

import (
	"context"
	"iter"
	"slices"
	"sync"

	"holdfast"
)

// Election lets those who campaign for the same key lead one after the other.
// It is one of them, and safe for concurrent use.
type Election struct {
	client  *Client
	key     string
	options []Option

	campaign chan struct{} // taken by the one who campaigns
	uid      string        // for who has taken it

	mu   sync.Mutex
	held *Held // the newest
}

// Leader is who leads. It is the zero Leader when nobody does.
type Leader struct {
	UID     string
	Version uint64 // grows from leader to leader
	Note    string
}

// Election takes part in the election for a key. Sending nothing, it is
// neither a candidate nor a leader yet. A [Note] is what others see of a
// leader beside its uid.
func (c *Client) Election(key string, options ...Option) *Election {
	return &Election{client: c, key: key, options: slices.Clone(options), campaign: make(chan struct{}, 1), uid: newUID()}
}

// Campaign stands for election, and returns when it has been won. The leader
// leads while the [Held] is valid: its Context ends before another one can
// lead, save after a release by force, and its Unlock resigns. Who campaigns
// while it leads is given the same one.
//
// Its errors are those of [Client.Hold]. With [holdfast.CodeUnavailable] no
// server could be reached within the client's patience: campaign again.
func (e *Election) Campaign(ctx context.Context) (*Held, error) {
	select {
	case e.campaign <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-e.campaign }()
	if held := e.newest(); held != nil {
		if held.Context().Err() == nil {
			return held, nil
		}
		// What was lost here, or ended with its ctx, can be there on the server
		// still. If it were taken up again, an Unlock of the old Held that comes
		// late would end the new one.
		if err := held.Unlock(ctx); err != nil {
			return nil, err
		}
	}
	options := append([]Option{UID(e.uid)}, e.options...)
	held, loose, err := e.client.hold(ctx, asking(holdfast.Keys(e.key), options))
	if loose {
		e.uid = newUID()
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = held
	return held, nil
}

func (e *Election) newest() *Held {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.held
}

// Resign lets the next one lead. It does nothing if this one does not lead; a
// Campaign that is under way ends with its ctx.
func (e *Election) Resign(ctx context.Context) error { return e.newest().Unlock(ctx) }

// Leader gives who leads now. By the time of the answer it may be over.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	state, err := e.client.Get(ctx, e.key)
	if err != nil || len(state.Holders) == 0 {
		return Leader{}, err
	}
	holder := state.Holders[0]
	return Leader{UID: holder.UID, Version: holder.Version, Note: holder.Note}, nil
}

// Observe gives who leads, and then each change, as soon as it happens. Who
// leads for less time than it takes to ask may go unseen. When a server is
// lost, it goes on at the next one. The sequence ends when ctx ends, without an
// error, or after yielding one, when no server can be reached within the
// client's patience.
func (e *Election) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		// Watching before looking: no change goes unnoticed in between.
		events, err := e.client.Watch(ctx, holdfast.WatchRequest{Prefix: e.key})
		var last Leader
		if err == nil {
			last, err = e.Leader(ctx)
		}
		if err != nil {
			if ctx.Err() == nil {
				yield(Leader{}, err)
			}
			return
		}
		if !yield(last, nil) {
			return
		}
		for event, err := range events {
			if err == nil && !e.concerns(&event) {
				continue
			}
			leader := last
			if err == nil {
				leader, err = e.Leader(ctx)
			}
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				yield(Leader{}, err)
				return
			case leader != last && !yield(leader, nil):
				return
			}
			last = leader
		}
	}
}

// concerns says whether another one may lead after an event.
func (e *Election) concerns(event *holdfast.Event) bool {
	switch event.Type {
	case holdfast.EventGap:
		return true
	case holdfast.EventGranted, holdfast.EventReleased, holdfast.EventExpired, holdfast.EventForced:
		return event.Key == e.key
	}
	return false
}
