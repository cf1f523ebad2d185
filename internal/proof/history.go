package proof

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"holdfast"
)

// Kind is what was called.
type Kind string

// The kinds of calls. Write is one at the register, the others at the service.
const (
	Lock   Kind = "lock"
	Unlock Kind = "unlock"
	Extend Kind = "extend"
	Look   Kind = "check"
	Get    Kind = "get"
	Write  Kind = "write"
)

// Outcome is what came of a call.
type Outcome string

// The outcomes of calls.
const (
	Open     Outcome = "open"     // no definite answer: it may happen at any time from the call on, or never
	Done     Outcome = "done"     // what the answer says was done
	Locked   Outcome = "locked"   // a lock: refused, others are in the way
	Deadlock Outcome = "deadlock" // a lock: refused, it would close a circle
	Stale    Outcome = "stale"    // a write: refused, a newer version was seen
	Nothing  Outcome = "nothing"  // refused, and certain not to have happened
)

// Op is one call and its answer. Times are in ns of one monotonic clock,
// durations in ms.
type Op struct {
	ID     int    `json:"id"`     // unique among those of one client
	Client string `json:"client"` // who called; for people
	Kind   Kind   `json:"kind"`

	UID    string           `json:"uid,omitempty"`
	Asks   []holdfast.Ask   `json:"asks,omitempty"`   // lock
	Tokens []holdfast.Token `json:"tokens,omitempty"` // unlock, extend, write
	All    bool             `json:"all,omitempty"`    // extend: everything that uid holds
	Keys   []string         `json:"keys,omitempty"`   // check, get
	Exp    int64            `json:"exp,omitempty"`    // lock, extend
	Wait   int64            `json:"wait,omitempty"`   // lock

	// Again says that the request may have been put to the store more than once
	// on the way, until it was answered: a lock whose server was gone, or whose
	// grant had run out before its owner could be told.
	Again bool `json:"again,omitempty"`

	// Left says that an attempt of a lock that was refused may still be in line
	// there: its server is gone, and the leader may not have heard of that.
	Left bool `json:"left,omitempty"`

	Call   int64 `json:"call"`
	Return int64 `json:"return,omitempty"` // when the answer came, or the caller gave up

	Outcome  Outcome            `json:"outcome"`
	Held     []holdfast.Token   `json:"held,omitempty"` // granted, unlocked or extended
	Lost     []holdfast.Token   `json:"lost,omitempty"` // extend
	Is       bool               `json:"is,omitempty"`   // check: somebody holds one
	Blockers []holdfast.Blocker `json:"blockers,omitempty"`
	Cycle    []holdfast.Link    `json:"cycle,omitempty"`
	Holders  []holdfast.Holder  `json:"holders,omitempty"`  // get
	Waiters  []holdfast.Waiter  `json:"waiters,omitempty"`  // get
	Sequence int64              `json:"sequence,omitempty"` // write: its number among those that the register took
	Error    string             `json:"error,omitempty"`

	floor uint64 // the newest version that was answered before the call
}

// Recorder notes calls and answers. It is safe for concurrent use.
type Recorder struct {
	clock  func() int64
	stream *json.Encoder

	mu  sync.Mutex
	ops []Op
}

// NewRecorder gives a recorder by a monotonic clock in ns. If stream is not
// nil, each call is written to it as a line of JSON before it is made, and once
// more with its answer: [ReadStream] reads what has come of that, however the
// process that wrote it ended.
func NewRecorder(clock func() int64, stream io.Writer) *Recorder {
	r := &Recorder{clock: clock}
	if stream != nil {
		r.stream = json.NewEncoder(stream)
	}
	return r
}

// begin notes a call that is about to be made, and gives its number.
func (r *Recorder) begin(op Op) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.ID, op.Outcome, op.Call = len(r.ops), Open, r.clock()
	r.ops = append(r.ops, op)
	r.write(op)
	return op.ID
}

// end notes the answer.
func (r *Recorder) end(id int, answer func(*Op)) {
	at := r.clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	op := &r.ops[id]
	op.Return = at
	answer(op)
	r.write(*op)
}

func (r *Recorder) write(op Op) {
	if r.stream != nil {
		r.stream.Encode(op) // who cannot read it any more does not miss it
	}
}

// History gives what has been recorded so far.
func (r *Recorder) History() []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ops)
}

// ReadStream reads what a recorder wrote, up to its end or to a line that was
// cut off.
func ReadStream(from io.Reader) []Op {
	var ops []Op
	for lines := json.NewDecoder(from); ; {
		var op Op
		if lines.Decode(&op) != nil {
			return ops
		}
		if op.ID < len(ops) {
			ops[op.ID] = op
		} else {
			ops = append(ops, op)
		}
	}
}

// Tally says how many calls there are of each kind and outcome.
func Tally(history []Op) string {
	n := map[string]int{}
	for i := range history {
		n[string(history[i].Kind)+" "+string(history[i].Outcome)]++
	}
	return fmt.Sprint(n)
}

// NewerThanAll says whether a version is newer than every one that a history
// shows; an error if it is not.
func NewerThanAll(history []Op, version uint64) error {
	for i := range history {
		for _, token := range history[i].Held {
			if token.Version >= version {
				return fmt.Errorf("version %d was given, after %s", version, &history[i])
			}
		}
	}
	return nil
}
