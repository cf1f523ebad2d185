package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"holdfast"
	"holdfast/internal/wire"
)

// Cluster tells of the nodes of a cluster, as the node that answers sees
// them. A server that is none refuses with CodeNotFound.
func (c *Client) Cluster(ctx context.Context) (holdfast.Cluster, error) {
	body, err := c.ask(ctx, &call{method: http.MethodGet, path: "cluster"})
	if err != nil {
		return holdfast.Cluster{}, err
	}
	return wire.ReadCluster(body)
}

// RemoveNode takes a node out of the cluster. It stops, and its data directory
// cannot be used any more. The reason is for the record, and may be empty.
func (c *Client) RemoveNode(ctx context.Context, id, reason string) error {
	if err := holdfast.ValidReason(reason); err != nil {
		return err
	}
	return c.change(ctx, &call{
		method:  http.MethodDelete,
		path:    "cluster/nodes/" + id,
		escaped: "cluster/nodes/" + segment(id),
		query:   because(reason),
		once:    true,
	})
}

// StepDown lets another node of the cluster lead. The reason is for the
// record, and may be empty.
func (c *Client) StepDown(ctx context.Context, reason string) error {
	if err := holdfast.ValidReason(reason); err != nil {
		return err
	}
	return c.change(ctx, &call{method: http.MethodPost, path: "cluster/step-down", query: because(reason), once: true})
}

// change puts a call to a node of a cluster, which answers with what the cluster
// is then.
func (c *Client) change(ctx context.Context, call *call) error {
	body, err := c.ask(ctx, call)
	if err == nil {
		_, err = wire.ReadCluster(body)
	}
	return err
}

// Backup writes the whole state of the servers to w, as it is at some moment
// after the call. What was written is whole only if there is no error; it
// carries a checksum besides. When the connection breaks after the first
// byte, it is not begun again. The reason is for the record, and may be empty.
func (c *Client) Backup(ctx context.Context, w io.Writer, reason string) error {
	if err := holdfast.ValidReason(reason); err != nil {
		return err
	}
	var failed error
	call := &call{method: http.MethodGet, path: "backup", query: because(reason)}
	call.stream = func(server *url.URL) *trouble {
		response, trouble := c.begin(ctx, server, call, nil)
		if trouble != nil {
			return trouble
		}
		defer response.Body.Close()
		_, failed = io.Copy(w, response.Body)
		return nil
	}
	if _, err := c.ask(ctx, call); err != nil {
		return err
	}
	return failed
}
