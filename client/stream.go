package client

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"holdfast/internal/wire"
)

// keptBuffer is the largest buffer that waits for the next message.
const keptBuffer = 256 << 10

// fullMessage is how many bytes are gathered into one message: so many that
// more would save little, and few enough for a server that takes less than
// most do; too few also for more requests than it takes, since each has some
// bytes. A call that is larger goes alone.
const fullMessage = 64 << 10

// streamCalls is how many calls one connection carries at once; the server
// takes as many. What is beyond goes as a request of its own.
const streamCalls = 4096

// manyCalls is how many are gathered into a message before it goes out, so that
// the server works while others ask. With half as many, or twice, it is a little
// slower; all together, it makes a third less for 64 goroutines or more. What is
// asked while a message is being written still goes out together.
const manyCalls = 8

// shortMessage is how many bytes go into the buffer of any connection from which
// the server has taken all that was written before.
const shortMessage = 4 << 10

// stream is a connection that carries any number of calls. What is asked while
// a message is being written goes out with the next one.
type stream struct {
	server *url.URL
	socket *websocket.Conn
	heard  atomic.Uint64 // messages and pongs
	doubt  atomic.Uint64 // what heard was when a hold could not be extended, plus one; zero if that never was
	work   sync.WaitGroup
	beat   *time.Timer
	spare  sync.Pool // *sent: that have been answered, to be used again

	mu       sync.Mutex
	calls    map[uint64]*sent // that have no answer yet, by id
	overdue  *time.Timer      // looks for those that get none in time; nil until the first call
	due      time.Time        // when it does so next; zero if it does not
	last     uint64           // id given
	full     [][]byte         // messages that wait to be written, and take no more requests
	body     []byte           // of the call that was sent last, for its room
	unsent   []byte           // requests that wait after them, as an array not closed yet
	count    int              // of them
	texts    [][]byte         // what is being written, for its room
	waiting  []*sent          // for a message of answers, for its room; of the reader
	room     []byte           // for what waits while something is being written
	writing  bool             // somebody writes
	written  uint64           // the last id that was, or is being, written
	missing  int              // answers for which nobody waits any more, and which have not come
	wake     chan struct{}    // there is something to write
	retiring bool             // to be closed when no call is left
	over     chan struct{}    // closed with the connection
	err      error            // why it ended
}

// sent is a call that waits for its answer.
type sent struct {
	id     uint64
	answer chan wire.Answer // without a Status: the connection has ended; see also late
	limit  time.Time        // for the server
	heard  uint64           // messages and pongs before it was sent
}

// late is the Status of an answer that did not come in time.
const late = -1

// newStream takes over a connection.
func newStream(server *url.URL, socket *websocket.Conn) *stream {
	s := &stream{
		server: server,
		socket: socket,
		calls:  map[uint64]*sent{},
		wake:   make(chan struct{}, 1),
		over:   make(chan struct{}),
	}
	socket.SetReadLimit(maxAnswer)
	socket.SetPongHandler(func(string) error { s.heard.Add(1); return nil })
	s.keepAlive()
	s.work.Go(s.write)
	s.work.Go(s.read)
	return s
}

// doubtful says whether a hold could not be extended in time, and nothing has
// been heard since that was asked for: what stands in between may have
// forgotten the connection. A hold may not live until it is closed for that.
func (s *stream) doubtful() bool { return s.doubt.Load() == s.heard.Load()+1 }

// retire closes the connection as soon as it carries no call, and waits for
// that if it carries none now.
func (s *stream) retire() {
	s.mu.Lock()
	s.retiring = true
	idle := len(s.calls) == 0
	s.mu.Unlock()
	if idle {
		s.close(errClosed)
		s.work.Wait()
	}
}

var errClosed = errors.New("the connection was closed")

// close ends the connection. Whoever waits for an answer hears that there will
// be none.
func (s *stream) close(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	calls := s.calls
	s.calls = nil
	if s.overdue != nil {
		s.overdue.Stop()
	}
	close(s.over)
	s.mu.Unlock()
	s.beat.Stop()
	if err == errClosed {
		goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		s.socket.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(time.Second))
	}
	s.socket.Close()
	for _, call := range calls {
		call.answer <- wire.Answer{}
	}
}

// keepAlive sends a ping when nothing was heard for a while, and closes the
// connection when that does not help.
func (s *stream) keepAlive() {
	silent, last := false, uint64(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beat = time.AfterFunc(wire.HeartbeatEvery, func() {
		heard := s.heard.Load()
		if silent && heard == last {
			s.close(errSilent)
			return
		}
		if silent = heard == last; silent {
			s.socket.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		}
		last = heard
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			s.beat.Reset(wire.HeartbeatEvery)
		}
	})
}

var errSilent = errors.New("nothing was heard from it")

var (
	errOver = errors.New("the connection takes no more calls")
	errFull = errors.New("the connection carries as many calls as it may")
)

// send puts a call on its way. It fails with errOver or errFull.
func (s *stream) send(call *call) (*sent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil || s.retiring:
		return nil, errOver
	case len(s.calls)+s.missing >= streamCalls:
		return nil, errFull
	}
	body, wait := call.body(s.body[:0])
	if s.body = body; cap(body) > keptBuffer {
		s.body = nil
	}
	s.last++
	it, ok := s.spare.Get().(*sent)
	if !ok {
		it = &sent{answer: make(chan wire.Answer, 1)}
	}
	it.id, it.limit, it.heard = s.last, time.Now().Add(answerWithin+wait), s.heard.Load()
	s.calls[it.id] = it
	s.lookAt(it.limit)
	s.put(len(body))
	s.unsent = wire.AppendCall(s.unsent, it.id, call.op, call.bind, body)
	if s.unhindered() {
		s.writeOut()
	} else {
		s.wakeWriter()
	}
	return it, nil
}

// unhindered says whether who asks can write what waits. That takes less long
// than to have it written; but who writes cannot leave when its ctx ends, so it
// must not get stuck: all that was sent before has been answered.
func (s *stream) unhindered() bool {
	return !s.writing && s.count == 1 && len(s.calls) == 1 && s.missing == 0 && len(s.unsent) <= shortMessage
}

// wakeWriter wakes the one who writes what nobody else does.
func (s *stream) wakeWriter() {
	if s.writing {
		return // writeOut does so when it is done
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// lookAt has the calls looked at then, unless that is done before. One timer for
// all costs each of them next to nothing.
func (s *stream) lookAt(limit time.Time) {
	if s.due.IsZero() || limit.Before(s.due) {
		s.due = limit
		if s.overdue == nil {
			s.overdue = time.AfterFunc(time.Until(limit), s.lookAtLimits)
			return
		}
		s.overdue.Reset(time.Until(limit))
	}
}

// lookAtLimits tells those who wait for an answer that did not come in time.
func (s *stream) lookAtLimits() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.due = time.Time{}
	for id, call := range s.calls {
		if call.limit.After(now) {
			s.lookAt(call.limit)
			continue
		}
		delete(s.calls, id)
		s.missing++
		call.answer <- wire.Answer{Head: wire.Head{Status: late}}
	}
}

// put makes room for one more request, of about so many bytes.
func (s *stream) put(size int) {
	if s.count > 0 && len(s.unsent)+size > fullMessage {
		s.full = append(s.full, closed(s.unsent, s.count))
		s.unsent, s.count = nil, 0
	}
	if s.count == 0 {
		s.unsent = append(s.unsent[:0], '[')
	} else {
		s.unsent = append(s.unsent, ',')
	}
	s.count++
}

// closed is the message of so many requests: one as it is, or an array.
func closed(requests []byte, count int) []byte {
	if count == 1 {
		return requests[1:]
	}
	return append(requests, ']')
}

// withdraw asks the server to give up a call, and soon to answer it if it has
// not.
func (s *stream) withdraw(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if call := s.calls[id]; call != nil {
		call.limit = time.Now().Add(linger)
		s.lookAt(call.limit)
	}
	if s.err == nil {
		s.put(0)
		s.unsent = wire.AppendCancel(s.unsent, id)
		s.wakeWriter()
	}
}

// forget says that nobody waits for the answer of a call any more.
func (s *stream) forget(id uint64) {
	s.mu.Lock()
	if _, waits := s.calls[id]; waits {
		delete(s.calls, id)
		s.missing++
	}
	last := s.retiring && len(s.calls) == 0
	s.mu.Unlock()
	if last {
		s.close(errClosed)
	}
}

// mayBeHeard says whether the server may have heard of a call, or may yet hear
// of it: what waits to be written goes out unless the connection ends before.
func (s *stream) mayBeHeard(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return id <= s.written || s.err == nil
}

// write writes what there is to write, until the connection ends.
func (s *stream) write() {
	for {
		select {
		case <-s.wake:
		case <-s.over:
			return
		}
		s.gather()
		s.mu.Lock()
		if !s.writing && s.count > 0 {
			s.writeOut()
		}
		s.mu.Unlock()
	}
}

// writeOut writes what has been put, in messages of its own. It lets go of mu
// meanwhile, and whatever is put then is for who writes to write.
func (s *stream) writeOut() {
	if s.err != nil {
		return // who asked has been told that it was not sent
	}
	unsent := s.unsent
	texts := append(append(s.texts[:0], s.full...), closed(unsent, s.count))
	s.unsent, s.room = s.room, nil
	s.full, s.count, s.written, s.writing = nil, 0, s.last, true
	s.mu.Unlock()
	var err error
	for _, text := range texts {
		if err = s.socket.WriteMessage(websocket.TextMessage, text); err != nil {
			s.close(err)
			break
		}
	}
	clear(texts)
	s.mu.Lock()
	s.texts, s.writing = texts, false
	if cap(unsent) <= keptBuffer {
		s.room = unsent
	}
	if s.count > 0 {
		s.wakeWriter()
	}
}

// gather lets the others run until nobody has more to ask, or there are many
// calls: one message with many costs little more than one with one.
func (s *stream) gather() {
	const enough = 8
	before := 0
	for range enough {
		s.mu.Lock()
		count, full := s.count, len(s.full) > 0
		s.mu.Unlock()
		if count == before || count >= manyCalls || full {
			return
		}
		before = count
		runtime.Gosched()
	}
}

// read hands out answers until the connection ends.
func (s *stream) read() {
	var message bytes.Buffer
	var answers []wire.Answer
	for {
		_, r, err := s.socket.NextReader()
		if err == nil {
			message.Reset()
			_, err = message.ReadFrom(r)
		}
		if err == nil {
			answers, err = wire.ReadAnswers(message.Bytes(), answers[:0])
		}
		if err == nil {
			err = s.handOut(answers)
		}
		if err != nil {
			s.close(err)
			return
		}
		s.heard.Add(1)
		clear(answers)
		if message.Cap() > keptBuffer {
			message = bytes.Buffer{}
		}
	}
}

// handOut gives answers to those who wait for them.
func (s *stream) handOut(answers []wire.Answer) (err error) {
	waiting := s.waiting[:0]
	s.mu.Lock()
	for _, answer := range answers {
		if answer.ID == 0 {
			err = fmt.Errorf("it did not understand: %w", wire.ReadError(answer.Body))
			break
		}
		if answer.Status <= 0 {
			err = errors.New("an answer of it has no status")
			break
		}
		call, waits := s.calls[answer.ID]
		if waits {
			delete(s.calls, answer.ID)
		} else if s.missing > 0 {
			s.missing--
		}
		waiting = append(waiting, call)
	}
	if err == nil && s.retiring && len(s.calls) == 0 {
		err = errClosed
	}
	s.mu.Unlock() // each of them is about to lock it
	for i, call := range waiting {
		if call != nil {
			call.answer <- answers[i]
		}
	}
	clear(waiting)
	s.waiting = waiting
	return err
}
