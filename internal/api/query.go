package api

import (
	"net/url"
	"slices"
	"strconv"
	"unicode/utf8"

	"holdfast"
)

// readQuery reads the parameters of the path into x.query. What is not among
// allowed, given twice or malformed is refused: a misspelt parameter must not
// silently list everything.
func (x *exchange) readQuery(allowed []string) error {
	raw := x.request.URL.RawQuery
	if raw == "" {
		return nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return holdfast.Invalid("query: %v", err)
	}
	x.query = make(map[string]string, len(values))
	for name, list := range values {
		switch {
		case !slices.Contains(allowed, name):
			return holdfast.Invalid("unknown query parameter %.64q", name)
		case len(list) > 1:
			return holdfast.Invalid("query parameter %q is given twice", name)
		case !utf8.ValidString(list[0]):
			return holdfast.Invalid("%s: not valid UTF-8", name)
		}
		x.query[name] = list[0]
	}
	return nil
}

// number gives a parameter as a whole number from 1 to high, or zero if it was
// not given.
func (x *exchange) number(name string, high uint64) (int, error) {
	text, given := x.query[name]
	if !given {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < 1 || n > high {
		return 0, holdfast.Invalid("%s: must be a whole number from 1 to %d, not %.64q", name, high, text)
	}
	return int(n), nil
}

// truth gives a parameter that is true or false; false if it was not given.
func (x *exchange) truth(name string) (bool, error) {
	switch text, given := x.query[name]; {
	case !given || text == "false":
		return false, nil
	case text == "true":
		return true, nil
	default:
		return false, holdfast.Invalid("%s: must be true or false, not %.64q", name, text)
	}
}

// reason gives why somebody asks for what is written down; "" if it was not
// given.
func (x *exchange) reason() (string, error) {
	reason := x.query["reason"]
	return reason, holdfast.ValidReason(reason)
}

// uid gives the parameter of that name, or "" for everybody if it was not
// given. Whoever gives an empty one means somebody.
func (x *exchange) uid() (string, error) {
	uid, given := x.query["uid"]
	if !given {
		return "", nil
	}
	return uid, holdfast.ValidUID(uid)
}
