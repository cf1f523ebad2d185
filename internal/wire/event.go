package wire

import (
	"strconv"
	"time"

	"holdfast"
)

// AppendEvent appends an event as a server-sent event: its ID, its type, and
// the rest as JSON. See https://html.spec.whatwg.org/multipage/server-sent-events.html.
func AppendEvent(dst []byte, e holdfast.Event) []byte {
	dst = strconv.AppendUint(append(dst, "id: "...), e.ID, 10)
	dst = append(append(dst, "\nevent: "...), e.Type...)
	dst = append(dst, "\ndata: {"...)
	if e.Type != holdfast.EventGap {
		dst = appendHappened(dst, e)
	}
	return append(dst, "}\n\n"...)
}

// AppendEventLine appends an event as one object of JSON: what stands in the
// data of a server-sent event, behind its id and its type.
func AppendEventLine(dst []byte, e holdfast.Event) []byte {
	dst = strconv.AppendUint(append(dst, `{"id":`...), e.ID, 10)
	dst = appendText(append(dst, `,"type":`...), string(e.Type))
	if e.Type != holdfast.EventGap {
		dst = appendHappened(append(dst, ','), e)
	}
	return append(dst, '}')
}

// appendHappened appends the members that tell what happened.
func appendHappened(dst []byte, e holdfast.Event) []byte {
	dst = appendText(append(dst, `"key":`...), e.Key)
	dst = appendText(append(dst, `,"uid":`...), e.UID)
	dst = appendMode(dst, e.Mode, e.Limit)
	if e.Version != 0 {
		dst = strconv.AppendUint(append(dst, `,"version":`...), e.Version, 10)
	}
	if e.Exp != 0 {
		dst = appendMillis(append(dst, `,"exp":`...), e.Exp)
	}
	dst = appendNote(dst, e.Note)
	if e.Reason != "" {
		dst = appendText(append(dst, `,"reason":`...), e.Reason)
	}
	return dst
}

// Event is what stands in the data of an event.
type Event struct {
	Key     string        `json:"key"`
	UID     string        `json:"uid"`
	Mode    holdfast.Mode `json:"mode"`
	Limit   int           `json:"limit"`
	Version uint64        `json:"version"`
	Exp     Millis        `json:"exp"`
	Note    string        `json:"note"`
	Reason  string        `json:"reason"`
}

// ReadEvent reads the three parts of an event.
func ReadEvent(id, event string, data []byte) (holdfast.Event, error) {
	number, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return holdfast.Event{}, unintelligible(err)
	}
	e, err := read[Event](data)
	return holdfast.Event{
		ID: number, Type: holdfast.EventType(event), Key: e.Key, UID: e.UID, Mode: e.Mode, Limit: e.Limit,
		Version: e.Version, Exp: e.Exp.Duration(), Note: e.Note, Reason: e.Reason,
	}, err
}

// Heartbeat is a comment that keeps a stream of events open while nothing
// happens, and how often it is sent. A reader that has heard nothing for
// several times as long may take the server for gone.
const (
	Heartbeat      = ": still here\n\n"
	HeartbeatEvery = 15 * time.Second
)
