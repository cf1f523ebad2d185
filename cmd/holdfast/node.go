package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"holdfast/client"
	"holdfast/internal/api"
	"holdfast/internal/raftstore"
)

// nodeSettings make a durable server a node of a cluster.
type nodeSettings struct {
	NodeID          nonEmpty      `group:"cluster" placeholder:"ID" variable:"NODE_ID" help:"Name of this node. It stays the same for good, and so does the data directory."`
	PeerAddr        nonEmpty      `group:"cluster" placeholder:"HOST:PORT" variable:"PEER_ADDR" help:"Where the other nodes reach this one."`
	PeerListen      nonEmpty      `group:"cluster" placeholder:"HOST:PORT" variable:"PEER_LISTEN" help:"Where it listens for them; without it where they reach it."`
	Join            nonEmpty      `group:"cluster" placeholder:"URL" variable:"JOIN" help:"Servers of the cluster to join, separated by commas. Without it, a node with a new data directory begins a cluster. A node that is in it needs it no more."`
	Advertise       nonEmpty      `group:"cluster" placeholder:"URL" variable:"ADVERTISE" help:"URL at which this node serves clients, for holdfast cluster to show; without it made of --host and --port."`
	ElectionTimeout time.Duration `group:"cluster" default:"500ms" placeholder:"DURATION" variable:"ELECTION_TIMEOUT" help:"After how long without a word from its leader the cluster elects another one; without it 500ms."`
}

// node gives the node that the settings describe; nil if they do not.
func (c *serveCommand) node(url string, log *slog.Logger) (*raftstore.Node, error) {
	switch {
	case c.NodeID == "" && c.PeerAddr == "" && c.Join == "":
		return nil, nil
	case c.NodeID == "":
		return nil, usageError("--node-id (NODE_ID): a node of a cluster needs a name")
	case c.PeerAddr == "":
		return nil, usageError("--peer-addr (PEER_ADDR): a node of a cluster needs a host and a port for the other nodes")
	case c.ElectionTimeout < 50*time.Millisecond || c.ElectionTimeout > time.Minute:
		return nil, usageError(fmt.Sprintf("--election-timeout (ELECTION_TIMEOUT): must be between 50ms and 1m, not %s", c.ElectionTimeout))
	}
	node := &raftstore.Node{
		ID: string(c.NodeID), PeerAddr: string(c.PeerAddr), PeerListen: string(c.PeerListen), API: url, ElectionTimeout: c.ElectionTimeout,
		Serve: func(service raftstore.Leading, listener net.Listener) func() {
			return serveLeading(service, listener, log)
		},
	}
	if err := node.Valid(); err != nil {
		return nil, usageError("--node-id, --peer-addr, --peer-listen: " + err.Error())
	}
	if c.Join != "" {
		join, err := client.New(strings.Split(string(c.Join), ",")...)
		if err != nil {
			return nil, usageError("--join (JOIN): " + err.Error())
		}
		node.Join = join
	}
	return node, nil
}

// serveLeading serves what other nodes pass on to this one.
func serveLeading(service raftstore.Leading, listener net.Listener, log *slog.Logger) (stop func()) {
	server := api.NewServer(api.New(service, api.Options{
		Backup: service.Backup, Cluster: service, PassedOn: true, Lost: raftstore.ErrLost, Logger: log,
	}))
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener)
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(ctx)
		<-served
	}
}

// apiURL is the URL to tell others at which this server serves. One that
// listens on all addresses is reached at that for the other nodes.
func (c *serveCommand) apiURL(listens net.Addr) string {
	if c.Advertise != "" {
		return string(c.Advertise)
	}
	host := string(c.Host)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		peer, _, _ := net.SplitHostPort(string(c.PeerAddr))
		host = cmp.Or(peer, host)
	}
	_, port, _ := net.SplitHostPort(listens.String())
	return "http://" + net.JoinHostPort(strings.Trim(host, "[]"), port)
}
