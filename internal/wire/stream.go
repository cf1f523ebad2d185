package wire

import (
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"holdfast"
)

// MaxCalls is how many requests one message of the stream may carry.
const MaxCalls = 4096

// Op says which call a request of the stream is.
type Op uint8

// The calls.
const (
	OpLock Op = iota + 1
	OpUnlock
	OpExtend
	OpCheck
	OpCancel // withdraws the request with the same id
)

var opNames = [...]string{OpLock: "lock", OpUnlock: "unlock", OpExtend: "extend", OpCheck: "check", OpCancel: "cancel"}

// String gives the word that the stream uses for the call.
func (op Op) String() string { return opNames[op] }

// Fields are the fields that the call takes, those of its envelope included.
func (op Op) Fields() Fields {
	switch op {
	case OpLock:
		return FieldID | FieldOp | FieldBind | LockFields
	case OpUnlock:
		return FieldID | FieldOp | UnlockFields
	case OpExtend:
		return FieldID | FieldOp | FieldBind | ExtendFields
	case OpCheck:
		return FieldID | FieldOp | CheckFields
	}
	return FieldID | FieldOp
}

func (d *reader) op(at place) (Op, error) {
	const want = `"lock", "unlock", "extend", "check" or "cancel"`
	raw, err := d.scalar(at, jsontext.KindString, want)
	if err != nil {
		return 0, err
	}
	op := slices.Index(opNames[:], string(unquote(raw)))
	if op <= 0 {
		return 0, mismatch(at, want, raw)
	}
	return Op(op), nil
}

// Call is one request of a message, or, with Err, why it is none. Its ID is
// zero when it could not be told.
type Call struct {
	Request
	Err error
}

// DecodeCalls reads a message: one request or an array of them. It appends
// them to calls. What is wrong with one of them is its own matter, and stands
// in its Err; the error that DecodeCalls returns concerns the message as a
// whole. The calls keep nothing of message.
func DecodeCalls(message []byte, calls []Call) ([]Call, error) {
	if quick, ok := quickCalls(message, calls); ok {
		return quick, nil
	}
	return decodeCallsCarefully(message, calls)
}

func decodeCallsCarefully(message []byte, calls []Call) ([]Call, error) {
	d := newReader(message)
	defer d.free()
	begin := len(calls)
	err := d.elements(func(int) error {
		calls = append(calls, Call{})
		return calls[len(calls)-1].read(d)
	})
	if err == nil {
		return calls, nil
	}
	// Once more, with care: each request for itself.
	clear(calls[begin:])
	calls = calls[:begin]
	again := newReader(message)
	defer again.free()
	err = again.elements(func(i int) error {
		raw, err := again.tokens.ReadValue()
		if err != nil {
			return broken(err)
		}
		calls = append(calls, decodeCall(raw, i))
		return nil
	})
	if err != nil {
		return calls[:begin], err
	}
	return calls, nil
}

// elements calls element for each request of a message, which reads it.
func (d *reader) elements(element func(i int) error) error {
	if d.tokens.PeekKind() != jsontext.KindBeginArray {
		if err := element(0); err != nil {
			return err
		}
		return d.end()
	}
	count := 0
	err := d.array(place{}, "an array", func(i int) error {
		count++
		if i == MaxCalls {
			return holdfast.Invalid("message: more than %d requests", MaxCalls)
		}
		return element(i)
	})
	if err == nil && count == 0 {
		err = holdfast.Invalid("message: an array without a request")
	}
	if err != nil {
		return err
	}
	return d.end()
}

// decodeCall reads the i-th request of a message.
func decodeCall(raw []byte, i int) Call {
	d := newReader(raw)
	defer d.free()
	var c Call
	if err := c.read(d); err != nil {
		c = Call{Err: err}
		c.ID = idOf(raw)
		if c.ID == 0 {
			c.Err = holdfast.Invalid("message[%d]: %v", i, err.(*holdfast.Error).Message)
		}
	}
	return c
}

func (c *Call) read(d *reader) error {
	if err := c.Request.read(d, ^Fields(0)); err != nil {
		return err
	}
	return c.check()
}

// check answers CodeInvalid unless the fields are those of the call.
func (c *Call) check() error {
	switch foreign := c.Given &^ c.Op.Fields(); {
	case c.Given&FieldID == 0:
		return missing(place{field: "id"})
	case c.Given&FieldOp == 0:
		return missing(place{field: "op"})
	case foreign != 0:
		return unknownField(place{}, foreign.first())
	}
	return nil
}

// first gives the name of one field in the set.
func (f Fields) first() []byte {
	for _, name := range []string{"uid", "keys", "tokens", "exp", "wait", "mode", "limit", "note", "bind"} {
		if fieldNamed([]byte(name))&f != 0 {
			return []byte(name)
		}
	}
	return nil
}

// idOf gives the id of a request that is wrong otherwise; zero if it has none.
func idOf(raw []byte) uint64 {
	d := newReader(raw)
	defer d.free()
	var id uint64
	_ = d.object(place{}, "", func(name []byte) error {
		isID := string(name) == "id"
		value, err := d.tokens.ReadValue()
		if isID && err == nil {
			id, err = strconv.ParseUint(string(value), 10, 64)
			if id >= holdfast.VersionEnd {
				id = 0
			}
		}
		return err
	})
	return id
}

// AppendCall appends a request with this body to a message.
func AppendCall(dst []byte, id uint64, op Op, bind bool, body []byte) []byte {
	dst = strconv.AppendUint(append(dst, `{"id":`...), id, 10)
	dst = append(append(append(dst, `,"op":"`...), op.String()...), '"')
	if bind {
		dst = append(dst, `,"bind":true`...)
	}
	return append(append(dst, ','), body[1:]...)
}

// AppendCancel appends the request that withdraws another one.
func AppendCancel(dst []byte, id uint64) []byte {
	return append(strconv.AppendUint(append(dst, `{"id":`...), id, 10), `,"op":"cancel"}`...)
}

// Head is what an answer on the stream has in front of its body.
type Head struct {
	ID         uint64
	Status     int
	RetryAfter int64         // whole seconds, with a refusal that wants it
	Grace      time.Duration // with holds that end with the connection: how much later they do
}

// AppendHead appends the head of an answer, up to where its body begins. The
// body is to be appended, and its first byte replaced by a comma.
func AppendHead(dst []byte, h Head) []byte {
	dst = strconv.AppendUint(append(dst, `{"id":`...), h.ID, 10)
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(h.Status), 10)
	if h.RetryAfter > 0 {
		dst = strconv.AppendInt(append(dst, `,"retry_after":`...), h.RetryAfter, 10)
	}
	if h.Grace > 0 {
		dst = appendMillis(append(dst, `,"grace":`...), h.Grace)
	}
	return dst
}

// AppendRefusal appends a refusal as an answer on the stream.
func AppendRefusal(dst []byte, id uint64, e *holdfast.Error) []byte {
	dst = AppendHead(dst, Head{ID: id, Status: Status(e.Code), RetryAfter: RetryAfter(e)})
	body := len(dst)
	dst = AppendError(dst, e)
	dst[body] = ','
	return dst
}
