package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"holdfast"
)

// whole reads a whole number.
func whole(text []byte, least, most int) (int, error) {
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil || int(n) < least || int(n) > most {
		return 0, fmt.Errorf("must be a whole number from %d to %d, not %q", least, most, text)
	}
	return int(n), nil
}

// port is a TCP port. As a port to listen on, 0 means any that is free.
type port uint16

// UnmarshalText reads a number from 0 to 65535.
func (p *port) UnmarshalText(text []byte) error {
	n, err := whole(text, 0, math.MaxUint16)
	*p = port(n)
	return err
}

// remotePort is a port to connect to, so never 0, which stands for not set.
type remotePort port

// UnmarshalText reads a number from 1 to 65535.
func (p *remotePort) UnmarshalText(text []byte) error {
	n, err := whole(text, 1, math.MaxUint16)
	*p = remotePort(n)
	return err
}

// host is a name or an address, without a port.
type host string

// UnmarshalText reads a host. An IPv6 address may stand in brackets, as it
// does in a URL.
func (h *host) UnmarshalText(text []byte) error {
	s := string(text)
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(inner, "]")
	}
	_, err := netip.ParseAddr(s)
	switch {
	case s == "":
		return errEmpty
	case strings.Contains(s, "@"): // before it there may be a password, of which no error tells
		return errors.New("must be one name or address, without a port, a user or a password")
	case strings.ContainsAny(s, "/,?# "), err != nil && strings.Contains(s, ":"):
		return fmt.Errorf("must be one name or address, without a port, not %q", text)
	}
	*h = host(s)
	return nil
}

// everywhere says whether it stands for all addresses of this machine.
func (h host) everywhere() bool {
	address, err := netip.ParseAddr(string(h))
	return err == nil && address.IsUnspecified()
}

// keyPrefix is what the names of all keys in Redis begin with. Braces would
// make another hash tag of it.
type keyPrefix string

// maxKeyPrefix is how many bytes it may have: each key carries it.
const maxKeyPrefix = 64

// UnmarshalText reads such a prefix.
func (k *keyPrefix) UnmarshalText(text []byte) error {
	other := func(r rune) bool { return r == '{' || r == '}' || !unicode.IsPrint(r) }
	if len(text) == 0 || len(text) > maxKeyPrefix || !utf8.Valid(text) || bytes.ContainsFunc(text, other) {
		return fmt.Errorf("must be 1 to %d bytes, and no braces, not %q", maxKeyPrefix, text)
	}
	*k = keyPrefix(text)
	return nil
}

// nonEmpty is any string but the empty one.
type nonEmpty string

// UnmarshalText reads a string.
func (s *nonEmpty) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errEmpty
	}
	*s = nonEmpty(text)
	return nil
}

var errEmpty = errors.New("must not be empty")

// lifetime is the exp of a hold; on the command line, as everywhere outside,
// in whole milliseconds.
type lifetime time.Duration

// UnmarshalText reads a number of milliseconds that a hold may live.
func (l *lifetime) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 32)
	if err != nil || n < 1 || n > uint64(holdfast.MaxExp.Milliseconds()) {
		return fmt.Errorf("must be a whole number of milliseconds from 1 to %d, not %q", holdfast.MaxExp.Milliseconds(), text)
	}
	*l = lifetime(time.Duration(n) * time.Millisecond)
	return nil
}

// life is the exp of a hold that a command asks for; zero if it does not say.
type life time.Duration

// UnmarshalText reads a duration such as 30s, as long as a hold may live.
func (l *life) UnmarshalText(text []byte) error { return (*grace)(l).UnmarshalText(text) }

// holders is how many may share a key; zero if a command does not say.
type holders int

// UnmarshalText reads a number from 1.
func (h *holders) UnmarshalText(text []byte) error {
	n, err := whole(text, 1, holdfast.MaxLimit)
	*h = holders(n)
	return err
}

// grace is for how long somebody may come back.
type grace time.Duration

// UnmarshalText reads a duration such as 5s, as long as a hold may live.
func (g *grace) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < time.Millisecond || d > holdfast.MaxExp {
		return fmt.Errorf("must be a duration from 1ms to 24h, such as 5s, not %q", text)
	}
	*g = grace(d)
	return nil
}
