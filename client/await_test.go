package client

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
			s.handOut([]wire.Answer{{Head: wire.Head{ID: s.last, Status: 200}}})
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

// One timer looks after all calls, and each has its own time.
func TestEachCallIsLateAtItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unconnected()
		s.writing = true
		began := time.Now()
		var all sync.WaitGroup
		for _, wait := range []time.Duration{time.Minute, 0, 10 * time.Second, time.Second, time.Hour} {
			all.Go(func() {
				call := posting(wire.OpUnlock, holdfast.UnlockRequest{}, wire.AppendUnlock)
				body := call.body
				call.body = func(dst []byte) ([]byte, time.Duration) { dst, _ = body(dst); return dst, wait }
				sent, err := s.send(call)
				if err != nil {
					t.Error(err)
					return
				}
				s.heard.Add(1) // so that it is not silent
				if _, trouble := s.await(t.Context(), call, sent); trouble == nil || !trouble.OutcomeUnknown {
					t.Errorf("answer: %v", trouble)
				}
				if took := time.Since(began); took != wait+answerWithin {
					t.Errorf("late after %v, not %v", took, wait+answerWithin)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if len(s.calls) != 0 || s.missing != 5 {
			t.Errorf("%d calls, %d answers missing", len(s.calls), s.missing)
		}
	})
}

// The answers before the one that ends the connection are given; whoever waits
// for another hears when it is closed.
func TestAnAnswerToNobodyEndsTheConnection(t *testing.T) {
	s := unconnected()
	one, two := &sent{answer: make(chan wire.Answer, 1)}, &sent{answer: make(chan wire.Answer, 1)}
	s.calls = map[uint64]*sent{1: one, 2: two}
	err := s.handOut([]wire.Answer{{Head: wire.Head{ID: 1, Status: 200}}, {Body: []byte(`{"error":"invalid","message":"m"}`)}, {Head: wire.Head{ID: 2}}})
	if holdfast.ErrorCode(err) != holdfast.CodeInvalid {
		t.Errorf("error: %v", err)
	}
	if len(one.answer) != 1 || len(two.answer) != 0 || s.calls[1] != nil || s.calls[2] != two {
		t.Errorf("%d and %d answers, calls left: %v", len(one.answer), len(two.answer), s.calls)
	}
}

// Nor is an answer without a status one: here that stands for the end of the
// connection, or of the time.
func TestAnAnswerWithoutStatusEndsTheConnection(t *testing.T) {
	for _, status := range []int{0, late} {
		s := unconnected()
		s.writing = true
		call := posting(wire.OpUnlock, holdfast.UnlockRequest{}, wire.AppendUnlock)
		sent, err := s.send(call)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.handOut([]wire.Answer{{Head: wire.Head{ID: sent.id, Status: status}}}); err == nil {
			_, trouble := s.await(t.Context(), call, sent)
			t.Errorf("status %d is taken for an answer: %v", status, trouble)
		}
		s.overdue.Stop()
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
