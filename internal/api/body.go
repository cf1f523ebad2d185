package api

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"holdfast"
	"holdfast/internal/wire"
)

// MaxBody is how many bytes the body of a request may have at most.
const MaxBody = 1 << 20

// decode reads the body, of at most so many bytes, as a request with the
// fields in allowed.
func (x *exchange) decode(allowed wire.Fields, most int) (wire.Request, error) {
	if err := x.readBody(most); err != nil {
		return wire.Request{}, err
	}
	return wire.Decode(x.in, allowed)
}

// readBody reads the body to its end, into x.in. Until then net/http does not
// notice a client that goes away.
func (x *exchange) readBody(most int) error {
	for _, coding := range x.request.Header["Content-Encoding"] {
		if !strings.EqualFold(coding, "identity") {
			return &holdfast.Error{
				Code:    holdfast.CodeUnsupportedMedia,
				Message: fmt.Sprintf("Content-Encoding: %q is not understood; send the JSON as it is", coding),
			}
		}
	}
	if x.request.ContentLength > int64(most) {
		return x.tooLarge(most)
	}
	for {
		if len(x.in) == cap(x.in) {
			// Growing with what has come, not with what is announced.
			x.in = slices.Grow(x.in, len(x.in))
		}
		n, err := x.request.Body.Read(x.in[len(x.in):cap(x.in)])
		x.in = x.in[:len(x.in)+n]
		switch {
		case len(x.in) > most:
			return x.tooLarge(most)
		case err == io.EOF:
			return nil
		case err != nil:
			return x.unread(err)
		}
	}
}

func (x *exchange) tooLarge(most int) error {
	x.hangUp()
	return &holdfast.Error{
		Code:    holdfast.CodeTooLarge,
		Message: fmt.Sprintf("body: larger than %d bytes", most),
	}
}

// unread is the refusal for a body that could not be read to its end.
func (x *exchange) unread(err error) error {
	x.hangUp()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return holdfast.Invalid("body: did not arrive in time")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return holdfast.Invalid("body: ended after %d bytes, before it was complete", len(x.in))
	}
	return holdfast.Invalid("body: cannot be read: %v", err)
}

// hangUp closes the connection after the answer: what follows on it is the
// rest of a body, not a request.
func (x *exchange) hangUp() { x.writer.Header().Set("Connection", "close") }
