package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"holdfast"
)

// reader walks over the JSON of one request. The grammar, UTF-8 and names
// given twice are the business of jsontext; what a field may hold, and how a
// refusal names it, is decided here.
type reader struct {
	source bytes.Buffer
	tokens jsontext.Decoder
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// newReader gives a reader of body. It must be given back with free, and
// keeps nothing of body.
func newReader(body []byte) *reader {
	d := readers.Get().(*reader)
	d.source = *bytes.NewBuffer(body) // jsontext reads a bytes.Buffer in place
	d.tokens.Reset(&d.source)
	return d
}

func (d *reader) free() {
	d.source = bytes.Buffer{}
	d.tokens.Reset(&d.source)
	readers.Put(d)
}

// place is where in a body a value stands. It is put into words only for a
// refusal.
type place struct {
	list  string // the array that it is in, or "" at the top
	index int    // where in the array
	field string // the field, or "" for the element itself
}

func (p place) String() string {
	switch {
	case p.list == "" && p.field == "":
		return "body"
	case p.list == "":
		return p.field
	case p.field == "":
		return fmt.Sprintf("%s[%d]", p.list, p.index)
	}
	return fmt.Sprintf("%s[%d].%s", p.list, p.index, p.field)
}

// object reads an object. For each name it calls member, which reads the
// value.
func (d *reader) object(at place, want string, member func(name []byte) error) error {
	if err := d.open(at, jsontext.KindBeginObject, want); err != nil {
		return err
	}
	for d.tokens.PeekKind() != jsontext.KindEndObject {
		raw, err := d.tokens.ReadValue()
		if err != nil {
			return broken(err)
		}
		if err := member(unquote(raw)); err != nil {
			return err
		}
	}
	_, err := d.tokens.ReadToken()
	return err
}

// array reads an array. It calls element for each value, which reads it.
func (d *reader) array(at place, want string, element func(i int) error) error {
	if err := d.open(at, jsontext.KindBeginArray, want); err != nil {
		return err
	}
	for i := 0; d.tokens.PeekKind() != jsontext.KindEndArray; i++ {
		if err := element(i); err != nil {
			return err
		}
	}
	_, err := d.tokens.ReadToken()
	return err
}

func (d *reader) open(at place, kind jsontext.Kind, want string) error {
	found := d.tokens.PeekKind()
	if found != kind && found != jsontext.KindInvalid {
		raw, err := d.tokens.ReadValue()
		if err != nil {
			return broken(err)
		}
		return mismatch(at, want, raw)
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		return broken(err)
	}
	return nil
}

// end answers CodeInvalid unless nothing but space is left.
func (d *reader) end() error {
	_, err := d.tokens.ReadToken()
	if err == io.EOF {
		return nil
	}
	return holdfast.Invalid("body: something follows the JSON object at byte %d", d.tokens.InputOffset())
}

// scalar reads a value of one kind and gives it as it was written. It is
// valid until the next read.
func (d *reader) scalar(at place, kind jsontext.Kind, want string) (jsontext.Value, error) {
	raw, err := d.tokens.ReadValue()
	if err != nil {
		return nil, broken(err)
	}
	if raw.Kind() != kind {
		return nil, mismatch(at, want, raw)
	}
	return raw, nil
}

// text reads a string.
func (d *reader) text(at place) (string, error) {
	raw, err := d.scalar(at, jsontext.KindString, "a string")
	if err != nil {
		return "", err
	}
	return string(unquote(raw)), nil
}

// whole reads a whole number from low to high, written in plain digits.
func (d *reader) whole(at place, what string, low, high uint64) (uint64, error) {
	raw, err := d.tokens.ReadValue()
	if err != nil {
		return 0, broken(err)
	}
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil || n < low || n > high {
		return 0, mismatch(at, fmt.Sprintf("%s from %d to %d", what, low, high), raw)
	}
	return n, nil
}

// mode reads the word for a mode.
func (d *reader) mode(at place) (holdfast.Mode, error) {
	const want = `"exclusive" or "shared"`
	raw, err := d.scalar(at, jsontext.KindString, want)
	if err != nil {
		return 0, err
	}
	var mode holdfast.Mode
	if mode.UnmarshalText(unquote(raw)) != nil {
		return 0, mismatch(at, want, raw)
	}
	return mode, nil
}

// yes reads true or false.
func (d *reader) yes(at place) (bool, error) {
	raw, err := d.tokens.ReadValue()
	if err != nil {
		return false, broken(err)
	}
	if kind := raw.Kind(); kind != jsontext.KindTrue && kind != jsontext.KindFalse {
		return false, mismatch(at, "true or false", raw)
	}
	return raw.Kind() == jsontext.KindTrue, nil
}

// unquote gives what a JSON string says. Most strings say what is written.
func unquote(raw jsontext.Value) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	plain, _ := jsontext.AppendUnquote(nil, raw) // the decoder has checked it
	return plain
}

func mismatch(at place, want string, raw jsontext.Value) error {
	return holdfast.Invalid("%v: must be %s, not %s", at, want, describe(raw))
}

func unknownField(at place, name []byte) error {
	if at == (place{}) {
		return holdfast.Invalid("unknown field %s", quoted(name))
	}
	return holdfast.Invalid("%v: unknown field %s", at, quoted(name))
}

func missing(at place) error { return holdfast.Invalid("%v: is missing", at) }

// describe says what was found instead, without repeating much of it.
func describe(raw jsontext.Value) string {
	switch raw.Kind() {
	case jsontext.KindNumber:
		return shortened(string(raw))
	case jsontext.KindString:
		return quoted(unquote(raw))
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		return "an array"
	}
	return string(raw) // null, true, false
}

func quoted(text []byte) string { return strconv.Quote(shortened(string(text))) }

// shortened keeps what somebody sent from making a message huge.
func shortened(text string) string {
	const enough = 64
	if len(text) <= enough {
		return text
	}
	return strings.ToValidUTF8(text[:enough], "") + "…"
}

// broken puts an error of the grammar into words.
func broken(err error) error {
	if err == io.EOF {
		return holdfast.Invalid("body: is empty; a JSON object is needed")
	}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return holdfast.Invalid("body: %v", err)
	}
	if syntax.Err == jsontext.ErrDuplicateName {
		return holdfast.Invalid("field %q is given twice", pointed(syntax.JSONPointer))
	}
	where := ""
	if syntax.JSONPointer != "" {
		where = fmt.Sprintf(" (in %q)", pointed(syntax.JSONPointer))
	}
	return holdfast.Invalid("body: broken JSON at byte %d%s: %v", syntax.ByteOffset, where, syntax.Err)
}

// pointed writes a JSON pointer as the other messages write a place.
func pointed(pointer jsontext.Pointer) string {
	var path strings.Builder
	for name := range pointer.Tokens() {
		if _, err := strconv.Atoi(name); err == nil {
			fmt.Fprintf(&path, "[%s]", name)
			continue
		}
		if path.Len() > 0 {
			path.WriteByte('.')
		}
		path.WriteString(name)
	}
	return shortened(path.String())
}
