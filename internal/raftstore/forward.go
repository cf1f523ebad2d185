package raftstore

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/keeper"
)

// Any node takes any request. What it cannot answer by itself it passes on to
// the leader, as a client of the leader; and when the leader changes, it asks
// the new one.

// leader is where a request is carried out: in this process, or behind a
// client.
type leader interface {
	holdfast.Service
	Backup(ctx context.Context, w io.Writer) error
	RemoveNode(ctx context.Context, id string) error
	StepDown(ctx context.Context) error
}

var (
	_ leader = Leading{}
	_ leader = remote{}
)

// remote is a leader behind a client. Reasons for the record are not passed
// on: the node that was asked first writes them down.
type remote struct{ *client.Client }

// Backup writes the state as it is at some moment after the call.
func (r remote) Backup(ctx context.Context, w io.Writer) error { return r.Client.Backup(ctx, w, "") }

// RemoveNode takes a node out of the cluster.
func (r remote) RemoveNode(ctx context.Context, id string) error {
	return r.Client.RemoveNode(ctx, id, "")
}

// StepDown lets another node lead.
func (r remote) StepDown(ctx context.Context) error { return r.Client.StepDown(ctx, "") }

// Leading is the service of a node as its cluster sees it: while the node
// leads it carries requests out, and otherwise it refuses them with
// CodeUnavailable, and never passes them on.
type Leading struct {
	*keeper.Service
	s *Store
}

// ErrLost is the cause with which a request to [Leading] has to end when the
// node that passed it on is gone, and did not say that its client is.
var ErrLost = keeper.ErrLost

// route knows the way to the leader.
type route struct {
	mu      sync.Mutex
	link    *link         // to the one that was asked last
	old     []*link       // to those that were asked before, and may still answer
	changed chan struct{} // closed when it may be another one
	left    bool          // nobody is to go there any more
}

// leave ends the way. What hangs on a connection to the leader is cut off
// without a goodbye, so that its place in line is kept there.
func (r *route) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = true
	r.retire()
	for _, link := range r.old {
		link.close()
	}
}

// retire ends the use of the present link. One who has just stopped leading
// says so to those who wait there; one who is out of reach does not, and they
// are cut off after a moment.
func (r *route) retire() {
	if r.link == nil {
		return
	}
	retired := r.link
	r.link, r.old = nil, append(r.old, retired)
	time.AfterFunc(answerStillWithin, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		retired.close()
		r.old = slices.DeleteFunc(r.old, func(l *link) bool { return l == retired })
	})
}

// answerStillWithin is for how long one who does not lead any more may still
// answer.
const answerStillWithin = 200 * time.Millisecond

func (r *route) isLeft() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left
}

// link is a client of one other node.
type link struct {
	node   raft.ServerAddress
	client *client.Client

	over context.Context // ends with close
	end  context.CancelFunc

	mu    sync.Mutex
	conns map[*conn]struct{}
	cut   bool
}

// conn is a connection of a link.
type conn struct {
	net.Conn
	link *link
}

// newLink gives a client of a node; it calls when it is asked.
func newLink(p *peers, node raft.ServerAddress) *link {
	l := &link{node: node, conns: make(map[*conn]struct{})}
	l.over, l.end = context.WithCancel(context.Background())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			// A node that was stopped takes the call, and says nothing.
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(l.over, cancel)()
			c, err := p.dial(ctx, forAPI, node)
			if err != nil {
				return nil, err
			}
			endAbruptly(c)
			return l.add(c)
		},
		Protocols:           protocols,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     time.Minute,
	}
	// The name is that of every service that listens on loopback, as the port
	// for nodes may.
	l.client, _ = client.Options{Patience: -1, Transport: transport}.New("http://localhost")
	return l
}

func (l *link) add(c net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		c.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed} // nothing was asked over it
	}
	added := &conn{Conn: c, link: l}
	l.conns[added] = struct{}{}
	return added, nil
}

// close cuts the link: what hangs on it shall be asked elsewhere.
func (l *link) close() {
	l.end()
	l.mu.Lock()
	l.cut = true
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	for c := range conns {
		c.Conn.Close()
	}
	l.client.Close()
}

// endAbruptly has a connection end without a goodbye, whether it is closed or
// this process is killed: so the other node can tell that from a client that
// leaves, for whom only one side is closed. And what is still on its way there
// is not delivered any more: it is asked elsewhere, and must not be done after
// that has been answered.
func endAbruptly(c net.Conn) {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	if tcp, ok := c.(interface{ SetLinger(seconds int) error }); ok {
		tcp.SetLinger(0)
	}
}

func (c *conn) Close() error {
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite closes the side of this node only, by which a client says that
// it wants no answer any more.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// leader gives who carries requests out now; nil if nobody does. The channel
// is closed when that may be somebody else.
func (s *Store) leader() (leader, <-chan struct{}) {
	s.route.mu.Lock()
	defer s.route.mu.Unlock()
	changed := s.route.changed
	if s.leading.Load() {
		return Leading{s.Service, s}, changed
	}
	node, id := s.raft.LeaderWithID()
	if node == "" || s.peers == nil || string(id) == s.peers.identity.ID || s.route.left {
		return nil, changed
	}
	if s.route.link == nil || s.route.link.node != node {
		s.route.retire()
		s.route.link = newLink(s.peers, node)
	}
	return remote{s.route.link.client}, changed
}

// reroute lets those who wait look for the leader anew, and ends what hangs on
// a connection to one that is none any more.
func (s *Store) reroute() {
	s.route.mu.Lock()
	defer s.route.mu.Unlock()
	close(s.route.changed)
	s.route.changed = make(chan struct{})
	node, _ := s.raft.LeaderWithID()
	if s.route.link != nil && (s.leading.Load() || node != "" && node != s.route.link.node) {
		s.route.retire()
	}
}

// lookAgainAfter is how long to wait before the leader is asked once more,
// unless there is another one before.
const lookAgainAfter = 50 * time.Millisecond

// viaLeader asks the leader, and asks on while there is none, until there was
// none for as long as the store is patient. What may have happened is asked
// again only if that is harmless.
func viaLeader[T any](ctx context.Context, s *Store, harmless bool, ask func(leader) (T, error)) (T, error) {
	var unknown bool
	began := time.Now()
	for {
		leader, changed := s.leader()
		asked := time.Now()
		var answer T
		var err error
		if leader != nil {
			answer, err = ask(leader)
		} else {
			err = errNoLeader()
		}
		refusal, ok := errors.AsType[*holdfast.Error](err)
		if !ok || refusal.Code != holdfast.CodeUnavailable {
			return answer, err
		}
		unknown = unknown || refusal.OutcomeUnknown
		if ctx.Err() != nil || s.route.isLeft() {
			// What another node was asked may not have been withdrawn there.
			_, here := leader.(Leading)
			return answer, orUnknown(err, unknown || leader != nil && !here)
		}
		if time.Since(asked) > s.options.Patience {
			began = time.Now() // it was served until just now
		}
		if time.Since(began) > s.options.Patience || refusal.OutcomeUnknown && !harmless {
			last := *refusal
			last.RetryAfter = time.Second
			return answer, orUnknown(&last, unknown)
		}
		select {
		case <-changed:
		case <-time.After(lookAgainAfter):
		case <-ctx.Done():
			return answer, orUnknown(context.Cause(ctx), unknown)
		case <-s.ctx.Done():
		}
	}
}

func orUnknown(err error, unknown bool) error {
	if unknown {
		return holdfast.Unknown(err)
	}
	return err
}

// viaLeaderDo is viaLeader for what has no answer, and is done once.
func viaLeaderDo(ctx context.Context, s *Store, do func(leader) error) error {
	_, err := viaLeader(ctx, s, false, func(l leader) (struct{}, error) { return struct{}{}, do(l) })
	return err
}

// Lock grants all keys or none.
func (s *Store) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	if s.peers == nil {
		return s.Service.Lock(ctx, req)
	}
	req, err := req.Normal()
	if err != nil {
		return holdfast.Grant{}, err
	}
	began, wait := time.Now(), req.Wait
	return viaLeader(ctx, s, true, func(l leader) (holdfast.Grant, error) {
		req.Wait = max(0, wait-time.Since(began).Truncate(time.Millisecond))
		return l.Lock(ctx, req)
	})
}

// StartLock is as [keeper.Start] says. Where the leader may be another node, it
// is all left to be waited for.
func (s *Store) StartLock(ctx context.Context, req holdfast.LockRequest) (
	_ holdfast.Grant, wait func(context.Context) (holdfast.Grant, error), _ error,
) {
	if s.peers == nil {
		return keeper.StartLock(ctx, s.Service, req)
	}
	return holdfast.Grant{}, func(ctx context.Context) (holdfast.Grant, error) { return s.Lock(ctx, req) }, nil
}

// Unlock releases what req names exactly.
func (s *Store) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	if s.peers == nil {
		return s.Service.Unlock(ctx, req)
	}
	return viaLeader(ctx, s, false, func(l leader) ([]string, error) { return l.Unlock(ctx, req) })
}

// Extend starts the life of holds anew.
func (s *Store) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	if s.peers == nil {
		return s.Service.Extend(ctx, req)
	}
	req, err := req.Normal()
	if err != nil {
		return holdfast.Extension{}, err
	}
	return viaLeader(ctx, s, true, func(l leader) (holdfast.Extension, error) { return l.Extend(ctx, req) })
}

// Force releases a key whoever holds it.
func (s *Store) Force(ctx context.Context, req holdfast.ForceRequest) ([]holdfast.Released, error) {
	return viaLeader(ctx, s, false, func(l leader) ([]holdfast.Released, error) { return l.Force(ctx, req) })
}

// Check says whether anybody holds one of the keys.
func (s *Store) Check(ctx context.Context, keys []string) (bool, error) {
	return viaLeader(ctx, s, true, func(l leader) (bool, error) { return l.Check(ctx, keys) })
}

// List gives a page of the keys that are held or waited for.
func (s *Store) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	return viaLeader(ctx, s, true, func(l leader) (holdfast.Page, error) { return l.List(ctx, req) })
}

// Get gives the state of one key.
func (s *Store) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	return viaLeader(ctx, s, true, func(l leader) (holdfast.Lock, error) { return l.Get(ctx, key) })
}

// Watch follows what happens, from leader to leader. Each counts events for
// itself, so that a change of leader is a gap.
func (s *Store) Watch(ctx context.Context, req holdfast.WatchRequest) (iter.Seq2[holdfast.Event, error], error) {
	open := func() (iter.Seq2[holdfast.Event, error], error) {
		return viaLeader(ctx, s, true, func(l leader) (iter.Seq2[holdfast.Event, error], error) { return l.Watch(ctx, req) })
	}
	events, err := open()
	if err != nil || s.peers == nil {
		return events, err
	}
	return func(yield func(holdfast.Event, error) bool) {
		for {
			var failed error
			for e, err := range events {
				if err != nil {
					failed = err
					break
				}
				req.After = e.ID
				if !yield(e, nil) {
					return
				}
			}
			if failed == nil || ctx.Err() != nil || s.route.isLeft() {
				if failed != nil {
					yield(holdfast.Event{}, failed)
				}
				return
			}
			if events, failed = open(); failed != nil {
				yield(holdfast.Event{}, failed)
				return
			}
			if req.After == 0 && !yield(holdfast.Event{Type: holdfast.EventGap}, nil) {
				return // nothing was seen yet, so nothing tells where to go on
			}
		}
	}, nil
}

// Backup writes the state as it is at some moment after the call: all that
// was answered before it is in it. The locks go on meanwhile. The bytes carry
// a checksum; Restore makes a store of them.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	return viaLeaderDo(ctx, s, func(l leader) error { return l.Backup(ctx, w) })
}
