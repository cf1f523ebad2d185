package api

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/auth"
	"holdfast/internal/wire"
)

const (
	// ownLength is the size of an answer up to which net/http, which holds back
	// that much, finds out the Content-Length by itself.
	ownLength = 2048

	// keptBuffer is the largest buffer that waits for the next request.
	keptBuffer = 64 << 10
)

// Values of Content-Type. They are shared, and must not be changed.
var (
	typeJSON = []string{"application/json"}
	typeText = []string{"text/plain; charset=utf-8"}
	typeYAML = []string{"application/yaml"}
)

// exchange is one request and its answer. Exchanges are used again: a call
// must not keep one, nor its buffers.
type exchange struct {
	writer  http.ResponseWriter
	request *http.Request

	key   string            // from the path, if the route has a {key} or {id}
	query map[string]string // the parameters that were given

	caller *auth.Caller // nil if nothing asks who it is

	in  []byte // the body of the request
	out []byte // the body of the answer, appended to by the call

	contentType []string
	late        bool // the answer may come long after the request

	began     time.Time // when the request came
	route     *route    // nil until it is found
	operation string    // what is asked for, in one word
	id        string    // of the request; empty if it has none
	status    int       // of the answer; zero until it begins
	outcome   string    // what came of it, in one word; see record
}

var exchanges = sync.Pool{New: func() any {
	return &exchange{in: make([]byte, 0, 1024), out: make([]byte, 0, 1024)}
}}

func newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := exchanges.Get().(*exchange)
	x.writer, x.request, x.contentType = w, r, typeJSON
	x.began, x.operation = time.Now(), operationNone
	return x
}

func (x *exchange) free() {
	if cap(x.in) > keptBuffer || cap(x.out) > keptBuffer {
		return
	}
	*x = exchange{in: x.in[:0], out: x.out[:0]}
	exchanges.Put(x)
}

// write sends the answer that the call has appended.
func (x *exchange) write(status int) {
	if &x.contentType[0] == &typeJSON[0] {
		x.out = append(x.out, '\n')
	}
	header := x.writer.Header()
	header["Content-Type"] = x.contentType
	if len(x.out) > ownLength {
		header.Set("Content-Length", strconv.Itoa(len(x.out)))
	}
	x.begin(status)
	if x.late {
		x.giveTime(writeTimeout)
		defer x.giveTime(0)
		defer x.flush()
	}
	_, _ = x.writer.Write(x.out) // an error means that the client has gone
}

func (x *exchange) flush() bool { return http.NewResponseController(x.writer).Flush() == nil }

// begin sends the header. From then on there is no other answer.
func (x *exchange) begin(status int) {
	x.status = status
	x.writer.WriteHeader(status)
}

// giveTime says how long a client of HTTP/2 has to take what is written next;
// zero is no limit. It can read, and yet take nothing of an answer by giving it
// no window, of which the deadline of the connection knows nothing. Until this
// is called, the WriteTimeout of the server counts, from the request on. A limit
// must be taken back once what was written is flushed: net/http would set it
// for a stream that has ended, too.
func (x *exchange) giveTime(most time.Duration) {
	if x.request.ProtoMajor < 2 {
		return
	}
	var until time.Time
	if most > 0 {
		until = time.Now().Add(most)
	}
	_ = http.NewResponseController(x.writer).SetWriteDeadline(until)
}

// answered says whether something of the answer has been sent.
func (x *exchange) answered() bool { return x.status != 0 }

// stream begins an answer that has no end yet. Whoever calls it writes the
// rest; an error afterwards can only cut the answer off.
func (x *exchange) stream(contentType []string) endless {
	x.writer.Header()["Content-Type"] = contentType
	x.writer.Header()["Cache-Control"] = noStore
	x.begin(http.StatusOK)
	s := endless{x}
	s.send(nil)
	return s
}

var (
	noStore = []string{"no-store"}
	bearer  = []string{`Bearer realm="holdfast"`}
)

// endless is where the rest of such an answer goes.
type endless struct{ x *exchange }

// send writes and flushes, and says whether the client is still there. One
// that does not read is cut off by a write deadline.
func (s endless) send(b []byte) bool {
	s.x.giveTime(writeTimeout)
	defer s.x.giveTime(0)
	_, err := s.x.writer.Write(b)
	return err == nil && s.x.flush()
}

// refuse sends a refusal instead of an answer.
func (x *exchange) refuse(refusal *holdfast.Error) {
	if seconds := wire.RetryAfter(refusal); seconds > 0 {
		x.writer.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	if refusal.Code == holdfast.CodeUnauthenticated {
		x.writer.Header()["Www-Authenticate"] = bearer
	}
	x.out = wire.AppendError(x.out[:0], refusal)
	x.contentType = typeJSON
	x.outcome = string(refusal.Code)
	x.write(wire.Status(refusal.Code))
}
