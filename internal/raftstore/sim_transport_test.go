package raftstore

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// simTransport carries the messages of raft from and to one life of a node,
// each for itself: so they can be lost, come twice and overtake each other.
// A snapshot is a stream and comes once, whole or in part.
type simTransport struct {
	network   *simNetwork
	node      int
	self      raft.ServerAddress
	consumer  chan raft.RPC
	mu        sync.Mutex
	heartbeat func(raft.RPC)
	once      sync.Once
	over      chan struct{} // closed when this life is
}

var _ transport = (*simTransport)(nil)

const simMessageTimeout = 300 * time.Millisecond

var errLostMessage = errors.New("no answer came")

func newSimTransport(n *simNetwork, node int, self raft.ServerAddress) *simTransport {
	t := &simTransport{network: n, node: node, self: self, consumer: make(chan raft.RPC), over: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rafts[string(self)] = t
	return t
}

// Close ends it: nothing comes from there any more, and nothing arrives.
func (t *simTransport) Close() error {
	t.once.Do(func() {
		close(t.over)
		t.network.mu.Lock()
		defer t.network.mu.Unlock()
		if t.network.rafts[string(t.self)] == t {
			delete(t.network.rafts, string(t.self))
		}
	})
	return nil
}

func (t *simTransport) isOver() bool {
	select {
	case <-t.over:
		return true
	default:
		return false
	}
}

// send sends a message; its answer, if it comes, is put into the channel.
func (t *simTransport) send(target raft.ServerAddress, command any, data []byte) <-chan raft.RPCResponse {
	answers := make(chan raft.RPCResponse, 2)
	t.network.mu.Lock()
	to := t.network.rafts[string(target)]
	t.network.mu.Unlock()
	if to == nil || t.isOver() {
		return answers
	}
	command = copied(command)
	var taken atomic.Bool
	t.network.send(t.node, to.node, func() {
		if taken.Swap(true) && data != nil {
			return
		}
		answer, ok := to.take(copied(command), data)
		if !ok {
			return
		}
		t.network.send(to.node, t.node, func() {
			select {
			case answers <- answer:
			default:
			}
		})
	})
	return answers
}

// take hands a message that has arrived to raft, and gives its answer.
func (t *simTransport) take(command any, data []byte) (raft.RPCResponse, bool) {
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{Command: command, RespChan: answer}
	if data != nil {
		rpc.Reader = bytes.NewReader(data)
	}
	t.mu.Lock()
	heartbeat := t.heartbeat
	t.mu.Unlock()
	switch {
	case t.isOver():
		return raft.RPCResponse{}, false
	case heartbeat != nil && isHeartbeat(command):
		heartbeat(rpc)
	default:
		select {
		case t.consumer <- rpc:
		case <-t.over:
			return raft.RPCResponse{}, false
		}
	}
	select {
	case a := <-answer:
		return a, !t.isOver()
	case <-t.over:
		return raft.RPCResponse{}, false
	}
}

// isHeartbeat is how raft's own transport knows them.
func isHeartbeat(command any) bool {
	m, ok := command.(*raft.AppendEntriesRequest)
	return ok && m.Term != 0 && m.PrevLogEntry == 0 && m.PrevLogTerm == 0 && len(m.Entries) == 0 && m.LeaderCommitIndex == 0
}

// copied gives a message that shares nothing with the sender's, as if it had
// gone over a wire. The bytes of an entry never change.
func copied(command any) any {
	switch m := command.(type) {
	case *raft.AppendEntriesRequest:
		c := *m
		c.Entries = make([]*raft.Log, len(m.Entries))
		for i, entry := range m.Entries {
			e := *entry
			c.Entries[i] = &e
		}
		return &c
	case *raft.RequestVoteRequest:
		c := *m
		return &c
	case *raft.RequestPreVoteRequest:
		c := *m
		return &c
	case *raft.InstallSnapshotRequest:
		c := *m
		return &c
	case *raft.TimeoutNowRequest:
		c := *m
		return &c
	}
	panic("a message that the simulation does not know")
}

func (t *simTransport) await(answers <-chan raft.RPCResponse, limit time.Duration) (any, error) {
	select {
	case a := <-answers:
		return a.Response, a.Error
	case <-time.After(limit):
		return nil, errLostMessage
	case <-t.over:
		return nil, raft.ErrTransportShutdown
	}
}

// exchange sends a message and waits for its answer.
func exchange[T any](t *simTransport, target raft.ServerAddress, command any, data []byte, answer *T) error {
	a, err := t.await(t.send(target, command, data), simMessageTimeout)
	if err == nil {
		*answer = *a.(*T)
	}
	return err
}

func (t *simTransport) Consumer() <-chan raft.RPC     { return t.consumer }
func (t *simTransport) LocalAddr() raft.ServerAddress { return t.self }

func (t *simTransport) AppendEntries(_ raft.ServerID, target raft.ServerAddress, m *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse) error {
	return exchange(t, target, m, nil, a)
}

func (t *simTransport) RequestVote(_ raft.ServerID, target raft.ServerAddress, m *raft.RequestVoteRequest, a *raft.RequestVoteResponse) error {
	return exchange(t, target, m, nil, a)
}

func (t *simTransport) RequestPreVote(_ raft.ServerID, target raft.ServerAddress, m *raft.RequestPreVoteRequest, a *raft.RequestPreVoteResponse) error {
	return exchange(t, target, m, nil, a)
}

func (t *simTransport) TimeoutNow(_ raft.ServerID, target raft.ServerAddress, m *raft.TimeoutNowRequest, a *raft.TimeoutNowResponse) error {
	return exchange(t, target, m, nil, a)
}

func (t *simTransport) InstallSnapshot(_ raft.ServerID, target raft.ServerAddress, m *raft.InstallSnapshotRequest, a *raft.InstallSnapshotResponse, from io.Reader) error {
	data, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	t.network.mu.Lock()
	to := t.network.rafts[string(target)]
	if to != nil && t.network.links[[2]int{t.node, to.node}].rng.IntN(4) == 0 {
		data = data[:len(data)/2] // the connection breaks
	}
	t.network.mu.Unlock()
	return exchange(t, target, m, data, a)
}

func (t *simTransport) EncodePeer(_ raft.ServerID, peer raft.ServerAddress) []byte {
	return []byte(peer)
}
func (t *simTransport) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

func (t *simTransport) SetHeartbeatHandler(heartbeat func(raft.RPC)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heartbeat = heartbeat
}

// AppendEntriesPipeline sends entries without waiting for the answers to the
// ones before.
func (t *simTransport) AppendEntriesPipeline(_ raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p := &simPipeline{
		transport: t, target: target, over: make(chan struct{}), sent: make(chan *simAppend, 16), answered: make(chan raft.AppendFuture, 16),
	}
	go p.collect()
	return p, nil
}

type simPipeline struct {
	transport *simTransport
	target    raft.ServerAddress
	sent      chan *simAppend
	answered  chan raft.AppendFuture
	once      sync.Once
	over      chan struct{}
}

func (p *simPipeline) AppendEntries(m *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	select {
	case <-p.over:
		return nil, raft.ErrPipelineShutdown
	default:
	}
	future := &simAppend{began: time.Now(), request: m, response: a, done: make(chan struct{})}
	future.answers = p.transport.send(p.target, m, nil)
	select {
	case p.sent <- future:
		return future, nil
	case <-p.over:
	case <-p.transport.over:
	}
	return nil, raft.ErrPipelineShutdown
}

// collect gives the answers in the order of the messages. When one is lost, so
// are all behind it.
func (p *simPipeline) collect() {
	lost := false
	for {
		select {
		case future := <-p.sent:
			future.err = errLostMessage
			if !lost {
				var a any
				if a, future.err = p.transport.await(future.answers, simMessageTimeout); future.err == nil {
					*future.response = *a.(*raft.AppendEntriesResponse)
				}
			}
			lost = future.err != nil
			close(future.done)
			select {
			case p.answered <- future:
			case <-p.over:
				return
			case <-p.transport.over:
				return
			}
		case <-p.over:
			return
		case <-p.transport.over:
			return
		}
	}
}

func (p *simPipeline) Consumer() <-chan raft.AppendFuture { return p.answered }

func (p *simPipeline) Close() error {
	p.once.Do(func() { close(p.over) })
	return nil
}

// simAppend is a message in a pipeline, and later its answer.
type simAppend struct {
	began    time.Time
	request  *raft.AppendEntriesRequest
	response *raft.AppendEntriesResponse
	answers  <-chan raft.RPCResponse
	done     chan struct{}
	err      error
}

func (a *simAppend) Error() error                          { <-a.done; return a.err }
func (a *simAppend) Start() time.Time                      { return a.began }
func (a *simAppend) Request() *raft.AppendEntriesRequest   { return a.request }
func (a *simAppend) Response() *raft.AppendEntriesResponse { return a.response }
