package wire

import (
	"time"

	"holdfast"
)

// Fields is a set of the fields that a request can have.
type Fields uint16

// The fields. What each may hold is said where Request.read reads it.
const (
	FieldUID Fields = 1 << iota
	FieldKeys
	FieldTokens
	FieldExp
	FieldWait
	FieldMode
	FieldLimit
	FieldNote

	// Only on the stream, in front of the others.
	FieldID
	FieldOp
	FieldBind
)

// The fields that each call takes.
const (
	LockFields   = FieldUID | FieldKeys | FieldExp | FieldMode | FieldLimit | FieldWait | FieldNote
	UnlockFields = FieldUID | FieldTokens
	ExtendFields = FieldUID | FieldTokens | FieldExp
	CheckFields  = FieldKeys
)

func fieldNamed(name []byte) Fields {
	switch string(name) {
	case "uid":
		return FieldUID
	case "keys":
		return FieldKeys
	case "tokens":
		return FieldTokens
	case "exp":
		return FieldExp
	case "wait":
		return FieldWait
	case "mode":
		return FieldMode
	case "limit":
		return FieldLimit
	case "note":
		return FieldNote
	case "id":
		return FieldID
	case "op":
		return FieldOp
	case "bind":
		return FieldBind
	}
	return 0
}

// unsaid stands in for a mode while it is open which one it will be.
const unsaid = holdfast.Mode(0xff)

// Request is the body of any call: the fields, as far as they were given,
// with nothing decided that depends on which call it is. Lock, Unlock, Extend
// and Check make the request of one call out of it.
type Request struct {
	Given Fields

	UID    string
	Keys   []holdfast.Ask // Mode and Limit as said with the key: perhaps not at all
	Tokens []holdfast.Token
	Exp    time.Duration
	Wait   time.Duration
	Mode   holdfast.Mode // for the keys that say none
	Limit  int           // for the keys that say none
	Note   string

	ID   uint64 // on the stream: what its answer is known by
	Op   Op     // on the stream: which call it is
	Bind bool   // on the stream: the holds end with the connection

	detailed bool // one of the keys is an object
}

// Decode reads the body of a request that may have the fields in allowed and
// no others. Whatever else is in it, and whatever is malformed, it refuses
// with CodeInvalid. The request keeps nothing of body.
func Decode(body []byte, allowed Fields) (Request, error) {
	var quick Request
	c := cursor{rest: body}
	if c.request(&quick, allowed); c.end() {
		return quick, nil
	}
	return decodeCarefully(body, allowed)
}

func decodeCarefully(body []byte, allowed Fields) (Request, error) {
	d := newReader(body)
	defer d.free()
	var r Request
	if err := r.read(d, allowed); err != nil {
		return r, err
	}
	return r, d.end()
}

func (r *Request) read(d *reader, allowed Fields) error {
	return d.object(place{}, "a JSON object", func(name []byte) error {
		field := fieldNamed(name)
		if field&allowed == 0 {
			return unknownField(place{}, name)
		}
		r.Given |= field
		var err error
		switch field {
		case FieldUID:
			r.UID, err = d.text(place{field: "uid"})
		case FieldKeys:
			err = r.readKeys(d)
		case FieldTokens:
			err = r.readTokens(d)
		case FieldExp:
			r.Exp, err = d.millis(place{field: "exp"}, time.Millisecond, holdfast.MaxExp)
		case FieldWait:
			r.Wait, err = d.millis(place{field: "wait"}, 0, holdfast.MaxWait)
		case FieldMode:
			r.Mode, err = d.mode(place{field: "mode"})
		case FieldLimit:
			r.Limit, err = d.limit(place{field: "limit"})
		case FieldNote:
			r.Note, err = d.text(place{field: "note"})
		case FieldID:
			r.ID, err = d.whole(place{field: "id"}, "a whole number", 1, holdfast.VersionEnd-1)
		case FieldOp:
			r.Op, err = d.op(place{field: "op"})
		case FieldBind:
			r.Bind, err = d.yes(place{field: "bind"})
		}
		return err
	})
}

// readKeys reads one key, or an array of keys that may each say a mode and a
// limit of their own.
func (r *Request) readKeys(d *reader) error {
	at := place{field: "keys"}
	if d.tokens.PeekKind() == '"' {
		key, err := d.text(at)
		r.Keys = []holdfast.Ask{{Key: key, Mode: unsaid}}
		return err
	}
	r.Keys = []holdfast.Ask{}
	return d.array(at, "a string or an array", func(i int) error {
		ask, err := r.readKey(d, i)
		r.Keys = append(r.Keys, ask)
		return err
	})
}

func (r *Request) readKey(d *reader, i int) (holdfast.Ask, error) {
	at := place{list: "keys", index: i}
	ask := holdfast.Ask{Mode: unsaid}
	var err error
	if d.tokens.PeekKind() == '"' {
		ask.Key, err = d.text(at)
		return ask, err
	}
	r.detailed = true
	named := false
	err = d.object(at, "a string or an object", func(name []byte) error {
		var err error
		switch string(name) {
		case "key":
			named = true
			ask.Key, err = d.text(place{"keys", i, "key"})
		case "mode":
			ask.Mode, err = d.mode(place{"keys", i, "mode"})
		case "limit":
			ask.Limit, err = d.limit(place{"keys", i, "limit"})
		default:
			err = unknownField(at, name)
		}
		return err
	})
	if err == nil && !named {
		err = missing(place{"keys", i, "key"})
	}
	return ask, err
}

func (r *Request) readTokens(d *reader) error {
	r.Tokens = []holdfast.Token{}
	return d.array(place{field: "tokens"}, "an array", func(i int) error {
		token, err := readToken(d, i)
		r.Tokens = append(r.Tokens, token)
		return err
	})
}

func readToken(d *reader, i int) (holdfast.Token, error) {
	at := place{list: "tokens", index: i}
	var token holdfast.Token
	var keyed, versioned bool
	err := d.object(at, "an object with key and version", func(name []byte) error {
		var err error
		switch string(name) {
		case "key":
			keyed = true
			token.Key, err = d.text(place{"tokens", i, "key"})
		case "version":
			versioned = true
			token.Version, err = d.whole(place{"tokens", i, "version"}, "a whole number", 0, holdfast.VersionEnd-1)
		default:
			err = unknownField(at, name)
		}
		return err
	})
	switch {
	case err != nil:
	case !keyed:
		err = missing(place{"tokens", i, "key"})
	case !versioned:
		err = missing(place{"tokens", i, "version"})
	}
	return token, err
}

func (d *reader) millis(at place, low, high time.Duration) (time.Duration, error) {
	n, err := d.whole(at, "a whole number of milliseconds", uint64(low.Milliseconds()), uint64(high.Milliseconds()))
	return time.Duration(n) * time.Millisecond, err
}

func (d *reader) limit(at place) (int, error) {
	n, err := d.whole(at, "a whole number", 1, holdfast.MaxLimit)
	return int(n), err
}

// need answers CodeInvalid unless all of fields were given.
func (r *Request) need(fields Fields) error {
	switch absent := fields &^ r.Given; {
	case absent&FieldUID != 0:
		return missing(place{field: "uid"})
	case absent&FieldKeys != 0:
		return missing(place{field: "keys"})
	case absent&FieldTokens != 0:
		return missing(place{field: "tokens"})
	}
	return nil
}

// Lock gives the request as one to lock. Exp is zero when it was not given.
func (r *Request) Lock() (holdfast.LockRequest, error) {
	if err := r.need(FieldUID | FieldKeys); err != nil {
		return holdfast.LockRequest{}, err
	}
	used := r.Limit == 0 || len(r.Keys) == 0
	for i := range r.Keys {
		ask := &r.Keys[i]
		// A limit for all keys is not meant for one that says exclusive itself.
		if ask.Mode != holdfast.Exclusive {
			used = true
			if ask.Limit == 0 {
				ask.Limit = r.Limit
			}
		}
		if ask.Mode == unsaid {
			ask.Mode = r.Mode
		}
	}
	if !used {
		return holdfast.LockRequest{}, holdfast.Invalid(`limit: goes with mode "shared" only, and every key says "exclusive"`)
	}
	return holdfast.LockRequest{UID: r.UID, Keys: r.Keys, Exp: r.Exp, Wait: r.Wait, Note: r.Note}, nil
}

// Unlock gives the request as one to unlock.
func (r *Request) Unlock() (holdfast.UnlockRequest, error) {
	if err := r.need(FieldUID | FieldTokens); err != nil {
		return holdfast.UnlockRequest{}, err
	}
	return holdfast.UnlockRequest{UID: r.UID, Tokens: r.Tokens}, nil
}

// Extend gives the request as one to extend. Exp is zero when it was not
// given, and Tokens nil. An empty array of tokens is refused: it is more
// likely the mistake of somebody who has lost them than the wish to extend
// nothing.
func (r *Request) Extend() (holdfast.ExtendRequest, error) {
	if err := r.need(FieldUID); err != nil {
		return holdfast.ExtendRequest{}, err
	}
	if r.Given&FieldTokens != 0 && len(r.Tokens) == 0 {
		return holdfast.ExtendRequest{}, holdfast.Invalid(
			"tokens: at least one token is needed; leave the field out to extend everything that the uid holds")
	}
	return holdfast.ExtendRequest{UID: r.UID, Tokens: r.Tokens, Exp: r.Exp}, nil
}

// Check gives the keys of a request to check.
func (r *Request) Check() ([]string, error) {
	if err := r.need(FieldKeys); err != nil {
		return nil, err
	}
	if r.detailed {
		return nil, holdfast.Invalid("keys: must be a string or an array of strings; a check asks for no mode or limit")
	}
	keys := make([]string, len(r.Keys))
	for i, ask := range r.Keys {
		keys[i] = ask.Key
	}
	return keys, nil
}
