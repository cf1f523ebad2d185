package raftstore

import "github.com/hashicorp/raft"

// behind gives raft entries of which this node has dropped some from its log
// in a way that it understands.
//
// A leader to which answers were lost sends again what this node has taken, has
// put into a snapshot, and has dropped from its log. In hashicorp/raft v1.7.3
// the node then says that it does not know the entry before them (raft's issue
// 86); so the leader sends older ones, which it knows even less, down to the
// first of all, and that one for ever.
//
// What is in a snapshot is committed, and so every leader that raft still
// listens to has the same. It is left out, and nothing need be compared.
//
// Raft may write to the log, and drop entries, while this looks at it. Then raft
// may refuse what it gets, and the leader sends it again.
func (t *mended) behind(sent *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	first, err := t.disk.log.FirstIndex()
	if err != nil || first > 0 && sent.PrevLogEntry >= first {
		return sent // raft can compare the entry before them
	}
	newest, err := t.disk.newest()
	if err != nil || newest == nil || sent.PrevLogEntry > newest.Index {
		return sent
	}
	rest, known := *sent, newest.Index
	for len(rest.Entries) > 0 && rest.Entries[0].Index <= known {
		rest.Entries = rest.Entries[1:]
	}
	if n := len(rest.Entries); n > 0 {
		known = rest.Entries[n-1].Index
	}
	// The log may go on, with entries that the leader does not have. Raft would
	// commit them.
	rest.LeaderCommitIndex = min(sent.LeaderCommitIndex, known)
	rest.PrevLogEntry, rest.PrevLogTerm = 0, 0 // nothing to compare
	return &rest
}
