package api

import (
	"runtime"
	"sync"

	"github.com/gorilla/websocket"

	"holdfast"
	"holdfast/internal/wire"
)

// answers are some that have not been sent, as the text of an array that is
// not closed yet.
type answers struct {
	text  []byte
	count int
}

var scratch = sync.Pool{New: func() any { return new(answers) }}

// next makes room for one more.
func (a *answers) next() {
	if a.count == 0 {
		a.text = append(a.text[:0], '[')
	} else {
		a.text = append(a.text, ',')
	}
	a.count++
}

// undo takes the room back that next made.
func (a *answers) undo() {
	a.text = a.text[:len(a.text)-1]
	a.count--
}

// refuse adds a refusal.
func (a *answers) refuse(id uint64, refusal *holdfast.Error) {
	a.next()
	a.text = wire.AppendRefusal(a.text, id, refusal)
}

// take adds all of others, and leaves them empty.
func (a *answers) take(others *answers) {
	if a.count == 0 && cap(a.text) < cap(others.text) {
		a.text, others.text = others.text, a.text
		a.count, others.count = others.count, 0
		return
	}
	count := others.count
	a.next()
	a.text = append(a.text, others.text[1:]...)
	a.count += count - 1
	others.count = 0
}

// message is the text to send: one answer as it is, or an array.
func (a *answers) message() []byte {
	if a.count == 1 {
		return a.text[1:]
	}
	return append(a.text, ']')
}

// send sends answers, and leaves a empty. If somebody writes already, that one
// sends them too; if too much waits to be sent, send waits. With done, that
// call is over; without, they are those of the reader.
func (s *stream) send(a *answers, done uint64) {
	if a.count == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing && len(s.unsent.text) > maxUnsent && !s.over {
		s.changed.Wait()
	}
	if done != 0 {
		delete(s.calls, done)
	}
	if s.over {
		a.count = 0
		s.changed.Broadcast()
		return
	}
	s.unsent.take(a)
	if s.writing {
		return
	}
	s.writing = true
	if done != 0 || len(s.calls) > 0 { // what the reader did may have let in who stands in line here
		s.gather()
	}
	s.write()
	s.writing = false
	s.changed.Broadcast()
}

// gather lets the others run until no more answers come of it: one message
// with many of them costs little more than one with one.
func (s *stream) gather() {
	const enough = 8
	for range enough {
		before := s.unsent.count
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
		if s.unsent.count == before {
			return
		}
	}
}

// write writes until nothing is left to be sent.
func (s *stream) write() {
	var sending answers
	for s.unsent.count > 0 && !s.over {
		sending, s.unsent = s.unsent, answers{text: s.spare}
		s.spare = nil
		s.changed.Broadcast()
		s.mu.Unlock()
		err := s.socket.WriteMessage(websocket.TextMessage, sending.message())
		s.mu.Lock()
		if cap(sending.text) <= keptBuffer {
			s.spare = sending.text[:0]
		}
		if err != nil {
			s.over = true
			s.socket.Close() // which ends the reader
		}
	}
}
