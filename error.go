package holdfast

import (
	"errors"
	"fmt"
	"time"
)

// Code says in one word why a request was refused.
type Code string

// The codes, each with the HTTP status that carries it.
const (
	CodeInvalid          Code = "invalid"                // 400: the request is malformed
	CodeUnauthenticated  Code = "unauthenticated"        // 401: no credentials, or wrong ones
	CodeForbidden        Code = "forbidden"              // 403: not allowed
	CodeNotFound         Code = "not_found"              // 404: no such thing
	CodeMethodNotAllowed Code = "method_not_allowed"     // 405: another method is meant
	CodeLocked           Code = "locked"                 // 409: others hold a key, or stand ahead in line
	CodeDeadlock         Code = "deadlock"               // 409: waiting would close a circle
	CodeTooLarge         Code = "too_large"              // 413: more bytes than are read
	CodeUnsupportedMedia Code = "unsupported_media_type" // 415: a compressed body
	CodeLimit            Code = "limit"                  // 429: a configured limit is reached
	CodeCancelled        Code = "cancelled"              // 499: withdrawn by who asked; on the stream only
	CodeUnavailable      Code = "unavailable"            // 503: no leader, store out of reach, shutting down
)

// Error is a refusal: a code for machines, a sentence for people, and what
// belongs to the code.
type Error struct {
	Code    Code
	Message string

	Blockers []Blocker // with CodeLocked: at most MaxBlockers of them
	Cycle    []Link    // with CodeDeadlock: each waits for the key, which the next one holds

	RetryAfter     time.Duration // with CodeUnavailable and CodeLimit: when to ask again
	OutcomeUnknown bool          // it may have happened: with CodeUnavailable, or by an earlier attempt that had no answer

	Cause error // what went wrong underneath; for logs
}

// Error gives the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Blocker is who stands in the way of a request on one key: a holder, or,
// with Waiting, one who stands ahead in line. Exp is what is left of a hold;
// it and Version are zero for a waiter.
type Blocker struct {
	Key     string
	UID     string
	Version uint64
	Mode    Mode
	Exp     time.Duration
	Note    string
	Waiting bool
}

// Link is one owner in a circle and the key that it waits for. The next
// link's owner holds that key; after the last comes the first.
type Link struct {
	UID string `json:"uid"`
	Key string `json:"key"`
}

// ErrorCode gives the code of the [*Error] in err's chain, or "" if there is
// none.
func ErrorCode(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// Invalid is a refusal of a malformed request. The message should name the
// field.
func Invalid(format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Message: fmt.Sprintf(format, args...)}
}

// Locked is the refusal that names who is in the way. It takes the key and
// the owner of its sentence from the first blocker.
func Locked(blockers []Blocker) *Error {
	e := &Error{Code: CodeLocked, Message: "locked", Blockers: blockers}
	if len(blockers) > 0 {
		b := blockers[0]
		if b.Waiting {
			e.Message = fmt.Sprintf("%q waits for key %q ahead of you", b.UID, b.Key)
		} else {
			e.Message = fmt.Sprintf("key %q is held by %q", b.Key, b.UID)
		}
	}
	return e
}

// Deadlock is the refusal that shows the circle which the request would
// close.
func Deadlock(cycle []Link) *Error {
	message := "waiting would never end"
	for i, link := range cycle {
		next := cycle[(i+1)%len(cycle)]
		if i == 0 {
			message += fmt.Sprintf(": %q waits for %q, held by %q", link.UID, link.Key, next.UID)
		} else {
			message += fmt.Sprintf(", who waits for %q, held by %q", link.Key, next.UID)
		}
	}
	return &Error{Code: CodeDeadlock, Message: message, Cycle: cycle}
}

// Unavailable says that the state is out of reach for now. It may be asked
// again after a second.
func Unavailable(cause error, format string, args ...any) *Error {
	return &Error{
		Code:       CodeUnavailable,
		Message:    fmt.Sprintf(format, args...),
		RetryAfter: time.Second,
		Cause:      cause,
	}
}

// Unknown says of a refusal that what was asked may be done all the same: a
// place in line may be there still, say. Other errors stay as they are.
func Unknown(err error) error {
	refusal, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	unknown := *refusal
	unknown.OutcomeUnknown = true
	return &unknown
}
