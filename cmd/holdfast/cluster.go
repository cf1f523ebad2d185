package main

import (
	"context"
	"strconv"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/wire"
)

type clusterCommand struct {
	Show     clusterShowCommand     `cmd:"" default:"withargs" help:"Show the nodes. This is what cluster does by itself."`
	Remove   clusterRemoveCommand   `cmd:"" help:"Take a node out of the cluster; it stops."`
	StepDown clusterStepDownCommand `cmd:"" help:"Let another node lead."`
}

type clusterShowCommand struct{ scripted }

// Help is what stands between the usage line and the flags.
func (clusterShowCommand) Help() string {
	return `One line for each node, in the order of their IDs: id, role (leader, follower,
joining, away), by how many entries of the log it is behind, where the other
nodes reach it, and the URL at which it serves clients. It is what the server
that was asked sees, and needs no leader.`
}

// Run shows the nodes.
func (c *clusterShowCommand) Run() error {
	return c.call(func(ctx context.Context, locks *client.Client) error {
		cluster, err := locks.Cluster(ctx)
		if err != nil {
			return err
		}
		return c.print(cluster)
	})
}

func (s *scripted) print(cluster holdfast.Cluster) error {
	if s.JSON {
		return printJSON(wire.AppendCluster(nil, cluster))
	}
	t := newTable("NODE", "ROLE", "LAG", "PEER", "API")
	for _, node := range cluster.Nodes {
		t.row(node.ID, string(node.Role), strconv.FormatUint(node.Lag, 10), node.Peer, node.API)
	}
	return t.flush()
}

type clusterRemoveCommand struct {
	asking
	Reason string `placeholder:"TEXT" help:"Why; for the record."`
	ID     string `arg:"" help:"Node to remove."`
}

// Help is what stands between the usage line and the flags.
func (clusterRemoveCommand) Help() string {
	return `The node stops by itself as soon as it hears of it. To let it join again, start
it with an empty data directory and --join.`
}

// Run removes the node.
func (c *clusterRemoveCommand) Run() error {
	return c.call(func(ctx context.Context, locks *client.Client) error { return locks.RemoveNode(ctx, c.ID, c.Reason) })
}

type clusterStepDownCommand struct {
	asking
	Reason string `placeholder:"TEXT" help:"Why; for the record."`
}

// Run lets another node lead.
func (c *clusterStepDownCommand) Run() error {
	return c.call(func(ctx context.Context, locks *client.Client) error { return locks.StepDown(ctx, c.Reason) })
}
