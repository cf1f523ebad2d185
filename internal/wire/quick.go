package wire

import (
	"unicode/utf8"

	"holdfast"
)

// The requests and answers that come most often are read without a parser when
// they are written as this package writes them. Anything else, such as a string
// with an escape or a number out of bounds, is left to those who read with care.

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

// raw reads a string, and gives it where it stands.
func (c *cursor) raw() []byte {
	c.must(`"`)
	ascii := true
	for i, b := range c.rest {
		switch {
		case b == '"':
			text := c.rest[:i]
			c.rest = c.rest[i+1:]
			c.lost = c.lost || !ascii && !utf8.Valid(text)
			return text
		case b == '\\' || b < ' ':
			c.lost = true
			return nil
		case b >= utf8.RuneSelf:
			ascii = false
		}
	}
	c.lost = true
	return nil
}

// text reads a string.
func (c *cursor) text() string { return string(c.raw()) }

func (c *cursor) token() holdfast.Token {
	c.must(`{"key":`)
	key := c.text()
	c.must(`,"version":`)
	version := c.whole(0, holdfast.VersionEnd-1)
	c.must("}")
	return holdfast.Token{Key: key, Version: version}
}

// element goes to the i-th element of an array that is not empty, and says
// whether there is one.
func (c *cursor) element(i int) bool {
	switch {
	case i == 0:
		c.must("[")
	case !c.next(","):
		c.must("]")
		return false
	}
	return !c.lost
}

func (c *cursor) tokens() (tokens []holdfast.Token) {
	for i := 0; c.element(i); i++ {
		tokens = append(tokens, c.token())
	}
	return tokens
}

// end says whether the text was as expected to its end.
func (c *cursor) end() bool {
	c.next("\n")
	return !c.lost && len(c.rest) == 0
}

func quickGrant(body []byte) (Grant, bool) {
	c := cursor{rest: body}
	c.must(`{"tokens":`)
	tokens := c.tokens()
	c.must(`,"exp":`)
	exp := c.number()
	c.must("}")
	return Grant{Tokens: tokens, Exp: Millis(exp)}, c.end()
}

func quickUnlocked(body []byte) ([]string, bool) {
	c := cursor{rest: body}
	c.must(`{"unlocked":`)
	var keys []string
	for i := 0; c.element(i); i++ {
		keys = append(keys, c.text())
	}
	c.must("}")
	return keys, c.end()
}
