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
	if err := h.mustBeCluster(); err != nil {
		return err
	}
	err := h.options.Cluster.RemoveNode(x.request.Context(), x.key)
	h.auditChange(x, "remove node", x.key, err)
	if err != nil {
		return err
	}
	return h.answerCluster(x)
}

// stepDown is POST /cluster/step-down. It takes no body.
func (h *Handler) stepDown(x *exchange) error {
	if err := h.mustBeCluster(); err != nil {
		return err
	}
	err := h.options.Cluster.StepDown(x.request.Context())
	h.auditChange(x, "step down", "", err)
	if err != nil {
		return err
	}
	return h.answerCluster(x)
}

func (h *Handler) mustBeCluster() error {
	if h.options.Cluster == nil {
		return &holdfast.Error{Code: holdfast.CodeNotFound, Message: "path: this server is not a node of a cluster"}
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
