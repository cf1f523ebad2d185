package keeper

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
)

// started is a service whose Lock comes in two parts.
type started struct{ *Service }

func (s started) StartLock(ctx context.Context, req holdfast.LockRequest) (
	_ holdfast.Grant, wait func(context.Context) (holdfast.Grant, error), _ error,
) {
	return StartLock(ctx, s.Service, req)
}

// A service whose Lock is one part does all of it where somebody may wait, if it
// may have to; otherwise it answers at once, as the other does whenever it can.
func TestStart(t *testing.T) {
	for name, test := range map[string]struct {
		parts bool
		key   string
		wait  time.Duration
		waits bool
		code  holdfast.Code
	}{
		"in one part, without a wait":          {false, "z", 0, false, ""},
		"in one part, refused":                 {false, "x", 0, false, holdfast.CodeLocked},
		"in one part, with a wait":             {false, "z", time.Second, true, ""},
		"in two parts, without a need to wait": {true, "z", time.Second, false, ""},
		"in two parts, in vain":                {true, "x", time.Second, true, holdfast.CodeLocked},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				var service holdfast.Service = p.Service
				if test.parts {
					service = started{p.Service}
				}
				req := holdfast.LockRequest{UID: "c", Keys: holdfast.Keys(test.key), Wait: test.wait}
				grant, wait, err := Start(t.Context(), service, req)
				if (wait != nil) != test.waits {
					t.Errorf("waits: %v", wait != nil)
				}
				if wait != nil {
					grant, err = wait(t.Context())
				}
				if holdfast.ErrorCode(err) != test.code || (err == nil) != (len(grant.Tokens) == 1) {
					t.Errorf("answer: %v, %v", grant, err)
				}
			})
		})
	}
}
