package api

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/wire"
)

// pendingEvents is how many events may wait to be sent to one reader. Behind
// them the service's own memory of events begins, and behind that a gap.
const pendingEvents = 256

var typeEvents = []string{"text/event-stream"}

// events is GET /events: a stream that ends when the client goes, the server
// stops, or the service fails; a client resumes with Last-Event-ID.
func (h *Handler) events(x *exchange) error {
	req, err := x.watchRequest()
	if err != nil {
		return err
	}
	leave, tooMany := h.streaming.enter(x.request.RemoteAddr)
	if tooMany != "" {
		return overLimit("streams: %s", tooMany)
	}
	defer leave()
	ctx, release := h.untilStop(x.request.Context())
	defer release()
	watched, err := h.service.Watch(ctx, req)
	if err != nil {
		return err
	}
	stream := x.stream(typeEvents)
	if x.request.Method == http.MethodHead {
		return nil
	}
	h.tally.eventStreams.Add(1)
	defer h.tally.eventStreams.Add(-1)
	pending := make(chan holdfast.Event, pendingEvents)
	var done sync.WaitGroup
	defer done.Wait()
	defer release() // ends the goroutine, also when the client has gone
	done.Go(func() {
		defer close(pending)
		for e, err := range watched {
			if err != nil {
				return // the stream ends; the reader comes back and resumes
			}
			select {
			case pending <- e:
			case <-ctx.Done():
				return
			}
		}
	})
	x.sendEvents(stream, pending)
	return nil
}

// watchRequest reads which events are wanted.
func (x *exchange) watchRequest() (req holdfast.WatchRequest, err error) {
	req.Prefix = x.query["prefix"]
	if req.UID, err = x.uid(); err != nil {
		return req, err
	}
	if last := x.request.Header.Get("Last-Event-ID"); last != "" {
		if req.After, err = strconv.ParseUint(last, 10, 64); err != nil {
			return req, holdfast.Invalid("Last-Event-ID: must be the id of an event, not %.64q", last)
		}
	}
	return req, nil
}

// sendEvents sends events, and heartbeats where there are none, until they end or
// the client has gone.
func (x *exchange) sendEvents(stream endless, pending <-chan holdfast.Event) {
	heartbeat := time.NewTicker(wire.HeartbeatEvery)
	defer heartbeat.Stop()
	for {
		select {
		case e, more := <-pending:
			if !more {
				return
			}
			x.out = wire.AppendEvent(x.out[:0], e)
			for range len(pending) {
				x.out = wire.AppendEvent(x.out, <-pending)
			}
		case <-heartbeat.C:
			x.out = append(x.out[:0], wire.Heartbeat...)
		}
		if !stream.send(x.out) {
			return
		}
	}
}
