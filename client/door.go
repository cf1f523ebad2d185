package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// When a server or a proxy has no stream, it is asked for one again after
// firstRefusal, and then after twice as long each time, up to longestRefusal.
const (
	firstRefusal   = time.Second
	longestRefusal = time.Minute
)

// door leads to the stream of one server. The stream is opened by the first
// who needs it, and shared by all.
type door struct {
	server    *url.URL
	header    http.Header // of each request
	transport http.RoundTripper

	stream atomic.Pointer[stream] // nil if there is none; it may be over

	mu      sync.Mutex
	opening *opening
	closed  bool          // no stream is opened any more: nobody would close it
	refused instant       // when there was no stream last
	pause   time.Duration // for so long it is not asked for again; zero if there was one
	silent  bool          // nothing at all was said when it was asked for last
}

// opening is an attempt to open a stream.
type opening struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it is over
	err    error         // then: why the server cannot be reached; nil if that is not so
}

// attempt puts a call to the server over the stream. Instead says that it has
// to be a request of its own.
func (d *door) attempt(ctx context.Context, call *call) (_ []byte, _ *trouble, instead bool) {
	for {
		s := d.stream.Load()
		if s != nil && call.keeps && s.doubtful() {
			return nil, nil, true
		}
		if s != nil {
			sent, err := s.send(call)
			if err == nil {
				answer, trouble := s.await(ctx, call, sent)
				return answer, trouble, false
			}
			if err == errFull {
				return nil, nil, true
			}
		}
		opened, err := d.open(ctx, s, call)
		if err != nil {
			t := away(d.server, err)
			t.OutcomeUnknown = false // it was not sent
			return nil, t, false
		}
		if !opened {
			return nil, nil, true
		}
	}
}

// open opens a stream in the place of one that is over, unless somebody has
// done so. It fails when the server cannot be reached. False says that there
// is no stream to be had for now.
//
// Where there was none last, only who asks for a grant waits for the outcome: a
// proxy may be silent about it for longer than it takes to lose a hold. But one
// who would stand in line must know that the server itself is not silent.
func (d *door) open(ctx context.Context, instead *stream, call *call) (bool, error) {
	d.mu.Lock()
	if d.stream.Load() != instead {
		d.mu.Unlock()
		return true, nil
	}
	if d.closed || d.pause > 0 && d.refused.since() < d.pause {
		d.mu.Unlock()
		return false, nil
	}
	o := d.opening
	if o == nil {
		o = &opening{done: make(chan struct{})}
		var dialling context.Context
		dialling, o.cancel = context.WithTimeout(context.Background(), answerWithin)
		d.opening = o
		go d.dial(dialling, o)
	}
	beside := d.pause > 0 && !call.grants
	d.mu.Unlock()
	if beside {
		return false, nil
	}
	var enough <-chan time.Time
	if by, ok := ctx.Deadline(); ok && (call.keeps || call.gives) {
		// To extend a hold, or to give it back, does not hang on this one
		// connection alone.
		timer := time.NewTimer(time.Until(by) / 2)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-o.done:
		return o.err == nil && d.stream.Load() != instead, o.err
	case <-enough:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// dial opens a stream.
func (d *door) dial(ctx context.Context, o *opening) {
	defer o.cancel()
	defer close(o.done)
	socket, err := d.upgrade(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opening = nil
	if d.closed {
		if err == nil {
			socket.Close()
		}
		return
	}
	d.silent = err != nil && ctx.Err() == context.DeadlineExceeded
	if err == nil {
		d.pause = 0
		d.stream.Store(newStream(d.server, socket))
		return
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		o.err = err // nor would a request of its own reach the server
		return
	}
	d.refused, d.pause = now(), min(max(firstRefusal, 2*d.pause), longestRefusal)
	if d.silent {
		// More likely the server is silent than a proxy. A request of its own
		// might be waited for as long as it would stand in line; but the next
		// one to this server does without a stream.
		o.err = errSilent
	}
}

// isSilent says whether the server has been silent when it was asked for a
// stream last.
func (d *door) isSilent() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.silent
}

// upgrade makes a connection to the server and turns it into a WebSocket.
func (d *door) upgrade(ctx context.Context) (*websocket.Conn, error) {
	t := &tunnel{ctx: ctx, server: d.server, header: d.header, transport: d.transport}
	dialer := websocket.Dialer{
		NetDialContext:  func(context.Context, string, string) (net.Conn, error) { return t, nil },
		ReadBufferSize:  16 << 10,
		WriteBufferSize: 16 << 10,
	}
	socket, _, err := dialer.DialContext(ctx, "ws://"+d.server.Host, nil)
	if err != nil {
		t.Close()
		if t.err != nil {
			err = t.err
		}
	}
	return socket, err
}

// shut closes the stream as soon as it carries no call. Calls that come later
// are requests of their own.
func (d *door) shut() {
	d.mu.Lock()
	d.closed = true
	if d.opening != nil {
		d.opening.cancel()
	}
	d.mu.Unlock()
	if s := d.stream.Load(); s != nil {
		s.retire()
	}
}
