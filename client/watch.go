package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/internal/wire"
)

// silence is after how long without anything, heartbeats included, a server
// counts as gone.
const silence = 3 * wire.HeartbeatEvery

// Watch follows events. When the connection is lost it goes on at the next
// server, behind the last event seen; an EventGap says that some may be
// missing. The sequence ends with an error when no server can be reached
// within the client's patience.
func (c *Client) Watch(ctx context.Context, req holdfast.WatchRequest) (iter.Seq2[holdfast.Event, error], error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	w := &watch{client: c, req: req}
	if err := w.open(ctx); err != nil {
		return nil, err
	}
	return func(yield func(holdfast.Event, error) bool) {
		defer w.close()
		var rest time.Duration // the last pause
		began := now()         // of the stream, or when it told something
		for ctx.Err() == nil {
			e, err := w.next()
			if err == nil {
				rest, began = 0, now()
				if !yield(e, nil) {
					return
				}
				continue
			}
			w.close()
			if began.since() > longestPause {
				rest = 0
			} else if rest = longer(rest); !pause(ctx, rest/2+rand.N(rest/2)) {
				return // else it would be opened again and again
			}
			began = now()
			if err := w.open(ctx); err != nil {
				if ctx.Err() == nil {
					yield(holdfast.Event{}, err)
				}
				return
			}
			if w.req.After == 0 && !yield(holdfast.Event{Type: holdfast.EventGap}, nil) {
				return // nothing was seen yet, so nothing tells where to go on
			}
		}
	}, nil
}

// watch is a stream of events that is being read.
type watch struct {
	client *Client
	req    holdfast.WatchRequest // After is the last event seen

	response *http.Response
	lines    *bufio.Reader
	cancel   context.CancelFunc
	quiet    *time.Timer // cancels; runs while a line is waited for
}

// open begins the stream at the first server that answers. It ends with ctx,
// also when nobody ever ranges over it.
func (w *watch) open(ctx context.Context) error {
	c := w.client
	call := &call{method: http.MethodGet, path: "events", query: url.Values{}}
	if w.req.Prefix != "" {
		call.query.Set("prefix", w.req.Prefix)
	}
	if w.req.UID != "" {
		call.query.Set("uid", w.req.UID)
	}
	call.stream = func(server *url.URL) *trouble {
		header := http.Header{}
		if w.req.After != 0 {
			header.Set("Last-Event-ID", strconv.FormatUint(w.req.After, 10))
		}
		streaming, cancel := context.WithCancel(ctx)
		response, trouble := c.begin(streaming, server, call, header)
		if trouble != nil {
			cancel()
			return trouble
		}
		if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
			response.Body.Close()
			cancel()
			return refused(server, response.StatusCode, 0, nil) // it would be asked again and again
		}
		w.response, w.cancel = response, cancel
		w.lines = bufio.NewReader(response.Body)
		w.quiet = time.AfterFunc(silence, cancel)
		w.quiet.Stop()
		return nil
	}
	_, err := c.ask(ctx, call)
	return err
}

// begin puts a call to a server whose answer has no end, or a far one. The
// answer must begin soon; ctx ends it.
func (c *Client) begin(ctx context.Context, server *url.URL, call *call, header http.Header) (*http.Response, *trouble) {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(answerWithin, cancel)
	request := newRequest(ctx, server, c.header, call, nil)
	maps.Copy(request.Header, header)
	response, err := c.transport.RoundTrip(request)
	if !late.Stop() && (err == nil || errors.Is(err, context.Canceled)) {
		if err == nil {
			response.Body.Close()
		}
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return nil, away(server, err)
	}
	response.Body = bodyOf{response.Body, cancel}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	answer, err := read(response, false)
	if err != nil {
		return nil, away(server, err)
	}
	return nil, refusedBy(server, response, answer)
}

// bodyOf is the body of an answer whose ctx ends with it.
type bodyOf struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b bodyOf) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

func (w *watch) close() { w.cancel() }

// next reads the next event. Comments are skipped; they only show that the
// server is there.
func (w *watch) next() (holdfast.Event, error) {
	var id, event string
	var data []byte
	for {
		w.quiet.Reset(silence)
		line, err := w.lines.ReadBytes('\n')
		w.quiet.Stop()
		if err != nil {
			w.response.Body.Close()
			return holdfast.Event{}, err
		}
		name, value, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			id = string(value)
		case "event":
			event = string(value)
		case "data":
			data = value
		case "":
			if event == "" {
				continue
			}
			e, err := wire.ReadEvent(id, event, data)
			if err == nil {
				w.req.After = e.ID
			}
			return e, err
		}
	}
}
