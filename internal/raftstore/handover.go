package raftstore

import (
	"context"
	"errors"
	"sync"

	"github.com/hashicorp/raft"
)

// handOver has another node lead. It waits no longer than the store is patient:
// raft has no answer for whom it has not heard when it is shut down, or when its
// disk does not come back.
func (s *Store) handOver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Patience)
	defer cancel()
	next, ok := s.successor(ctx)
	if !ok {
		return errors.New("none of the others answers")
	}
	return within(ctx, func() raft.Future { return s.raft.LeadershipTransferToServer(next.ID, next.Address) })
}

// successor gives, of the voters that answer, the one whose table is the furthest.
// Raft alone would pick one by what it has been sent, though it may have died since.
func (s *Store) successor(ctx context.Context) (next raft.Server, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, min(s.options.Node.electionTimeout(), s.options.Patience/2)) // the rest is for raft
	defer cancel()
	var mu sync.Mutex // guards next and furthest
	var furthest uint64
	var asked sync.WaitGroup
	for _, member := range otherVoters(s.servers(), s.peers.identity.ID) {
		asked.Go(func() {
			r, err := s.ask(ctx, member.Address, question{Op: askState})
			mu.Lock()
			defer mu.Unlock()
			if err == nil && (!ok || r.Applied > furthest) {
				next, furthest, ok = member, r.Applied, true
			}
		})
	}
	asked.Wait()
	return next, ok
}
