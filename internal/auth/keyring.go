package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"strings"
	"sync/atomic"

	"holdfast"
)

// Keyring knows who may do what. It is safe for concurrent use.
type Keyring struct {
	current atomic.Pointer[entries]
}

// entries are those of one file.
type entries struct {
	tokens       map[uint64][]*entry // by the first bytes of the hash
	certificates map[string]*entry
}

// entry is an Entry, ready to be asked.
type entry struct {
	Entry
	grants grants
}

// NewKeyring gives a keyring with the entries of a file.
func NewKeyring(f *File) *Keyring {
	k := new(Keyring)
	k.Use(f)
	return k
}

// Use goes on with the entries of another file, for calls that are under way
// too.
func (k *Keyring) Use(f *File) {
	next := &entries{tokens: map[uint64][]*entry{}, certificates: map[string]*entry{}}
	for _, e := range f.Entries {
		known := &entry{e, newGrants(e.Grants)}
		if e.Certificate != "" {
			next.certificates[e.Certificate] = known
			continue
		}
		at := binary.BigEndian.Uint64(e.SHA256[:])
		next.tokens[at] = append(next.tokens[at], known)
	}
	k.current.Store(next)
}

// token gives the entry of a hash. What is compared in constant time is the
// hash; how long it takes to find those to compare with says something of the
// hash's first bytes, and nothing of the token.
func (e *entries) token(hash *[sha256.Size]byte) *entry {
	for _, known := range e.tokens[binary.BigEndian.Uint64(hash[:])] {
		if subtle.ConstantTimeCompare(known.SHA256[:], hash[:]) == 1 {
			return known
		}
	}
	return nil
}

// Caller is somebody whom the keyring knew when a connection or a request
// began. It keeps by what they were known, not what they might do then.
type Caller struct {
	ring        *Keyring
	name        string
	hash        [sha256.Size]byte
	certificate string
}

// Token gives the caller with a bearer token; nil if nobody has it.
func (k *Keyring) Token(token string) *Caller {
	c := &Caller{ring: k, hash: sha256.Sum256([]byte(token))}
	return c.known()
}

// Certificate gives the caller with a client certificate of that common name,
// which somebody must have verified; nil if nobody has it.
func (k *Keyring) Certificate(name string) *Caller {
	if name == "" {
		return nil
	}
	c := &Caller{ring: k, certificate: name}
	return c.known()
}

// known gives c, which knows its name from then on; nil if nobody does.
func (c *Caller) known() *Caller {
	e := c.entry()
	if e == nil {
		return nil
	}
	c.name = e.Name
	return c
}

// entry gives what the caller may do now; nil if it is not known any more.
func (c *Caller) entry() *entry {
	current := c.ring.current.Load()
	if c.certificate != "" {
		return current.certificates[c.certificate]
	}
	return current.token(&c.hash)
}

// Name is the caller's name, as it was then: what somebody has done is theirs,
// also when they are not known any more.
func (c *Caller) Name() string { return c.name }

// Service says whether the caller may do one of the verbs to the service as a
// whole; of List that means: on every key. It answers CodeForbidden if not.
func (c *Caller) Service(verbs Verbs) error {
	e := c.entry()
	if e == nil {
		return errUnknown()
	}
	if e.grants.on("").Verbs&verbs&ofTheService != 0 || verbs&List != 0 && e.grants.everywhere(List, "") {
		return nil
	}
	return forbidden("%q has no grant of %s", e.Name, strings.Join(verbs.Words(), " or "))
}

type callerKey struct{}

// With gives a ctx for the calls of a caller.
func With(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// current gives what the caller of ctx may do now.
func current(ctx context.Context) (*entry, error) {
	c, _ := ctx.Value(callerKey{}).(*Caller)
	if c == nil {
		return nil, errUnknown()
	}
	e := c.entry()
	if e == nil {
		return nil, errUnknown()
	}
	return e, nil
}

func errUnknown() error {
	return &holdfast.Error{Code: holdfast.CodeUnauthenticated, Message: "credentials are missing, or not valid any more"}
}
