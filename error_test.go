package holdfast_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"holdfast"
)

func TestRefusalsSayWhy(t *testing.T) {
	for _, test := range []struct {
		err  *holdfast.Error
		want string
	}{
		{holdfast.Invalid("uid: %d bytes", 300), "invalid: uid: 300 bytes"},
		{holdfast.Locked(nil), "locked: locked"},
		{holdfast.Locked([]holdfast.Blocker{{Key: "x", UID: "a"}, {Key: "y", UID: "b"}}), `locked: key "x" is held by "a"`},
		{holdfast.Locked([]holdfast.Blocker{{Key: "x", UID: "a", Waiting: true}}), `locked: "a" waits for key "x" ahead of you`},
		{holdfast.Deadlock(nil), "deadlock: waiting would never end"},
		{holdfast.Deadlock([]holdfast.Link{{UID: "a", Key: "x"}, {UID: "b", Key: "y"}}),
			`deadlock: waiting would never end: "a" waits for "x", held by "b", who waits for "y", held by "a"`},
		{holdfast.Unavailable(io.EOF, "no %s", "leader"), "unavailable: no leader"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
	if e := holdfast.Unavailable(io.EOF, "gone"); e.RetryAfter != time.Second || !errors.Is(e, io.EOF) || e.OutcomeUnknown {
		t.Errorf("%+v", e)
	}
	blockers := []holdfast.Blocker{{Key: "x", UID: "a"}}
	cycle := []holdfast.Link{{UID: "a", Key: "x"}}
	if len(holdfast.Locked(blockers).Blockers) != 1 || len(holdfast.Deadlock(cycle).Cycle) != 1 {
		t.Error("it is said in words alone")
	}
}

// A refusal becomes one of unknown outcome, and stays as it is for those who
// know it; what is no refusal stays what it is.
func TestAnUnknownOutcome(t *testing.T) {
	refusal := holdfast.Unavailable(io.EOF, "gone")
	unknown := holdfast.Unknown(fmt.Errorf("wrapped: %w", refusal))
	if e, ok := unknown.(*holdfast.Error); !ok || !e.OutcomeUnknown || e.Code != holdfast.CodeUnavailable || e.Message != "gone" {
		t.Errorf("%+v", unknown)
	}
	if refusal.OutcomeUnknown {
		t.Error("the refusal has changed")
	}
	if holdfast.Unknown(io.EOF) != io.EOF || holdfast.Unknown(nil) != nil {
		t.Error("another error is not what it was")
	}
	for want, err := range map[holdfast.Code]error{
		holdfast.CodeUnavailable: fmt.Errorf("wrapped: %w", refusal), "": io.EOF,
	} {
		if got := holdfast.ErrorCode(err); got != want {
			t.Errorf("the code of %v is %q", err, got)
		}
	}
}
