package holdfast

import "time"

// EventType says what happened.
type EventType string

// The types of events. Each is about one uid on one key, save EventGap.
const (
	EventGranted   EventType = "granted"   // a hold began, or was upgraded to exclusive
	EventExtended  EventType = "extended"  // a hold's life began anew
	EventReleased  EventType = "released"  // a hold was unlocked, or taken back because nobody received it
	EventExpired   EventType = "expired"   // a hold ran out
	EventForced    EventType = "forced"    // a hold was released by force
	EventWaiting   EventType = "waiting"   // a request began to stand in line
	EventCancelled EventType = "cancelled" // a request left the line without a grant
	EventGap       EventType = "gap"       // events before this one are gone
)

// Event is one thing that happened to one uid on one key. ID grows from
// event to event of one service, and is what a watcher resumes from.
type Event struct {
	ID      uint64
	Type    EventType
	Key     string
	UID     string
	Mode    Mode
	Limit   int
	Version uint64        // of the hold; zero for those in line
	Exp     time.Duration // granted and extended: the life that begins now
	Note    string        // of the hold or the request
	Reason  string        // forced: why
}
