package api

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"

	"holdfast"
	"holdfast/internal/wire"
)

// What is no HTTP, or has too large a header, never reaches a Handler:
// net/http refuses it by itself, in plain text. It does so in one write to the
// connection, which is where that text is put into the form of all other
// refusals.

// ownHeader is the header of every refusal that net/http writes by itself. A
// Handler's answer has a Date besides.
var ownHeader = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// ownRefusal gives the status of p if p is a refusal of net/http's own, and
// zero if it is anything else. Of that p must be the whole: the middle of an
// answer can begin with whatever a client has put into a note.
func ownRefusal(p []byte) int {
	const line = "HTTP/1.1 400 "
	if len(p) < len(line) || string(p[:7]) != "HTTP/1." {
		return 0
	}
	status, err := strconv.Atoi(string(p[9:12]))
	end := bytes.IndexByte(p, '\r')
	if err != nil || status < 400 || end < len(line) {
		return 0
	}
	reason, rest := p[9:end], p[end:]
	switch body, own := bytes.CutPrefix(rest, ownHeader); {
	case own && (bytes.Equal(body, reason) || string(body) == "Unsupported transfer encoding"):
		return status
	// An expectation that net/http cannot meet it refuses without a body. No
	// Handler answers so.
	case string(reason) == "417 Expectation Failed" && bytes.Index(rest, endOfHeader) == len(rest)-len(endOfHeader):
		return status
	}
	return 0
}

var endOfHeader = []byte("\r\n\r\n")

func jsonRefusal(status int, p []byte, header int) []byte {
	refusal := &holdfast.Error{Code: holdfast.CodeInvalid}
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		refusal.Code = holdfast.CodeTooLarge
		refusal.Message = fmt.Sprintf("header: larger than %d bytes", header)
	case http.StatusNotImplemented:
		refusal.Message = "Transfer-Encoding: only chunked is understood"
	case http.StatusHTTPVersionNotSupported:
		refusal.Message = "only HTTP/1.0 and HTTP/1.1 are understood"
	case http.StatusExpectationFailed:
		refusal.Message = "Expect: only 100-continue is understood"
	default:
		refusal.Message = "malformed HTTP request"
		if _, detail, ok := bytes.Cut(p[:bytes.IndexByte(p, '\r')], []byte(": ")); ok {
			refusal.Message += ": " + string(detail)
		}
	}
	return refusalOf(status, refusal)
}

// refusalOf is a refusal as it is written to a connection that is then closed.
func refusalOf(status int, refusal *holdfast.Error) []byte {
	body := append(wire.AppendError(nil, refusal), '\n')
	after := ""
	if seconds := wire.RetryAfter(refusal); seconds > 0 {
		after = fmt.Sprintf("Retry-After: %d\r\n", seconds)
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), after, len(body), body)
}
