package raftstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/internal/seldom"
)

// peers is the port at which the nodes of a cluster talk to each other. Every
// connection begins with a line that says what for, and who calls whom:
//
//	holdfast/1 PURPOSE CLUSTER FROM TO
//
// where FROM is for people who look on. The answer is the line "ok", or "no" and
// a reason. So no node can ever take a word that is meant for another cluster,
// or for another node that had this address before.
type peers struct {
	identity *identity
	address  string // host:port, for others
	at       string // host:port to listen on
	network  network
	logger   *slog.Logger
	telling  seldom.Gate // what was refused in the log

	raft    *inlet
	api     *inlet
	answer  func(net.Conn) // takes the connections for questions
	listens net.Listener
	running sync.WaitGroup
	closing context.Context
	close   context.CancelFunc
}

// The purposes of a connection.
const (
	forRaft     = "raft" // the messages of hashicorp/raft
	forAPI      = "api"  // the API of the leader, for requests that a follower passes on
	forQuestion = "ask"  // questions of one node to another; see question
)

const (
	protocol      = "holdfast/1"
	greetWithin   = 5 * time.Second // for the first lines
	longestLine   = 512
	refusalPrefix = "no "
)

// network is how nodes reach each other.
type network interface {
	Listen(address string) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// tcp is the network of real life, with mutual TLS if it is told how; see
// Node.TLS.
type tcp struct{ tls func() *tls.Config }

func (n tcp) Listen(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err == nil && n.tls != nil {
		listener = tls.NewListener(listener, &tls.Config{
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return n.tls(), nil },
		})
	}
	return listener, err
}

func (n tcp) Dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := &net.Dialer{}
	if n.tls == nil {
		return dialer.DialContext(ctx, "tcp", address)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: n.tls()}).DialContext(ctx, "tcp", address)
}

// listen opens the port. Nothing is accepted before serve.
func (p *peers) listen() error {
	var err error
	if p.listens, err = p.network.Listen(p.at); err != nil {
		return fmt.Errorf("cannot listen for the other nodes: %w; --peer-listen says where, if it is not where they reach this one", err)
	}
	p.closing, p.close = context.WithCancel(context.Background())
	p.raft, p.api = newInlet(p.listens.Addr(), p.closing), newInlet(p.listens.Addr(), p.closing)
	return nil
}

// serve takes connections until Close.
func (p *peers) serve() {
	p.running.Go(func() {
		for {
			conn, err := p.listens.Accept()
			if p.closing.Err() != nil {
				if err == nil {
					conn.Close()
				}
				return
			}
			if err != nil {
				p.logger.Warn("a connection of another node could not be accepted", "error", err)
				select {
				case <-time.After(100 * time.Millisecond):
				case <-p.closing.Done():
				}
				continue
			}
			p.running.Go(func() { p.receive(conn) })
		}
	})
}

// Close closes the port and the connections of raft, which must have been shut
// down. Other connections that have been taken end with those who took them.
func (p *peers) Close() error {
	p.close()
	err := p.listens.Close()
	p.running.Wait()
	return err
}

// receive answers the first line of a connection, and hands it on.
func (p *peers) receive(conn net.Conn) {
	unhook := context.AfterFunc(p.closing, func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(greetWithin))
	line, err := readLine(conn)
	if err != nil {
		if secured, ok := conn.(*tls.Conn); ok && !secured.ConnectionState().HandshakeComplete {
			p.refused(conn, err.Error())
		}
		conn.Close()
		return
	}
	purpose, reason := p.understand(line)
	if reason != "" {
		p.refused(conn, reason)
		conn.Write([]byte(refusalPrefix + reason + "\n"))
		conn.Close()
		return
	}
	if _, err := conn.Write([]byte("ok\n")); err != nil || !unhook() {
		conn.Close()
		return
	}
	conn.SetDeadline(time.Time{})
	switch purpose {
	case forRaft:
		p.running.Add(1)
		p.raft.take(&received{Conn: conn, over: sync.OnceFunc(p.running.Done),
			unhook: context.AfterFunc(p.closing, func() { conn.Close() })})
	case forAPI:
		p.api.take(conn)
	case forQuestion:
		p.answer(conn)
	}
}

// refused tells of a connection that was refused, unless another one has just
// been: anybody can have connections refused who reaches the port.
func (p *peers) refused(conn net.Conn, reason string) {
	if p.telling.Pass() {
		p.logger.Warn("refused a connection at the port for nodes", "from", conn.RemoteAddr().String(), "reason", reason)
	}
}

// received is a connection of another node's raft. It ends with the port, and
// the port waits until raft has let go of it: raft does neither by itself, and
// would take a last heartbeat when the disk has been closed.
type received struct {
	net.Conn
	unhook func() bool
	over   func()
}

func (r *received) Close() error {
	defer r.over()
	r.unhook()
	return r.Conn.Close()
}

// understand reads the first line of a connection: what it is for, or why it
// is refused.
func (p *peers) understand(line string) (purpose, refusal string) {
	words := strings.Split(line, " ")
	if len(words) != 5 || words[0] != protocol {
		return "", "this port is for nodes of a cluster that speak " + protocol
	}
	purpose, cluster, to := words[1], words[2], words[4]
	switch {
	case cluster != p.identity.Cluster:
		return "", fmt.Sprintf("node %s is of cluster %s, not of %s", p.identity.ID, p.identity.Cluster, cluster)
	case to != p.identity.ID:
		return "", fmt.Sprintf("here is node %s, not %s", p.identity.ID, to)
	case purpose != forRaft && purpose != forAPI && purpose != forQuestion:
		return "", fmt.Sprintf("nothing here is for %q", purpose)
	}
	return purpose, ""
}

// dial calls a node. The connection is ready for its purpose.
func (p *peers) dial(ctx context.Context, purpose string, node raft.ServerAddress) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, greetWithin)
	defer cancel()
	id, address := split(node)
	conn, err := p.network.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	unhook := context.AfterFunc(ctx, func() { conn.Close() })
	_, err = fmt.Fprintf(conn, "%s %s %s %s %s\n", protocol, purpose, p.identity.Cluster, p.identity.ID, id)
	var line string
	if err == nil {
		line, err = readLine(conn)
	}
	reason, refused := strings.CutPrefix(line, refusalPrefix)
	switch {
	case !unhook():
		err = context.Cause(ctx)
	case err == nil && refused:
		err = fmt.Errorf("%s refuses: %s", address, reason)
	case err == nil && line != "ok":
		err = fmt.Errorf("%s is not the port of a node", address)
	case err == nil:
		return conn, nil
	}
	conn.Close()
	// Whoever was never connected was not asked either: so the error says, in
	// the way in which the client knows it.
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
}

// readLine reads a line, and not a byte beyond it.
func readLine(conn net.Conn) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < longestLine {
		if _, err := conn.Read(b[:]); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
	return "", errors.New("the first line is too long")
}

// self is the address of this node.
func (p *peers) self() raft.ServerAddress { return join(p.identity.ID, p.address) }

// join makes of the ID of a node and its host:port the address by which raft
// knows it.
func join(id, address string) raft.ServerAddress { return raft.ServerAddress(id + "@" + address) }

// split takes it apart. One that is alone has no host:port, and nobody calls
// it.
func split(node raft.ServerAddress) (id, address string) {
	id, address, _ = strings.Cut(string(node), "@")
	return id, address
}

// streams makes of the port what raft wants to talk over.
type streams struct{ peers *peers }

var _ raft.StreamLayer = streams{}

func (s streams) Accept() (net.Conn, error) { return s.peers.raft.Accept() }
func (s streams) Close() error              { return s.peers.raft.Close() }
func (s streams) Addr() net.Addr            { return name(s.peers.self()) }

func (s streams) Dial(node raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.peers.closing, timeout)
	defer cancel()
	return s.peers.dial(ctx, forRaft, node)
}

// name is the address of a node as raft wants to see it.
type name string

func (name) Network() string  { return "tcp" }
func (n name) String() string { return string(n) }

// inlet is a listener that is given its connections.
type inlet struct {
	address net.Addr
	conns   chan net.Conn
	closed  context.Context
	close   context.CancelFunc
}

var _ net.Listener = (*inlet)(nil)

func newInlet(address net.Addr, until context.Context) *inlet {
	i := &inlet{address: address, conns: make(chan net.Conn)}
	i.closed, i.close = context.WithCancel(until)
	return i
}

func (i *inlet) take(conn net.Conn) {
	select {
	case i.conns <- conn:
	case <-i.closed.Done():
		conn.Close()
	}
}

func (i *inlet) Accept() (net.Conn, error) {
	select {
	case conn := <-i.conns:
		return conn, nil
	case <-i.closed.Done():
		return nil, net.ErrClosed
	}
}

func (i *inlet) Close() error   { i.close(); return nil }
func (i *inlet) Addr() net.Addr { return i.address }
