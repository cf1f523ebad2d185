package table

import (
	"time"

	"holdfast"
)

// Op says what a Command does.
type Op uint8

// The commands.
const (
	Lock     Op = iota + 1 // ask for keys
	Unlock                 // give tokens back
	Extend                 // start lives anew
	Cancel                 // leave the line
	TakeBack               // undo a grant that nobody received
	Expire                 // end holds that have run out
	Force                  // release a key whoever holds it
	Raise                  // lift the version counter
)

// String gives the word for the op.
func (op Op) String() string {
	names := [...]string{"", "lock", "unlock", "extend", "cancel", "take-back", "expire", "force", "raise"}
	if int(op) < len(names) {
		return names[op]
	}
	return "unknown"
}

// Command is one change to the table. Which fields count depends on Op; the
// others are ignored. The requests in it must have been brought into their
// normal form (LockRequest.Normal and its like): the table trusts them.
type Command struct {
	Op Op

	UID    string           // Lock, Unlock, Extend, TakeBack: the owner
	Keys   []holdfast.Ask   // Lock: what is asked, each key once; kept by the table, must not change afterwards
	Exp    time.Duration    // Lock, Extend: life of the holds
	Note   string           // Lock
	Wait   bool             // Lock: stand in line when it cannot be granted now
	Limits Limits           // Lock: how much there may be then
	Tokens []holdfast.Token // Unlock, TakeBack: what to release. Extend: what to extend; nil for all that UID holds
	Ended  []Owned          // Expire: the holds that ran out
	Seen   uint64           // Expire, Cancel, TakeBack: Table.Applied when it was decided; what was asked for again since then stays
	Place  uint64           // Cancel: the place in line
	Key    string           // Force
	Reason string           // Force
	Floor  uint64           // Raise: the counter becomes at least this
}

// Owned names a hold together with its owner.
type Owned struct {
	UID string
	holdfast.Token
}

// Status says how a Lock command ended.
type Status uint8

// The outcomes of a Lock command. Done is that of every other command.
const (
	Done     Status = iota
	Granted         // Tokens are held
	InLine          // Place is the place in line
	Refused         // Blockers are in the way, and the command did not want to wait
	Deadlock        // waiting would close Cycle
	Limited         // there would be more than Limits allow: OverLimit says of what
)

// Outcome is all that a command did. Its slices belong to the table and are
// valid until the next Apply; the strings in them may be kept.
type Outcome struct {
	Status Status

	// Tokens are the holds that the command granted or kept (Lock, in the
	// order asked), extended (Extend) or released (Unlock, TakeBack, in the
	// order given; Expire).
	Tokens []holdfast.Token
	Lost   []holdfast.Token    // Extend: the tokens that name no hold any more
	Freed  []holdfast.Released // Force: the holds that it ended

	Place    uint64             // InLine: the place, also when the same request already stood there. Refused: that of the same request, if it stands in line
	Blockers []holdfast.Blocker // Refused, and Cancel unless nobody stood there: who was in the way. Exp is not filled in: the table knows no time
	Cycle    []holdfast.Link    // Deadlock

	OverLimit string // Limited: which limit, in words

	// Grants are the waiters that the command let in, first come first. The
	// tokens inside belong to the receiver.
	Grants []Grant

	// Events are all changes, in their order: every hold that began
	// (granted; also when an upgrade replaced it), lives anew (extended) or
	// ended (released, expired, forced), and who joined or left the line.
	// The lease clock runs on them. IDs are not filled in.
	Events []holdfast.Event
}

// Grant is a waiter that was let in.
type Grant struct {
	Place  uint64
	UID    string
	Tokens []holdfast.Token // in the order asked
}
