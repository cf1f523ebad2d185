package raftstore

import (
	"bytes"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// terms is where raft keeps its term and its vote. It knows the term that is on
// disk, and sees to it that a heartbeat does not change it.
//
// Raft takes heartbeats beside its other work, so that a slow disk does not
// hold them up. In hashicorp/raft v1.7.3 both may write a term at the same time:
// then the older one, if its write takes longer, is the one that counts in the
// end. A node has led like that by an earlier term than the one that it was
// elected in, and nothing that it said could be believed.
type terms struct {
	raft.StableStore
	turn chan struct{} // held while a term is written, and while a heartbeat is taken
	term atomic.Uint64
}

func newTerms(stable raft.StableStore) (*terms, error) {
	t := &terms{StableStore: stable, turn: make(chan struct{}, 1)}
	term, err := stable.GetUint64(keyCurrentTerm)
	if err != nil && err.Error() != errNotThere {
		return nil, err
	}
	t.term.Store(term)
	return t, nil
}

// errNotThere is how raft knows the error of a key without a value.
const errNotThere = "not found"

// SetUint64 comes back when the value is on disk.
func (t *terms) SetUint64(key []byte, value uint64) error {
	if !bytes.Equal(key, keyCurrentTerm) {
		return t.StableStore.SetUint64(key, value)
	}
	if value == t.term.Load() {
		return nil // it is there; a heartbeat gets no further
	}
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	err := t.StableStore.SetUint64(key, value)
	if err == nil {
		t.term.Store(value)
	}
	return err
}

// during has something done while the term is this one, and cannot change; it
// says false if it is another one.
func (t *terms) during(term uint64, do func()) bool {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	if t.term.Load() != term {
		return false
	}
	do()
	return true
}

// SetHeartbeatHandler sets who takes heartbeats beside all other messages. One
// of another term than the present one is left to raft's own goroutine, with
// the others.
func (t *mended) SetHeartbeatHandler(take func(raft.RPC)) {
	t.transport.SetHeartbeatHandler(func(rpc raft.RPC) {
		sent, ok := rpc.Command.(*raft.AppendEntriesRequest)
		if t.refuses(rpc) || ok && t.disk.terms.during(sent.Term, func() { take(rpc) }) {
			return
		}
		select {
		case t.rpcs <- rpc:
		case <-t.over:
		}
	})
}
