package wire

import (
	"time"

	"holdfast"
)

// Error is a refusal, as AppendError writes it.
type Error struct {
	Code     holdfast.Code   `json:"error"`
	Message  string          `json:"message"`
	Blockers []Blocker       `json:"blockers,omitzero"`
	Cycle    []holdfast.Link `json:"cycle,omitzero"`
	Outcome  string          `json:"outcome,omitzero"`
}

// Blocker is who stands in the way, in an Error. One who stands in line has
// no version and no exp.
type Blocker struct {
	Key     string        `json:"key"`
	UID     string        `json:"uid"`
	Version uint64        `json:"version,omitzero"`
	Exp     Millis        `json:"exp,omitzero"`
	Mode    holdfast.Mode `json:"mode"`
	Note    string        `json:"note,omitzero"`
	Waiting bool          `json:"waiting"`
}

func (b Blocker) root() holdfast.Blocker {
	return holdfast.Blocker{
		Key:     b.Key,
		UID:     b.UID,
		Version: b.Version,
		Mode:    b.Mode,
		Exp:     b.Exp.Duration(),
		Note:    b.Note,
		Waiting: b.Waiting,
	}
}

// ReadError reads a refusal. RetryAfter does not stand in the body, and is
// for the caller to fill in. A body that is no refusal is one too: of code
// unavailable, with an unknown outcome.
func ReadError(body []byte) *holdfast.Error {
	answer, err := known(body, func(a Error) bool { return a.Code != "" })
	if err != nil {
		return err.(*holdfast.Error)
	}
	e := &holdfast.Error{
		Code:           answer.Code,
		Message:        answer.Message,
		Cycle:          answer.Cycle,
		OutcomeUnknown: answer.Outcome == "unknown",
	}
	if len(answer.Blockers) > 0 {
		e.Blockers = each(answer.Blockers, Blocker.root)
	}
	return e
}

// Status gives the HTTP status that carries a refusal of this code.
func Status(code holdfast.Code) int {
	switch code {
	case holdfast.CodeInvalid:
		return 400
	case holdfast.CodeUnauthenticated:
		return 401
	case holdfast.CodeForbidden:
		return 403
	case holdfast.CodeNotFound:
		return 404
	case holdfast.CodeMethodNotAllowed:
		return 405
	case holdfast.CodeLocked, holdfast.CodeDeadlock:
		return 409
	case holdfast.CodeTooLarge:
		return 413
	case holdfast.CodeUnsupportedMedia:
		return 415
	case holdfast.CodeLimit:
		return 429
	case holdfast.CodeCancelled:
		return 499
	}
	return 503
}

// RetryAfter gives the whole seconds after which to ask again: at least one
// for a code that wants it, and zero for any other.
func RetryAfter(e *holdfast.Error) int64 {
	if e.Code != holdfast.CodeUnavailable && e.Code != holdfast.CodeLimit {
		return 0
	}
	return max(1, int64((e.RetryAfter+time.Second-1)/time.Second))
}
