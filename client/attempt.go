package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"holdfast"
	"holdfast/internal/wire"
)

const (
	// answerWithin is how long a server may take, beside the time for which it
	// was asked to wait, before it counts as away.
	answerWithin = 5 * time.Second

	// maxAnswer is how many bytes of an answer are read: more than the largest
	// page has.
	maxAnswer = 256 << 20
)

// typeJSON is the value of a header. It is shared, and must not be changed.
var typeJSON = []string{"application/json"}

// attempt puts the call to one server, once: over the stream if it can.
func (c *Client) attempt(ctx context.Context, index uint32, call *call) ([]byte, *trouble) {
	server := c.servers[index]
	call.grace = 0
	if call.stream != nil {
		return nil, call.stream(server)
	}
	if call.op != 0 && !c.plain {
		answer, trouble, instead := c.doors[index].attempt(ctx, call)
		if !instead {
			call.unsure = call.unsure || call.bind && trouble != nil && trouble.OutcomeUnknown
			return answer, trouble
		}
		if call.grants && c.doors[index].isSilent() {
			if trouble := c.ping(ctx, server); trouble != nil {
				return nil, trouble
			}
		}
	}
	return c.request(ctx, server, call)
}

// request puts the call to a server as an HTTP request of its own.
func (c *Client) request(ctx context.Context, server *url.URL, call *call) ([]byte, *trouble) {
	var body []byte
	limit := answerWithin
	if call.body != nil {
		var wait time.Duration
		body, wait = call.body(make([]byte, 0, 160)) // room for most
		limit += wait
	}
	var bye *goodbye
	if call.grants {
		bye = new(goodbye)
		ctx = bye.instead(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(limit, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	if bye != nil {
		defer bye.watch(func() { cancel(nil) })()
	}

	response, err := c.transport.RoundTrip(newRequest(ctx, server, c.header, call, body))
	if err != nil {
		err = inTime(ctx, err)
		if call.keeps && errors.Is(err, context.DeadlineExceeded) {
			c.closeIdle() // what lies idle may be as silent: the next attempts have no time to find that out
		}
		return nil, away(server, err)
	}
	defer response.Body.Close()
	response.Body = arriving{response.Body, late}
	answer, err := read(response, bye != nil && bye.answered())
	if err != nil {
		return nil, away(server, inTime(ctx, err))
	}
	if response.StatusCode == http.StatusOK {
		return answer, nil
	}
	return nil, refusedBy(server, response, answer)
}

// arriving is the body of an answer. It may take as long as it needs, if it does
// not come to a halt: it may be large, and the link slow.
type arriving struct {
	io.ReadCloser
	late *time.Timer
}

func (a arriving) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if n > 0 {
		a.late.Reset(answerWithin)
	}
	return n, err
}

// inTime is err, or that nothing came in time, if that is behind it.
func inTime(ctx context.Context, err error) error {
	if ctx.Err() == context.DeadlineExceeded || context.Cause(ctx) == context.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return err
}

// ping asks a server for nothing but an answer. Else one that hangs would be
// taken for one at which the call stands in line.
func (c *Client) ping(ctx context.Context, server *url.URL) *trouble {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	response, err := c.transport.RoundTrip(newRequest(ctx, server, c.header, &call{method: http.MethodGet, path: "ping"}, nil))
	if err == nil {
		response.Body.Close()
		return nil
	}
	if ctx.Err() == context.DeadlineExceeded {
		err = errSilent
	}
	trouble := away(server, err)
	trouble.OutcomeUnknown = false // the call was not sent
	return trouble
}

func newRequest(ctx context.Context, server *url.URL, header http.Header, call *call, body []byte) *http.Request {
	target := *server
	target.Path += call.path
	if call.escaped != "" {
		target.RawPath = server.EscapedPath() + call.escaped
	}
	target.RawQuery = call.query.Encode()
	request := &http.Request{
		Method:     call.method,
		URL:        &target,
		Host:       target.Host,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     maps.Clone(header),
	}
	if body != nil {
		request.Header["Content-Type"] = typeJSON
		request.ContentLength = int64(len(body))
		// With it the transport can take a new connection when an idle one
		// proves to be closed.
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		request.Body, _ = request.GetBody()
	}
	return request.WithContext(ctx)
}

// read reads an answer. The last one of its connection is read but for the last
// byte, which is a line feed: see goodbye.
func read(response *http.Response, last bool) ([]byte, error) {
	limit := int64(maxAnswer + 1)
	if last && response.ContentLength > 0 {
		limit = min(limit, response.ContentLength-1)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, limit))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	return answer, err
}

// away is the trouble with a server that gave no answer.
func away(server *url.URL, cause error) *trouble {
	why := cause.Error()
	if errors.Is(cause, context.DeadlineExceeded) {
		why = "it takes too long"
	}
	if _, plain := errors.AsType[tls.RecordHeaderError](cause); plain {
		why = "it speaks no TLS; is it at http://?"
	}
	e := holdfast.Unavailable(cause, "%s does not answer: %s", server.Host, why)
	e.RetryAfter = 0
	// Whose connection was never made has not heard the request.
	op, ok := errors.AsType[*net.OpError](cause)
	e.OutcomeUnknown = !ok || op.Op != "dial"
	return &trouble{Error: e, again: true}
}

// refusedBy reads the refusal of a response.
func refusedBy(server *url.URL, response *http.Response, body []byte) *trouble {
	seconds, _ := strconv.ParseInt(response.Header.Get("Retry-After"), 10, 64)
	return refused(server, response.StatusCode, seconds, body)
}

// refused reads a refusal. If it is not one of a lock service, a proxy may
// have written it while the server is away.
func refused(server *url.URL, status int, retryAfter int64, body []byte) *trouble {
	e := wire.ReadError(body)
	if status >= http.StatusInternalServerError && e.Code != holdfast.CodeUnavailable {
		e = wire.ReadError(nil) // a proxy may speak JSON as well
	}
	again := e.Code == holdfast.CodeUnavailable && status >= http.StatusInternalServerError
	if e.Cause != nil {
		e.Message = fmt.Sprintf("%s: the answer, status %d, is not that of a lock service", server.Host, status)
		e.RetryAfter = 0
	}
	if retryAfter > 0 && retryAfter < 1<<30 {
		e.RetryAfter = time.Duration(retryAfter) * time.Second
	}
	return &trouble{Error: e, again: again}
}
