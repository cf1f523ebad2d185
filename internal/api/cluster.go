package api

import (
	"context"

	"holdfast"
	"holdfast/internal/wire"
)

// Cluster is the node of a cluster behind a service.
type Cluster interface {
	// Cluster tells of the nodes. It does not need a leader.
	Cluster(ctx context.Context) (holdfast.Cluster, error)

	// RemoveNode takes a node out of the cluster; CodeNotFound if it is not
	// in it, CodeInvalid if it is the last one.
	RemoveNode(ctx context.Context, id string) error

	// StepDown lets another node lead; CodeInvalid if there is none.
	StepDown(ctx context.Context) error
}

// cluster is GET /cluster.
func (h *Handler) cluster(x *exchange) error {
	if err := h.mustBeCluster(); err != nil {
		return err
	}
	return h.answerCluster(x)
}

// removeNode is DELETE /cluster/nodes/{id}.
func (h *Handler) removeNode(x *exchange) error {
	return h.change(x, "remove node", x.key, func(ctx context.Context) error { return h.options.Cluster.RemoveNode(ctx, x.key) })
}

// stepDown is POST /cluster/step-down. It takes no body.
func (h *Handler) stepDown(x *exchange) error {
	return h.change(x, "step down", "", func(ctx context.Context) error { return h.options.Cluster.StepDown(ctx) })
}

// change changes the cluster, writes that down, and answers what it is then.
func (h *Handler) change(x *exchange, action, node string, do func(context.Context) error) error {
	if err := h.mustBeCluster(); err != nil {
		return err
	}
	reason, err := x.reason()
	if err != nil {
		return err
	}
	err = do(x.request.Context())
	h.auditChange(x, action, node, reason, err)
	if err != nil {
		return err
	}
	return h.answerCluster(x)
}

func (h *Handler) mustBeCluster() error {
	if h.options.Cluster == nil {
		return &holdfast.Error{Code: holdfast.CodeNotFound, Message: "path: this server is not a node of a cluster: it was started without --node-id and --peer-addr"}
	}
	return nil
}

func (h *Handler) answerCluster(x *exchange) error {
	cluster, err := h.options.Cluster.Cluster(x.request.Context())
	if err != nil {
		return err
	}
	x.out = wire.AppendCluster(x.out, cluster)
	return nil
}
