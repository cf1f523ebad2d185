package client

import (
	"context"
	"net/url"
	"testing"

	"holdfast"
	"holdfast/internal/wire"
)

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
			s := &stream{server: new(url.URL), calls: map[uint64]*sent{}, wake: make(chan struct{}, 1), over: make(chan struct{})}
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
		s := &stream{server: new(url.URL), calls: map[uint64]*sent{}, wake: make(chan struct{}, 1), over: make(chan struct{})}
		if _, err := s.send(posting(wire.OpUnlock, holdfast.UnlockRequest{}, wire.AppendUnlock)); err != nil {
			t.Fatal(err)
		}
		s.err = errClosed
		close(s.over)
		s.write() // it has no socket: a write would panic
	}
}
