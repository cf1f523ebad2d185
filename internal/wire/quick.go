package wire

import (
	"bytes"
	"unicode/utf8"

	"holdfast"
)

// The answers that a client reads most often are read without reflection when
// they are written exactly as this package writes them. Anything else, such as
// a string with an escape, is left to those who read with care.

// cursor walks over a text that is as expected, until it is not.
type cursor struct {
	rest []byte
	lost bool
}

// next says whether text comes next, and goes behind it.
func (c *cursor) next(text string) bool {
	if len(c.rest) < len(text) || string(c.rest[:len(text)]) != text {
		return false
	}
	c.rest = c.rest[len(text):]
	return true
}

func (c *cursor) must(text string) { c.lost = !c.next(text) || c.lost }

// number reads a whole number.
func (c *cursor) number() uint64 {
	n, i := uint64(0), 0
	for ; i < len(c.rest) && i < 18 && '0' <= c.rest[i] && c.rest[i] <= '9'; i++ {
		n = 10*n + uint64(c.rest[i]-'0')
	}
	if i == 0 || i > 1 && c.rest[0] == '0' {
		c.lost = true
	}
	c.rest = c.rest[i:]
	return n
}

// text reads a string.
func (c *cursor) text() string {
	c.must(`"`)
	end := bytes.IndexByte(c.rest, '"')
	if c.lost || end < 0 {
		c.lost = true
		return ""
	}
	raw := c.rest[:end]
	for _, b := range raw {
		if b == '\\' || b < ' ' {
			c.lost = true
		}
	}
	c.lost = c.lost || !utf8.Valid(raw)
	c.rest = c.rest[end+1:]
	return string(raw)
}

// list reads an array that is not empty.
func list[T any](c *cursor, element func(*cursor) T) []T {
	var all []T
	c.must("[")
	for !c.lost {
		all = append(all, element(c))
		if !c.next(",") {
			break
		}
	}
	c.must("]")
	return all
}

// done says whether the text was as expected to its end.
func (c *cursor) done() bool {
	c.must("}")
	c.next("\n")
	return !c.lost && len(c.rest) == 0
}

func quickGrant(body []byte) (Grant, bool) {
	c := cursor{rest: body}
	c.must(`{"tokens":`)
	tokens := list(&c, func(c *cursor) holdfast.Token {
		c.must(`{"key":`)
		key := c.text()
		c.must(`,"version":`)
		version := c.number()
		c.must("}")
		return holdfast.Token{Key: key, Version: version}
	})
	c.must(`,"exp":`)
	exp := c.number()
	return Grant{Tokens: tokens, Exp: Millis(exp)}, c.done()
}

func quickUnlocked(body []byte) ([]string, bool) {
	c := cursor{rest: body}
	c.must(`{"unlocked":`)
	keys := list(&c, (*cursor).text)
	return keys, c.done()
}
