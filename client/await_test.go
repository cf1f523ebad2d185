package client

import (
	"context"
	"net/url"
	"testing"

	"holdfast"
	"holdfast/internal/wire"
)

// unconnected is a stream without a socket: a write would panic.
func unconnected() *stream {
	return &stream{server: new(url.URL), calls: map[uint64]*sent{}, wake: make(chan struct{}, 1), over: make(chan struct{})}
}

// Who asks writes only what cannot get stuck; else the end of its ctx could not
// let it go.
func TestWhoAsksWritesWhatCannotGetStuck(t *testing.T) {
	for name, test := range map[string]struct {
		before func(s *stream)
		size   int
		itself bool
	}{
		"nothing is under way": {itself: true},
		"a call is under way":  {before: func(s *stream) { s.calls[s.last] = &sent{} }},
		"a call was given up":  {before: func(s *stream) { s.calls[s.last] = &sent{}; s.forget(s.last) }},
		"its answer has come": {before: func(s *stream) {
			s.calls[s.last] = &sent{}
			s.forget(s.last)
			s.handOut([]wire.Answer{{Head: wire.Head{ID: s.last}}})
		}, itself: true},
		"somebody writes": {before: func(s *stream) { s.writing = true }},
		"something waits": {before: func(s *stream) { s.withdraw(s.last) }},
		"it is short":     {size: shortMessage, itself: true},
		"it is long":      {size: shortMessage + 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := unconnected()
			s.last = 7
			if test.before != nil {
				test.before(s)
			}
			s.last++
			s.calls[s.last] = &sent{}
			s.put(test.size)
			s.unsent = append(s.unsent, make([]byte, max(0, test.size-len(s.unsent)))...)
			if itself := s.unhindered(); itself != test.itself {
				t.Errorf("it writes itself: %v", itself)
			}
		})
	}
}

// A call that was given up before it was written may still go out with the
// next message, unless the connection has ended.
func TestWhatWaitsToBeWrittenMayStillHappen(t *testing.T) {
	for name, test := range map[string]struct {
		written, ended, unknown bool
	}{
		"it waits to be written":             {unknown: true},
		"it was written":                     {written: true, unknown: true},
		"the connection ended after that":    {written: true, ended: true, unknown: true},
		"the connection ended before it was": {ended: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := unconnected()
			s.writing = true
			call, err := s.send(posting(wire.OpUnlock, holdfast.UnlockRequest{}, wire.AppendUnlock))
			if err != nil {
				t.Fatal(err)
			}
			if test.written {
				s.written = call.id
			}
			if test.ended {
				s.err = errClosed
			}
			if _, trouble := s.giveUp(call, context.DeadlineExceeded); trouble.OutcomeUnknown != test.unknown {
				t.Errorf("unknown: %v", trouble.OutcomeUnknown)
			}
		})
	}
}

// What was not written when the connection ended is not written afterwards,
// even if who writes comes to it only then.
func TestNothingIsWrittenAfterTheEnd(t *testing.T) {
	for range 100 { // who writes may hear of either first
		s := unconnected()
		s.writing = true
		if _, err := s.send(posting(wire.OpUnlock, holdfast.UnlockRequest{}, wire.AppendUnlock)); err != nil {
			t.Fatal(err)
		}
		s.writing, s.err = false, errClosed
		close(s.over)
		s.write() // it has no socket: a write would panic
	}
}
