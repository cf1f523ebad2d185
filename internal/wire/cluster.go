package wire

import (
	"github.com/go-json-experiment/json"

	"holdfast"
)

// AppendCluster writes what a node knows of its cluster.
func AppendCluster(out []byte, c holdfast.Cluster) []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings that are no UTF-8, which no node has in its settings
	}
	return append(out, b...)
}

// ReadCluster reads what AppendCluster wrote.
func ReadCluster(body []byte) (holdfast.Cluster, error) {
	return known(body, func(c holdfast.Cluster) bool { return c.ID != "" })
}
