package api

import (
	"context"
	"testing"

	"holdfast"
)

// nodes is a cluster that does what it is told.
type nodes struct {
	err     error
	removed []string
	stepped int
}

func (n *nodes) Cluster(context.Context) (holdfast.Cluster, error) {
	return holdfast.Cluster{Name: "c", ID: "n1", Leader: "n2", Term: 3, Applied: 120, Nodes: []holdfast.Node{
		{ID: "n1", API: "http://a:3000", Peer: "a:7000", Role: holdfast.RoleFollower, Lag: 5},
		{ID: "n2", Peer: "b:7000", Role: holdfast.RoleAway},
	}}, n.err
}

func (n *nodes) RemoveNode(_ context.Context, id string) error {
	n.removed = append(n.removed, id)
	return n.err
}

func (n *nodes) StepDown(context.Context) error { n.stepped++; return n.err }

const shown = `{"cluster":"c","id":"n1","leader":"n2","term":3,"applied":120,"nodes":[` +
	`{"id":"n1","api":"http://a:3000","peer":"a:7000","role":"follower","lag":5},` +
	`{"id":"n2","peer":"b:7000","role":"away","lag":0}]}`

func TestACluster(t *testing.T) {
	n := &nodes{}
	s := openOver(t, openStore(t), Options{Cluster: n})
	s.ask("GET", "/cluster", "").is(200).shows(shown)
	s.ask("POST", "/cluster/step-down", "").is(200).shows(shown)
	s.ask("DELETE", "/cluster/nodes/n%2F2", "").is(200).shows(shown)
	if n.stepped != 1 || len(n.removed) != 1 || n.removed[0] != "n/2" {
		t.Errorf("%+v", n)
	}
	n.err = &holdfast.Error{Code: holdfast.CodeNotFound, Message: "id: no such node"}
	s.ask("DELETE", "/cluster/nodes/n9", "").refuses(404, "not_found", "id: no such node")
	n.err = holdfast.Unavailable(nil, "no leader")
	s.ask("POST", "/cluster/step-down", "").refuses(503, "unavailable", "no leader")
}

func TestAServerThatIsNoNode(t *testing.T) {
	s := open(t)
	for method, path := range map[string]string{"GET": "/cluster", "POST": "/cluster/step-down", "DELETE": "/cluster/nodes/a"} {
		s.ask(method, path, "").refuses(404, "not_found", "path: this server is not a node of a cluster")
	}
}
