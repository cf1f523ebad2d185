package wire

import (
	"slices"
	"time"

	"holdfast"
)

// request reads a request with the fields in allowed, in any order: most are
// written without spaces or escapes, and name keys rather than describe them.
func (c *cursor) request(r *Request, allowed Fields) {
	c.must("{")
	for !c.lost {
		field := fieldNamed(c.raw())
		c.must(":")
		if field&allowed&^r.Given == 0 {
			c.lost = true // unknown, or given twice
		}
		r.Given |= field
		switch field {
		case FieldUID:
			r.UID = c.text()
		case FieldKeys:
			r.Keys = c.keys()
		case FieldTokens:
			r.Tokens = c.tokens()
		case FieldExp:
			r.Exp = c.millis(time.Millisecond, holdfast.MaxExp)
		case FieldWait:
			r.Wait = c.millis(0, holdfast.MaxWait)
		case FieldNote:
			r.Note = c.text()
		case FieldID:
			r.ID = c.whole(1, holdfast.VersionEnd-1)
		case FieldOp:
			r.Op = Op(max(0, slices.Index(opNames[:], string(c.raw()))))
			c.lost = c.lost || r.Op == 0
		case FieldBind:
			c.must("true")
			r.Bind = true
		default:
			c.lost = true
		}
		if c.next("}") {
			return
		}
		c.must(",")
	}
}

func (c *cursor) keys() (keys []holdfast.Ask) {
	if len(c.rest) > 0 && c.rest[0] == '"' {
		return []holdfast.Ask{{Key: c.text(), Mode: unsaid}}
	}
	for i := 0; c.element(i); i++ {
		keys = append(keys, holdfast.Ask{Key: c.text(), Mode: unsaid})
	}
	return keys
}

// whole reads a whole number from low to high.
func (c *cursor) whole(low, high uint64) uint64 {
	n := c.number()
	c.lost = c.lost || n < low || n > high
	return n
}

func (c *cursor) millis(low, high time.Duration) time.Duration {
	return Millis(c.whole(uint64(low.Milliseconds()), uint64(high.Milliseconds()))).Duration()
}

// quickCalls reads a message of requests, and appends them to calls.
func quickCalls(message []byte, calls []Call) ([]Call, bool) {
	c := cursor{rest: message}
	several := c.next("[")
	for count := 1; ; count++ {
		calls = append(calls, Call{})
		call := &calls[len(calls)-1]
		c.request(&call.Request, ^Fields(0))
		if c.lost || call.check() != nil || count > MaxCalls {
			return nil, false
		}
		if !several || !c.next(",") {
			break
		}
	}
	if several {
		c.must("]")
	}
	return calls, c.end()
}
