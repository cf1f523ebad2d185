package raftstore

import "testing"

// A node takes only what is meant for itself, in its own cluster.
func TestTheFirstLineOfAConnection(t *testing.T) {
	p := &peers{identity: &identity{Cluster: "C", ID: "n1"}}
	for line, refusal := range map[string]string{
		"holdfast/1 raft C n2 n1": "",
		"holdfast/1 api C n2 n1":  "",
		"holdfast/1 ask C n2 n1":  "",
		"holdfast/1 ask C n1 n1":  "", // it joins, and takes an ID that is taken: the leader refuses it
		"holdfast/1 raft D n2 n1": "node n1 is of cluster C, not of D",
		"holdfast/1 raft C n2 n3": "here is node n1, not n3",
		"holdfast/1 raft C n2 -":  "here is node n1, not -",
		"holdfast/1 x C n2 n1":    `nothing here is for "x"`,
		"holdfast/1 raft C n1":    "this port is for nodes of a cluster that speak holdfast/1",
		"holdfast/2 raft C n2 n1": "this port is for nodes of a cluster that speak holdfast/1",
		"GET / HTTP/1.1":          "this port is for nodes of a cluster that speak holdfast/1",
		"":                        "this port is for nodes of a cluster that speak holdfast/1",
	} {
		if _, got := p.understand(line); got != refusal {
			t.Errorf("%q: %q, not %q", line, got, refusal)
		}
	}
}
