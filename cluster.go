package holdfast

// Cluster is what a node of a cluster knows of it. By the time that it is
// read, another node may lead.
type Cluster struct {
	Name    string `json:"cluster"`          // tells this cluster from every other; made at random
	ID      string `json:"id"`               // the node that says this
	Leader  string `json:"leader,omitempty"` // empty while there is none
	Term    uint64 `json:"term"`             // grows with each election
	Applied uint64 `json:"applied"`          // the last entry of the log that this node's table knows
	Nodes   []Node `json:"nodes"`            // in the order of their IDs
}

// Node is a member of a cluster.
type Node struct {
	ID   string `json:"id"`
	API  string `json:"api,omitempty"` // URL at which it serves clients; empty while it is away
	Peer string `json:"peer"`          // host:port at which the other nodes reach it
	Role Role   `json:"role"`

	// Lag is how many entries of the log its table is behind the leader's, as
	// far as the node that was asked can tell. It is zero while it is away.
	Lag uint64 `json:"lag"`
}

// Role is what a node is to its cluster at the moment.
type Role string

// The roles.
const (
	RoleLeader   Role = "leader"   // decides, and writes the log
	RoleFollower Role = "follower" // keeps the log and votes; passes requests on to the leader
	RoleJoining  Role = "joining"  // is catching up, and does not vote yet
	RoleAway     Role = "away"     // does not answer
)
