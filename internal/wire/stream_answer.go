package wire

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Answer is one answer on the stream. Body is an object for the functions that
// read answers.
type Answer struct {
	Head
	Body []byte
}

// ReadAnswers reads a message of answers, one or an array of them, and appends
// them to answers. They keep nothing of message.
func ReadAnswers(message []byte, answers []Answer) ([]Answer, error) {
	message = slices.Clone(message) // once for all bodies
	if quick, ok := readQuickly(message, answers); ok {
		return quick, nil
	}
	d := newReader(message)
	defer d.free()
	one := func(int) error {
		raw, err := d.tokens.ReadValue()
		if err != nil {
			return broken(err)
		}
		answer := Answer{Body: slices.Clone(raw)}
		answer.Head, err = readHead(raw)
		answers = append(answers, answer)
		return err
	}
	var err error
	if d.tokens.PeekKind() == jsontext.KindBeginArray {
		err = d.array(place{}, "an array", one)
	} else {
		err = one(0)
	}
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return answers, unintelligible(err)
	}
	return answers, nil
}

func readHead(raw []byte) (Head, error) {
	var head struct {
		ID         uint64 `json:"id"`
		Status     int    `json:"status"`
		RetryAfter int64  `json:"retry_after"`
		Grace      Millis `json:"grace"`
	}
	err := json.Unmarshal(raw, &head)
	return Head{ID: head.ID, Status: head.Status, RetryAfter: head.RetryAfter, Grace: head.Grace.Duration()}, err
}

// readQuickly takes apart a message that is written as AppendHead writes it,
// with no more in its heads than id and status. Anything else is left to those
// who read with care: it gives up. It puts the bodies back as they were before
// they had a head, so that they can be read quickly as well.
func readQuickly(message []byte, answers []Answer) ([]Answer, bool) {
	c := cursor{rest: message}
	several := c.next("[")
	for {
		object := c.rest
		size := objectSize(object)
		c.must(`{"id":`)
		id := c.number()
		c.must(`,"status":`)
		status := c.number()
		head := len(object) - len(c.rest)
		c.must(`,"`)
		if c.lost || size < head || bytes.HasPrefix(c.rest, []byte("retry_after")) || bytes.HasPrefix(c.rest, []byte("grace")) {
			return nil, false
		}
		answers = append(answers, Answer{Head: Head{ID: id, Status: int(status)}, Body: object[head:size:size]})
		c.rest = object[size:]
		if !several || !c.next(",") {
			break
		}
	}
	if several {
		c.must("]")
	}
	if c.lost || len(c.rest) > 0 {
		return nil, false
	}
	for _, answer := range answers {
		answer.Body[0] = '{'
	}
	return answers, true
}

// objectSize is how long the JSON object is with which text begins; zero if it
// does not end.
func objectSize(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
