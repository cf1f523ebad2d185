package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"holdfast/client"
	"holdfast/internal/api"
	"holdfast/internal/certs"
	"holdfast/internal/raftstore"
	"holdfast/internal/reload"
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

// peerSettings secure what the nodes of a cluster say to each other, and let a
// node in that joins.
type peerSettings struct {
	PeerCert     nonEmpty `group:"cluster" placeholder:"FILE" variable:"PEER_CERT" help:"Certificate (PEM) to show to the other nodes; holdfast cert peer makes one. Files that change are read anew."`
	PeerKey      nonEmpty `group:"cluster" placeholder:"FILE" variable:"PEER_KEY" help:"Its key (PEM)."`
	PeerCA       nonEmpty `group:"cluster" name:"peer-ca" placeholder:"FILE" variable:"PEER_CA" help:"Authorities (PEM) of the other nodes. Whoever has a certificate of one for nodes is one."`
	PeerInsecure bool     `group:"cluster" variable:"PEER_INSECURE" help:"Talk to other machines without TLS: whoever reaches that port can change everything."`
	JoinToken    nonEmpty `group:"cluster" placeholder:"TOKEN" variable:"JOIN_TOKEN" help:"What the servers to join know this node by: a token with admin, or list on every key. Better a variable than a flag."`
	JoinCA       nonEmpty `group:"cluster" name:"join-ca" placeholder:"FILE" variable:"JOIN_CA" help:"Authorities (PEM) of the servers to join; without it those that this machine trusts."`
	JoinCert     nonEmpty `group:"cluster" placeholder:"FILE" variable:"JOIN_CERT" help:"Client certificate (PEM) to show to the servers to join."`
	JoinKey      nonEmpty `group:"cluster" placeholder:"FILE" variable:"JOIN_KEY" help:"Its key (PEM)."`
}

// peerTLS gives how to speak with other nodes, and goes on with changed files
// until ctx ends. It is nil if that is not secured, which must be on this
// machine, or asked for.
func (c *serveCommand) peerTLS(ctx context.Context, log *slog.Logger) (func() *tls.Config, error) {
	files := certs.Files{Cert: string(c.PeerCert), Key: string(c.PeerKey), CA: string(c.PeerCA)}
	if files == (certs.Files{}) {
		host, _, err := net.SplitHostPort(cmp.Or(string(c.PeerListen), string(c.PeerAddr)))
		if err != nil {
			return nil, nil // which Node.Valid says
		}
		asks := c.AuthFile != "" || c.TLSClientCA != "" // clients who they are; this port asks nobody
		switch here := certs.Loopback(host); {
		case here && !asks:
		case here, c.PeerInsecure:
			log.Warn("insecure: whoever reaches the port for nodes may change everything", "address", host)
		default:
			return nil, usageError(fmt.Sprintf("--peer-addr (PEER_ADDR): whoever reaches %s could take part in the cluster: "+
				"give --peer-cert, --peer-key and --peer-ca, or --peer-insecure (PEER_INSECURE=true)", host))
		}
		return nil, nil
	}
	seen := reload.Look(files.Names()...)
	source, err := certs.OpenPeer(files)
	if err != nil {
		return nil, usageError("--peer-cert, --peer-key, --peer-ca: " + err.Error())
	}
	follow(ctx, log, "certificates for nodes", seen, source)
	return source.Peer, nil
}

// joining gives a client of the servers to join.
func (c *serveCommand) joining() (*client.Client, error) {
	secure, err := certs.Client(certs.Files{Cert: string(c.JoinCert), Key: string(c.JoinKey), CA: string(c.JoinCA)})
	if err != nil {
		return nil, usageError("--join-cert, --join-key, --join-ca: " + err.Error())
	}
	// Who asks in vain goes on asking, but soon says so.
	join, err := client.Options{Patience: time.Second, Token: string(c.JoinToken), TLS: secure}.New(strings.Split(string(c.Join), ",")...)
	if err != nil {
		return nil, usageError("--join (JOIN): " + err.Error())
	}
	return join, nil
}

// given names a setting that only a node of a cluster has; "" if there is none.
func (c *serveCommand) given() string {
	switch {
	case c.NodeID != "":
		return "--node-id (NODE_ID)"
	case c.PeerAddr != "":
		return "--peer-addr (PEER_ADDR)"
	case c.PeerListen != "":
		return "--peer-listen (PEER_LISTEN)"
	case c.Join != "":
		return "--join (JOIN)"
	case c.PeerCert != "":
		return "--peer-cert (PEER_CERT)"
	case c.PeerKey != "":
		return "--peer-key (PEER_KEY)"
	case c.PeerCA != "":
		return "--peer-ca (PEER_CA)"
	}
	return ""
}

// node gives the node that the settings describe; nil if they do not.
func (c *serveCommand) node(ctx context.Context, url string, log *slog.Logger) (*raftstore.Node, error) {
	switch {
	case c.given() == "":
		return nil, nil
	case c.NodeID == "":
		return nil, usageError("--node-id (NODE_ID): a node of a cluster needs a name, and only a node has " + c.given())
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
	var err error
	if node.TLS, err = c.peerTLS(ctx, log); err != nil {
		return nil, err
	}
	if c.Join != "" {
		if node.Join, err = c.joining(); err != nil {
			return nil, err
		}
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
	if c.Host.everywhere() {
		peer, _, _ := net.SplitHostPort(string(c.PeerAddr))
		host = cmp.Or(peer, host)
	}
	_, port, _ := net.SplitHostPort(listens.String())
	return c.scheme() + net.JoinHostPort(host, port)
}
