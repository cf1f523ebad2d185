package raftstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/keeper"
)

// lone is the ID in raft of a store that is alone.
const lone raft.ServerID = "alone"

const (
	// A cluster of one has nobody to wait for.
	loneTimeout       = 20 * time.Millisecond
	loneCommitTimeout = 5 * time.Millisecond

	defaultElectionTimeout = 500 * time.Millisecond

	// peerTimeout is how long a message to another node may take.
	peerTimeout = 5 * time.Second
)

// start starts raft over what the directory holds.
func (s *Store) start(ctx context.Context) error {
	found, err := readIdentity(s.options.Dir)
	if err != nil {
		return err
	}
	if s.options.Node == nil {
		if found != nil {
			return fmt.Errorf("the data directory %s belongs to node %s of a cluster; start it with that ID and its address for the other nodes "+
				"(--node-id %[2]s --peer-addr HOST:PORT)", s.options.Dir, found.ID)
		}
		return s.startAlone()
	}
	return s.startNode(ctx, found)
}

// startAlone starts a cluster of one.
func (s *Store) startAlone() error {
	address, transport := raft.NewInmemTransport("")
	config := s.config(lone)
	config.HeartbeatTimeout = loneTimeout
	config.ElectionTimeout = loneTimeout
	config.LeaderLeaseTimeout = loneTimeout
	config.CommitTimeout = loneCommitTimeout
	return s.run(config, transport, raft.Server{ID: lone, Address: address})
}

// startNode starts a node of a cluster over a directory in which an identity
// was found, or none.
func (s *Store) startNode(ctx context.Context, found *identity) error {
	node := s.options.Node
	if err := node.Valid(); err != nil {
		return err
	}
	s.peers = &peers{address: node.PeerAddr, at: cmp.Or(node.PeerListen, node.PeerAddr), network: node.network, logger: s.options.Logger}
	if s.peers.network == nil {
		s.peers.network = tcp{node.TLS}
	}
	// Before the directory becomes that of a node, for good: a start that fails
	// at this should not.
	if err := s.peers.listen(); err != nil {
		return err
	}
	identity, err := s.identify(ctx, found)
	if err != nil {
		return errors.Join(err, s.peers.Close())
	}
	s.peers.identity = identity
	config := s.config(raft.ServerID(node.ID))
	timeout := node.electionTimeout()
	config.LeaderLeaseTimeout = timeout
	s.mayVote.Store(identity.Founder || identity.Admitted || len(s.disk.members) > 0)
	present := s.admitted() && s.disk.last >= identity.Since // see Store.present
	if !present {
		timeout = endless
	}
	config.HeartbeatTimeout = timeout
	config.ElectionTimeout = timeout
	config.ShutdownOnRemove = false // see stay
	over := node.transport
	if over == nil {
		over = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: streams{s.peers}, MaxPool: 4, Timeout: peerTimeout, Logger: config.Logger,
		})
	}
	transport := mend(over, s.disk, s.admission, s.conflict)
	self := raft.Server{ID: config.LocalID, Address: s.peers.self()}
	mine := s.disk.members
	if present && len(mine) == 1 && (mine[0].ID == lone && identity.Founder || mine[0].ID == self.ID && mine[0].Address != self.Address) {
		err = s.rename(config, transport, self)
	}
	if err == nil && identity.Founder {
		err = s.run(config, transport, self)
	} else if err == nil {
		err = s.run(config, transport)
	}
	if err != nil {
		return errors.Join(err, transport.Close(), s.peers.Close())
	}
	transport.raft.Store(s.raft)
	return nil
}

func (n *Node) electionTimeout() time.Duration {
	return cmp.Or(n.ElectionTimeout, defaultElectionTimeout)
}

// Valid says what is wrong with the ID or the address; nil if nothing is.
func (n *Node) Valid() error {
	if !validID.MatchString(n.ID) {
		return fmt.Errorf("the ID of a node must be 1 to 64 letters, digits and %q, and begin with a letter or a digit: not %q", "._-", n.ID)
	}
	host, port, err := net.SplitHostPort(n.PeerAddr)
	if err != nil || host == "" || port == "" || strings.ContainsAny(n.PeerAddr, "@ ") {
		return fmt.Errorf("the address for the other nodes must be a host and a port, such as 10.0.0.7:7000: not %q", n.PeerAddr)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() || port == "0" {
		return fmt.Errorf("the address for the other nodes must be one at which they reach this node, which %q is for none of them; "+
			"to listen on all addresses, use --peer-listen", n.PeerAddr)
	}
	if _, port, err := net.SplitHostPort(cmp.Or(n.PeerListen, n.PeerAddr)); err != nil || port == "" {
		return fmt.Errorf("the address to listen on for the other nodes must be a host and a port, such as 0.0.0.0:7000: not %q", n.PeerListen)
	}
	return nil
}

// identify finds out of which cluster this node is, or makes it of one.
func (s *Store) identify(ctx context.Context, found *identity) (*identity, error) {
	node, dir := s.options.Node, s.options.Dir
	switch {
	case found != nil && found.Removed:
		return nil, errRemoved(found)
	case found != nil && found.ID != node.ID:
		return nil, fmt.Errorf("the data directory %s belongs to node %s, not to %s", dir, found.ID, node.ID)
	case found != nil && !found.Founder && len(s.disk.members) == 0 && node.Join == nil:
		return nil, fmt.Errorf("node %s has not joined its cluster yet; tell it which node to ask (--join http://HOST:PORT)", found.ID)
	case found != nil:
		return found, s.sameCluster(ctx, found)
	case node.Join == nil:
		founder := &identity{Cluster: rand.Text()[:16], ID: node.ID, Founder: true}
		s.options.Logger.Info("beginning a cluster, since there is none to join", "node", founder.ID, "cluster", founder.Cluster)
		return founder, founder.write(dir)
	case len(s.disk.members) > 0:
		return nil, fmt.Errorf("the data directory %s has a state of its own; a node that joins a cluster begins with an empty one (to begin a cluster with this state, leave out --join)", dir)
	}
	name, err := s.clusterToJoin(ctx)
	if err != nil {
		return nil, err
	}
	joining := &identity{Cluster: name, ID: node.ID}
	return joining, joining.write(dir)
}

// sameCluster refuses a node that is told to join another cluster than its
// own. If nobody answers there, it goes by what it knows.
func (s *Store) sameCluster(ctx context.Context, found *identity) error {
	if s.options.Node.Join == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	other, err := s.options.Node.Join.Cluster(ctx)
	if err == nil && other.Name != found.Cluster {
		return fmt.Errorf("the data directory %s is of a node of cluster %s, and cannot join cluster %s; a node that joins begins with an empty one", s.options.Dir, found.Cluster, other.Name)
	}
	return nil
}

// clusterToJoin asks for the name of the cluster to join, until somebody
// answers.
func (s *Store) clusterToJoin(ctx context.Context) (string, error) {
	for said := false; ; said = true {
		c, err := s.options.Node.Join.Cluster(ctx)
		if err == nil {
			return c.Name, nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
			return "", fmt.Errorf("no cluster to join: %w", err)
		}
		if !said {
			s.options.Logger.Info("waiting for a node of the cluster to join", "error", err)
		}
	}
}

// config is what all stores tell raft.
func (s *Store) config(id raft.ServerID) *raft.Config {
	config := raft.DefaultConfig()
	config.LocalID = id
	config.SnapshotThreshold = s.options.SnapshotEvery
	config.TrailingLogs = s.options.trailing()
	config.Logger = raftLogger(s.options.Logger)
	config.NoLegacyTelemetry = true
	return config
}

// firstTerm is that in which raft begins a cluster; elections are in later ones.
const firstTerm = 1

// run starts raft. A directory without any state becomes that of a cluster of
// these founders; without them it waits for a leader to tell.
func (s *Store) run(config *raft.Config, transport raft.Transport, founders ...raft.Server) error {
	cache, err := newRecent(&cleared{logWriter: s.disk.log, closing: s.ctx, logger: s.options.Logger})
	if err != nil {
		return err
	}
	known, err := raft.HasExistingState(cache, s.disk.stable, s.disk.snapshots)
	if err != nil {
		return fmt.Errorf("the data directory cannot be read: %w", err)
	}
	if known && len(founders) > 0 && s.disk.last == 0 {
		if s.disk.terms.term.Load() > firstTerm {
			return damaged(s.options.Dir, errors.New("its log is gone"))
		}
		// The first start was cut off behind the term. Raft would wait for a leader.
		if err := s.disk.stable.SetUint64(keyCurrentTerm, 0); err != nil {
			return fmt.Errorf("the data directory cannot be written: %w", err)
		}
		known = false
	}
	if !known && len(founders) > 0 {
		err := raft.BootstrapCluster(config, cache, s.disk.stable, s.disk.snapshots, transport, raft.Configuration{Servers: founders})
		if err != nil {
			return fmt.Errorf("the data directory cannot be written: %w", err)
		}
	}
	s.raft, err = raft.NewRaft(config, machine{s}, cache, stable{s.disk.stable, s.ctx, s.options.Logger}, s.disk.snapshots, transport)
	if err != nil {
		return fmt.Errorf("the store cannot be started from %s: %w", s.options.Dir, err)
	}
	s.watchLeader(config.LocalID)
	return nil
}

// rename makes the only member of a log another one: a store that was alone
// becomes a node, or a node that is the only one has another address. Nobody
// else is there whom that could surprise. If the process ends meanwhile, the
// next one begins anew.
func (s *Store) rename(config *raft.Config, transport raft.Transport, self raft.Server) error {
	// Raft carries out the log for a snapshot, on a table that is not used
	// after that.
	passing := &Store{options: s.options, keeper: keeper.New(0), disk: s.disk}
	err := raft.RecoverCluster(config, machine{passing}, s.disk.log, s.disk.stable, s.disk.snapshots, transport,
		raft.Configuration{Servers: []raft.Server{self}})
	if err != nil {
		return fmt.Errorf("the data directory %s cannot be made that of node %s: %w", s.options.Dir, self.ID, err)
	}
	return nil
}
