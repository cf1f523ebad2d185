package api

import (
	"crypto/rand"
	"net/http"
	"strings"
)

// maxRequestID is how many bytes a client's X-Request-Id may have.
const maxRequestID = 128

// Headers of a request that may name it, in the form that net/http gives them.
const (
	headerRequestID   = "X-Request-Id"
	headerTraceparent = "Traceparent"
)

// identify takes over the id that the client has given the request, and gives
// it back. A request without one goes without: making one up for each would
// cost more than it is good for.
func (x *exchange) identify() {
	if id := givenID(x.request.Header); id != "" {
		x.called(id)
	}
}

// nameIt gives the id of the request, one made up if it has none. The client
// learns it if nothing has been sent yet.
func (x *exchange) nameIt() string {
	if x.id == "" {
		x.called(rand.Text())
	}
	return x.id
}

func (x *exchange) called(id string) {
	x.id = id
	x.writer.Header()[headerRequestID] = []string{id}
}

// givenID is the X-Request-Id, or else the trace-id of the traceparent; empty
// if there is neither. What is malformed counts as not given: a header that
// some proxy has added must not make a lock fail.
func givenID(header http.Header) string {
	if ids := header[headerRequestID]; len(ids) == 1 && validRequestID(ids[0]) {
		return ids[0]
	}
	if parents := header[headerTraceparent]; len(parents) == 1 {
		return traceID(parents[0])
	}
	return ""
}

// validRequestID says whether id is from 1 to maxRequestID visible ASCII
// characters.
func validRequestID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return id != "" && len(id) <= maxRequestID
}

// traceID gives the trace-id in a traceparent, as
// https://www.w3.org/TR/trace-context/ defines it, or "" if it is malformed.
// Versions after 00 may have more behind a dash.
func traceID(parent string) string {
	const length = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	if len(parent) < length || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return ""
	}
	version, trace, span, flags := parent[:2], parent[3:35], parent[36:52], parent[53:55]
	switch {
	case !lowerHex(version), !lowerHex(trace), !lowerHex(span), !lowerHex(flags),
		version == "ff", strings.Trim(trace, "0") == "", strings.Trim(span, "0") == "",
		len(parent) > length && (version == "00" || parent[length] != '-'):
		return ""
	}
	return trace
}

func lowerHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}
