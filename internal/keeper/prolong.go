package keeper

import (
	"slices"

	"holdfast"
	"holdfast/internal/table"
)

// OnlyProlongs says whether a command would change nothing in the table: it
// asks for, or extends, only holds that are there, and for no longer than
// they live anyway.
func (k *Keeper) OnlyProlongs(cmd *table.Command) bool {
	switch cmd.Op {
	case table.Lock:
		if !k.sieve.mayHold(cmd.Keys[0].Key, cmd.UID) {
			return false
		}
	case table.Extend:
	default:
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.prolonged(cmd) != nil
}

// Prolong carries such a command out in the lease clock alone. It says false
// if the command is none any more: that one has to go through the log.
func (k *Keeper) Prolong(cmd *table.Command) (Result, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	holds := k.prolonged(cmd)
	if holds == nil {
		return Result{}, false
	}
	r := Result{Status: table.Done}
	if cmd.Op == table.Lock {
		r.Status = table.Granted
	}
	events := make([]holdfast.Event, len(holds))
	for i, h := range holds {
		r.Tokens = append(r.Tokens, holdfast.Token{Key: h.Key, Version: h.Version})
		events[i] = holdfast.Event{
			Type: holdfast.EventExtended, Key: h.Key, UID: h.UID, Mode: h.Mode, Limit: h.Limit,
			Version: h.Version, Exp: cmd.Exp, Note: h.Note,
		}
	}
	k.clock.Follow(events) // no deadline is earlier for it
	k.feed.Publish(events)
	k.counts.Extensions.Add(uint64(len(events)))
	r.Exp = remaining(k.tell(cmd.UID, r.Tokens))
	return r, true
}

// prolonged gives the holds that a command would only prolong; nil if it
// would do anything else. A hold that somebody means to end is another
// matter: whether it lives on is decided in the log.
func (k *Keeper) prolonged(cmd *table.Command) []holdfast.Hold {
	if k.clock == nil {
		return nil
	}
	holds := k.table.Prolongs(cmd)
	if slices.ContainsFunc(holds, func(h holdfast.Hold) bool { return k.clock.Doubted(h.Key, h.UID) }) {
		return nil
	}
	return holds
}
