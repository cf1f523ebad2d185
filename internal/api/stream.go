package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"holdfast"
	"holdfast/internal/wire"
)

const (
	// maxUnderWay is how many requests of one connection may be under way.
	maxUnderWay = 4096

	// maxUnsent is how many bytes of answers may wait to be sent before
	// whoever has more must wait.
	maxUnsent = 1 << 20

	// maxBatch is how many bytes of answers are gathered while a message is
	// worked through: some ten answers, so that the client goes on with them
	// while the others are made.
	maxBatch = 1 << 10

	// keptCalls is how many requests the room that waits for the next message
	// has at most.
	keptCalls = 512

	// farewell is how long a client may take to close its side.
	farewell = time.Second
)

// upgrader reads and writes with small buffers of its own: a message is copied
// into one that grows, and the buffer for writing is borrowed.
var upgrader = websocket.Upgrader{
	ReadBufferSize:  4 << 10,
	WriteBufferSize: 16 << 10,
	WriteBufferPool: new(sync.Pool),
	CheckOrigin:     func(*http.Request) bool { return true }, // Handler.checkOrigin has
	Error:           func(http.ResponseWriter, *http.Request, int, error) {},
}

// stream is one connection of GET /stream. One goroutine, that of the HTTP
// request, reads; a call that may have to wait has a goroutine of its own.
// Whoever has an answer while nobody writes becomes the writer, until nothing
// is left to write: so nobody has to be woken for it.
type stream struct {
	handler *Handler
	id      string // of the request that opened it; empty if it has none
	socket  *websocket.Conn
	ctx     context.Context // ends with the connection
	end     context.CancelCauseFunc

	heard atomic.Uint64 // messages and pongs
	batch answers       // of the reader

	tasks chan task    // for workers that have nothing to do
	idle  atomic.Int32 // how many they are

	mu      sync.Mutex
	changed sync.Cond                          // for those who wait for room, or for the end of all calls
	calls   map[uint64]context.CancelCauseFunc // under way, by id
	unsent  answers
	spare   []byte // a buffer for the next ones
	writing bool
	reading bool // the reader works through a message
	closing bool // no call begins any more
	over    bool // nothing can be written any more

	// Guarded by the mutex of the handler's ties.
	tied   map[tie]time.Time // with when it ends at the soonest
	tidyAt int
}

// openStream is GET /stream.
func (h *Handler) openStream(x *exchange) error {
	if h.stopping.Err() != nil {
		return context.Cause(h.stopping)
	}
	if !websocket.IsWebSocketUpgrade(x.request) {
		if x.request.ProtoMajor == 1 {
			x.writer.Header().Set("Upgrade", "websocket")
		}
		return holdfast.Invalid("Upgrade: this path is for WebSocket connections")
	}
	leave, tooMany := h.streaming.enter(x.request.RemoteAddr)
	if tooMany != "" {
		return overLimit("streams: %s", tooMany)
	}
	defer leave()
	socket, err := upgrader.Upgrade(x.writer, x.request, http.Header{headerRequestID: x.writer.Header()[headerRequestID]})
	if _, refused := errors.AsType[websocket.HandshakeError](err); !refused { // the connection is not net/http's any more
		x.status = http.StatusSwitchingProtocols
	}
	if err != nil {
		return holdfast.Invalid("Upgrade: %v", err)
	}
	s := &stream{
		handler: h, id: x.id, socket: socket,
		calls: map[uint64]context.CancelCauseFunc{}, tied: map[tie]time.Time{}, tasks: make(chan task),
	}
	s.changed.L = &s.mu
	s.ctx, s.end = context.WithCancelCause(context.WithoutCancel(x.request.Context()))
	h.streams.run(s)
	return nil
}

// run serves the connection until it ends, and leaves nothing under way.
func (s *stream) run() {
	s.socket.SetReadLimit(int64(s.handler.options.Limits.Body))
	s.socket.SetPongHandler(func(string) error { s.heard.Add(1); return nil })
	defer s.beat()()
	defer context.AfterFunc(s.handler.stopping, s.leave)()
	s.read()
	s.close()
	s.end(s.handler.options.Lost)
	s.mu.Lock()
	for len(s.calls) > 0 || s.writing {
		s.changed.Wait()
	}
	s.mu.Unlock()
	close(s.tasks)
	s.handler.ties.loosen(s)
}

// close ends the connection, whatever is under way.
func (s *stream) close() {
	s.mu.Lock()
	s.over = true
	s.changed.Broadcast()
	s.mu.Unlock()
	s.socket.Close()
}

// beat sends a ping when nothing was heard for a while, and closes the
// connection when that does not help.
func (s *stream) beat() (stop func()) {
	var mu sync.Mutex // guards the rest
	mu.Lock()
	defer mu.Unlock()
	silent, stopped, last := false, false, uint64(0)
	var timer *time.Timer
	timer = time.AfterFunc(wire.HeartbeatEvery, func() {
		s.dismiss()
		mu.Lock()
		defer mu.Unlock()
		heard := s.heard.Load()
		// No ping gets through while something is written. A client that does
		// not take that either is cut off by the deadline for writing.
		quiet := heard == last && !s.isWriting()
		if silent && quiet {
			s.close()
			return
		}
		if silent = quiet; silent {
			s.socket.WriteControl(websocket.PingMessage, nil, time.Now().Add(farewell))
		}
		last = heard
		if !stopped {
			timer.Reset(wire.HeartbeatEvery)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

func (s *stream) isWriting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing
}

// leave closes the connection in good order: what is under way is answered,
// and the client is told that the server goes.
func (s *stream) leave() {
	s.mu.Lock()
	s.closing = true
	for !s.over && (len(s.calls) > 0 || s.reading || s.writing || s.unsent.count > 0) {
		s.changed.Wait()
	}
	s.mu.Unlock()
	s.socket.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(websocket.CloseGoingAway, "the server is stopping"), time.Now().Add(farewell))
	s.socket.SetReadDeadline(time.Now().Add(farewell))
}

// read takes messages until the connection ends.
func (s *stream) read() {
	message := make([]byte, 0, 4<<10)
	var calls []wire.Call
	pace := pace{perSecond: s.handler.options.Limits.RequestsPerSecond}
	for {
		_, r, err := s.socket.NextReader()
		if err != nil {
			return
		}
		if message, err = readAll(r, message[:0]); err != nil {
			return
		}
		s.heard.Add(1)
		s.atWork(true)
		if calls, err = wire.DecodeCalls(message, calls[:0]); err != nil {
			s.refuse(new(wire.Call), err.(*holdfast.Error))
		}
		for i := range calls {
			if pace.perSecond > 0 && !pace.pass(time.Now()) && calls[i].Op != wire.OpCancel {
				s.refuse(&calls[i], overLimit("requests: more than %d in a second on this connection", pace.perSecond))
				continue
			}
			s.begin(&calls[i])
		}
		s.send(&s.batch, 0)
		s.atWork(false)
		if cap(message) > keptBuffer {
			message = make([]byte, 0, 4<<10)
		}
		if clear(calls); cap(calls) > keptCalls {
			calls = nil
		}
	}
}

// atWork notes whether the reader works through a message.
func (s *stream) atWork(reading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = reading
	if !reading && s.closing {
		s.changed.Broadcast()
	}
}

// readAll reads r to its end, and appends it to buffer.
func readAll(r io.Reader, buffer []byte) ([]byte, error) {
	for {
		if len(buffer) == cap(buffer) {
			buffer = slices.Grow(buffer, len(buffer)+1)
		}
		n, err := r.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if err == io.EOF {
			return buffer, nil
		}
		if err != nil {
			return buffer, err
		}
	}
}

// begin carries out a request, or sees that somebody does.
func (s *stream) begin(call *wire.Call) {
	switch {
	case call.Err != nil:
		s.refuse(call, call.Err.(*holdfast.Error))
	case call.Op == wire.OpCancel:
		s.cancel(call.ID)
	case s.handler.options.Prompt && s.room(call):
		began := time.Now()
		if rest := s.answer(s.ctx, began, &call.Request, nil, &s.batch); rest != nil {
			s.start(began, call.Request, rest)
		}
	default:
		s.start(time.Now(), call.Request, nil)
	}
	if len(s.batch.text) > maxBatch {
		s.send(&s.batch, 0)
	}
}

// refuse refuses a request that does not begin.
func (s *stream) refuse(call *wire.Call, refusal *holdfast.Error) {
	s.mu.Lock()
	_, taken := s.calls[call.ID]
	s.mu.Unlock()
	if taken {
		s.refuseTaken(&call.Request)
		return
	}
	s.refuseAs(call.ID, &call.Request, refusal)
}

// refuseTaken refuses a request with the id of one that is under way. With that
// id the refusal would be taken for the answer of that one.
func (s *stream) refuseTaken(call *wire.Request) {
	s.refuseAs(0, call, holdfast.Invalid("id: %d is that of a request that is under way", call.ID))
}

func (s *stream) refuseAs(id uint64, call *wire.Request, refusal *holdfast.Error) {
	asked := operationNone
	if call.Op != 0 {
		asked = operation(call.Op, call)
	}
	s.handler.tally.count(asked, string(refusal.Code), 0)
	s.batch.refuse(id, refusal)
}

// cancel withdraws a request. If it has been answered already, there is
// nothing to withdraw.
func (s *stream) cancel(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if withdraw := s.calls[id]; withdraw != nil {
		withdraw(errWithdrawn)
	}
}

var errWithdrawn = &holdfast.Error{Code: holdfast.CodeCancelled, Message: "the request was withdrawn"}

// room says whether a call can begin, and go on if it has to wait. Only the
// reader, who asks, begins any.
func (s *stream) room(call *wire.Call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, taken := s.calls[call.ID]
	return !taken && !s.closing && !s.over && (call.Wait == 0 || len(s.calls) < maxUnderWay)
}

// start carries out a request that may have to wait, or the rest of one.
func (s *stream) start(began time.Time, call wire.Request, rest rest) {
	ctx := s.ctx
	var withdraw context.CancelCauseFunc
	if call.Op == wire.OpLock {
		ctx, withdraw = context.WithCancelCause(ctx)
	}
	s.mu.Lock()
	_, taken := s.calls[call.ID]
	full := len(s.calls) >= maxUnderWay && rest == nil
	closing := (s.closing || s.over) && rest == nil
	if !taken && !full && !closing {
		s.calls[call.ID] = withdraw
	}
	s.mu.Unlock()
	switch {
	case closing:
		// The client hears that the connection ends.
	case taken:
		s.refuseTaken(&call)
	case full:
		s.refuseAs(call.ID, &call, &holdfast.Error{Code: holdfast.CodeLimit, Message: "too many requests are under way on this connection"})
	default:
		s.hand(task{ctx, withdraw, began, call, rest})
		return
	}
	if withdraw != nil {
		withdraw(nil)
	}
}

// answer carries out a request, or the rest of one, and adds its answer to a;
// or gives the rest of it.
func (s *stream) answer(ctx context.Context, began time.Time, call *wire.Request, last rest, a *answers) rest {
	a.next()
	begin := len(a.text)
	text, rest, err := s.do(ctx, call, last, a.text)
	outcome := outcomeOK
	switch {
	case rest != nil:
		a.undo()
		return rest
	case err == nil:
		a.text = text
	default:
		var refusal *holdfast.Error
		refusal, outcome = s.refusal(ctx, call, err)
		a.text = wire.AppendRefusal(a.text[:begin], call.ID, refusal)
	}
	s.handler.tally.count(operation(call.Op, call), outcome, time.Since(began))
	return nil
}

// refusal is the one that err is or stands for, and what has come of the
// request.
func (s *stream) refusal(ctx context.Context, call *wire.Request, err error) (refusal *holdfast.Error, outcome string) {
	refusal, ok := errors.AsType[*holdfast.Error](err)
	switch {
	case ok:
	case ctx.Err() != nil:
		return holdfast.Unavailable(err, "the connection has ended"), outcomeGone // so that nobody reads it
	default:
		refusal = s.handler.failure(s.id, "stream", call.Op.String(), err)
	}
	return refusal, string(refusal.Code)
}

// do carries out a request, or the last part of one, and appends its answer to
// out; or gives the rest of it.
func (s *stream) do(ctx context.Context, call *wire.Request, last rest, out []byte) (_ []byte, rest rest, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = s.handler.panicked(s.id, "stream", call.Op.String(), value)
		}
	}()
	head := wire.Head{ID: call.ID, Status: http.StatusOK}
	if call.Bind {
		head.Grace = s.handler.options.BindGrace
	}
	out = wire.AppendHead(out, head)
	body := len(out)
	if last != nil {
		out, err = last(ctx, out)
	} else {
		out, rest, err = s.handler.do(ctx, s, call.Op, call, out)
	}
	if err == nil && rest == nil {
		out[body] = ','
	}
	return out, rest, err
}
