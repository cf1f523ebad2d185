package holdfast

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Limits on what a request may carry. Sizes are in bytes of UTF-8.
const (
	MaxUID      = 256            // bytes in a uid
	MaxKey      = 512            // bytes in a key
	MaxKeys     = 256            // different keys, or tokens, in one request
	MaxNote     = 1024           // bytes in a note or in a reason
	MaxLimit    = 1_000_000      // shared holders that a limit may allow
	MaxExp      = 24 * time.Hour // life of a hold
	MaxWait     = 24 * time.Hour // time in line
	MaxPage     = 1000           // locks in one page of a list
	MaxBlockers = 32             // blockers named in one refusal

	DefaultExp  = time.Second // life of a hold when the request does not say
	DefaultPage = 100         // locks in one page of a list when the request does not say

	// VersionEnd is what every version stays below, so that a JSON number,
	// which many readers keep as an IEEE 754 double, carries it exactly.
	VersionEnd = 1 << 53
)

// Mode says with whom a hold shares its key.
type Mode uint8

const (
	Exclusive Mode = iota // with nobody
	Shared                // with other shared holds
)

// String gives the word that the interface uses for the mode.
func (m Mode) String() string {
	switch m {
	case Exclusive:
		return "exclusive"
	case Shared:
		return "shared"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// MarshalText writes the word for the mode.
func (m Mode) MarshalText() ([]byte, error) {
	if m > Shared {
		return nil, fmt.Errorf("no such mode: %d", uint8(m))
	}
	return []byte(m.String()), nil
}

// UnmarshalText reads the word for a mode. The empty word is no mode.
func (m *Mode) UnmarshalText(text []byte) error {
	switch string(text) {
	case "exclusive":
		*m = Exclusive
	case "shared":
		*m = Shared
	default:
		return fmt.Errorf(`mode must be "exclusive" or "shared"`)
	}
	return nil
}

// Ask is what a request wants of one key. Limit goes with Shared only: the
// request is let in while fewer than Limit others hold the key; zero asks
// for no limit. It is a condition on the way in: once granted, a hold is not
// disturbed by what others ask.
type Ask struct {
	Key   string
	Mode  Mode
	Limit int
}

// Keys asks for each of the keys exclusively.
func Keys(keys ...string) []Ask {
	asks := make([]Ask, len(keys))
	for i, key := range keys {
		asks[i].Key = key
	}
	return asks
}

// Token names one hold exactly. It is what an owner keeps, gives back on
// unlock, and shows to the resource that the key guards.
type Token struct {
	Key     string `json:"key"`
	Version uint64 `json:"version"`
}

// Hold is one uid on one key in one mode. Version is the number of the grant
// that made it; Exp is its whole life without an extension, not what is left.
type Hold struct {
	Key     string
	UID     string
	Mode    Mode
	Limit   int
	Version uint64
	Exp     time.Duration
	Note    string
}

// Covers says whether the hold already gives what is asked of its key, so
// that asking again only extends it (rule 4). A limit was a condition on the
// way in, and so does not matter any more.
func (h *Hold) Covers(mode Mode) bool { return h.Mode == Exclusive || mode == Shared }

// LockRequest asks for all of Keys in one step. Durations are rounded up to
// whole milliseconds.
type LockRequest struct {
	UID  string
	Keys []Ask
	Exp  time.Duration // life of the holds; zero means DefaultExp
	Wait time.Duration // how long to stand in line; zero means not at all
	Note string        // why; shown to whoever is refused
}

// Grant is the answer to a LockRequest that was let in: one token for each
// different key, in the order asked. Exp is what is left, as the answer is
// given, of the hold among them that ends first.
type Grant struct {
	Tokens []Token
	Exp    time.Duration
}

// UnlockRequest gives tokens back.
type UnlockRequest struct {
	UID    string
	Tokens []Token
}

// ExtendRequest starts the life of holds anew: those that Tokens name, or,
// when Tokens is nil, everything that the uid holds. An extension never
// makes a life shorter.
type ExtendRequest struct {
	UID    string
	Tokens []Token
	Exp    time.Duration // new life; zero means DefaultExp
}

// Extension tells which holds live on and which tokens name no hold any
// more. Exp is what is left of the hold that ends first; zero if there is
// none.
type Extension struct {
	Tokens []Token
	Lost   []Token
	Exp    time.Duration
}

// ListRequest asks for a page of locks, ordered by key (bytewise).
type ListRequest struct {
	Prefix string // only keys that begin so
	UID    string // only keys on which this uid holds or waits
	Waited bool   // only keys that somebody waits for
	Limit  int    // locks in the page, at most MaxPage; zero means DefaultPage
	After  string // only keys behind this one: Next of the page before
}

// Count says how much there is: holds, and requests in line.
type Count struct {
	Holds   int
	Waiters int
}

// Page is one part of a list. Next is empty on the last one.
type Page struct {
	Locks []Lock
	Next  string
}

// Lock is the state of one key: who holds it, in the order of uid, and who
// stands in line, first come first.
type Lock struct {
	Key     string
	Holders []Holder
	Waiters []Waiter
}

// Holder is a hold as a list shows it.
type Holder struct {
	UID     string
	Version uint64
	Mode    Mode
	Limit   int
	Exp     time.Duration // what is left
	Held    time.Duration // since the grant, or since this leader took over
	Note    string
}

// Waiter is a request in line for a key as a list shows it.
type Waiter struct {
	UID    string
	Mode   Mode
	Limit  int
	Waited time.Duration
	Note   string
}

// ForceRequest releases a key whoever holds it. Reason is for the record.
type ForceRequest struct {
	Key    string
	Reason string
}

// Released is a hold that a forced release ended.
type Released struct {
	Key     string `json:"key"`
	UID     string `json:"uid"`
	Version uint64 `json:"version"`
}

// WatchRequest says which events to follow.
type WatchRequest struct {
	Prefix string // only keys that begin so
	UID    string // only of this uid
	After  uint64 // the ID of the last event seen; zero means from now on
}

// Service is a lock service: the rules of this package over some place that
// keeps the state. All methods may be called at once from any number of
// goroutines.
//
// A refusal is an [*Error]. Every method may answer CodeInvalid, before
// anything has changed, and CodeUnavailable, when the state is out of reach:
// then Error.OutcomeUnknown says whether the call may have happened all the
// same. Whatever a method is told to do, telling it again is harmless.
//
// When ctx ends first, the method returns the cause of that
// ([context.Cause]). It bounds the wait for an answer; a change that was
// under way may still happen, save for the promise that Lock makes.
type Service interface {
	// Lock grants all keys or none. CodeLocked, with the blockers, says that
	// they could not be had within req.Wait; CodeDeadlock, with the circle,
	// that waiting would never end. When ctx ends while the request stands in
	// line it leaves the line, and a grant that comes at the same moment is
	// taken back.
	Lock(ctx context.Context, req LockRequest) (Grant, error)

	// Unlock releases the holds that req.UID and the tokens name exactly, and
	// gives their keys in the order of the tokens. Other tokens are ignored.
	Unlock(ctx context.Context, req UnlockRequest) ([]string, error)

	// Extend starts the life of holds anew.
	Extend(ctx context.Context, req ExtendRequest) (Extension, error)

	// Check says whether anybody holds one of the keys.
	Check(ctx context.Context, keys []string) (bool, error)

	// List gives one page of the keys that are held or waited for.
	List(ctx context.Context, req ListRequest) (Page, error)

	// Get gives the state of one key. A key that nobody holds or waits for
	// has empty lists.
	Get(ctx context.Context, key string) (Lock, error)

	// Force releases all holds on a key; whoever stands in line moves up.
	Force(ctx context.Context, req ForceRequest) ([]Released, error)

	// Watch follows events from the moment of the call, or from behind
	// req.After. The sequence ends when ctx ends, without an error, or after
	// yielding one. An EventGap says that some are gone. It may be
	// ranged over once.
	Watch(ctx context.Context, req WatchRequest) (iter.Seq2[Event, error], error)
}
