package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"holdfast"
)

// Limits on a file, so that looking up a grant stays cheap.
const (
	MaxName   = 128 // bytes in the name of an entry, or in that of a certificate
	MaxGrants = 256 // grants of one entry
)

// File is who may do what, as it is kept on disk.
type File struct {
	Entries []Entry
}

// Entry is somebody who is known. Either SHA256 or Certificate is set.
type Entry struct {
	Name        string            // for people, logs and revocation; no other entry has it
	SHA256      [sha256.Size]byte // of the bearer token
	Certificate string            // the common name in a client certificate
	UID         string            // what the uids begin with that may be used; empty allows all
	Grants      []Grant
}

// The file in JSON.
type (
	fileJSON struct {
		Tokens []entryJSON `json:"tokens"`
	}
	entryJSON struct {
		Name        string      `json:"name"`
		SHA256      string      `json:"sha256,omitzero"`
		Certificate string      `json:"certificate,omitzero"`
		UID         string      `json:"uid,omitzero"`
		Grants      []grantJSON `json:"grants"`
	}
	grantJSON struct {
		Prefix string   `json:"prefix"`
		Verbs  []string `json:"verbs"`
	}
)

// NewToken makes a bearer token of 256 random bits, and gives the hash that a
// file keeps of it. The token itself is kept nowhere.
func NewToken() (token string, hash [sha256.Size]byte) {
	var secret [32]byte
	rand.Read(secret[:])
	token = "hf_" + base64.RawURLEncoding.EncodeToString(secret[:])
	return token, sha256.Sum256([]byte(token))
}

// ParseFile reads a file. It refuses whatever it does not understand.
func ParseFile(text []byte) (*File, error) {
	var read fileJSON
	if err := json.Unmarshal(text, &read, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	file := new(File)
	for i, e := range read.Tokens {
		entry, err := e.entry()
		if err != nil {
			return nil, fmt.Errorf("tokens[%d] (%q): %w", i, e.Name, err)
		}
		file.Entries = append(file.Entries, entry)
	}
	return file, file.valid()
}

func (e entryJSON) entry() (Entry, error) {
	entry := Entry{Name: e.Name, Certificate: e.Certificate, UID: e.UID}
	if (e.SHA256 == "") == (e.Certificate == "") {
		return entry, errors.New("needs either sha256 or certificate")
	}
	if e.SHA256 != "" {
		hash, err := hex.DecodeString(e.SHA256)
		if err != nil || len(hash) != sha256.Size {
			return entry, fmt.Errorf("sha256: must be %d hexadecimal digits", 2*sha256.Size)
		}
		copy(entry.SHA256[:], hash)
	}
	for _, g := range e.Grants {
		verbs, err := ParseVerbs(g.Verbs)
		if err != nil {
			return entry, fmt.Errorf("grant on %q: %w", g.Prefix, err)
		}
		entry.Grants = append(entry.Grants, Grant{g.Prefix, verbs})
	}
	return entry, nil
}

// Add adds an entry, or says why it cannot be.
func (f *File) Add(e Entry) error {
	if slices.ContainsFunc(f.Entries, func(other Entry) bool { return other.Name == e.Name }) {
		return fmt.Errorf("%q is there already: revoke it first, or choose another name", e.Name)
	}
	longer := File{append(slices.Clone(f.Entries), e)}
	if err := longer.valid(); err != nil {
		return err
	}
	*f = longer
	return nil
}

// Remove takes out the entry of that name, and says whether there was one.
func (f *File) Remove(name string) bool {
	was := len(f.Entries)
	f.Entries = slices.DeleteFunc(f.Entries, func(e Entry) bool { return e.Name == name })
	return len(f.Entries) < was
}

// Text gives the file as it is kept on disk.
func (f *File) Text() []byte {
	var written fileJSON
	for _, e := range f.Entries {
		out := entryJSON{Name: e.Name, Certificate: e.Certificate, UID: e.UID}
		if e.Certificate == "" {
			out.SHA256 = hex.EncodeToString(e.SHA256[:])
		}
		for _, g := range e.Grants {
			out.Grants = append(out.Grants, grantJSON{g.Prefix, g.Verbs.Words()})
		}
		written.Tokens = append(written.Tokens, out)
	}
	text, err := json.Marshal(written, jsontext.WithIndent("  "))
	if err != nil {
		panic(err) // what valid lets pass can be written
	}
	return append(text, '\n')
}

// valid says what is wrong with a file.
func (f *File) valid() error {
	names := map[string]bool{}
	knownBy := map[any]string{}
	for _, e := range f.Entries {
		if err := e.valid(); err != nil {
			return fmt.Errorf("%q: %w", e.Name, err)
		}
		if names[e.Name] {
			return fmt.Errorf("%q: there are two entries of that name", e.Name)
		}
		names[e.Name] = true
		var by any = e.SHA256
		if e.Certificate != "" {
			by = e.Certificate
		}
		if other, taken := knownBy[by]; taken {
			return fmt.Errorf("%q: is known by the same as %q", e.Name, other)
		}
		knownBy[by] = e.Name
	}
	return nil
}

func (e *Entry) valid() error {
	switch {
	case !wellFormed(e.Name):
		return fmt.Errorf("name: must be 1 to %d bytes of printable text", MaxName)
	case e.Certificate != "" && !wellFormed(e.Certificate):
		return fmt.Errorf("certificate: must be a name of at most %d bytes", MaxName)
	case e.UID != "" && holdfast.ValidUID(e.UID) != nil:
		return fmt.Errorf("uid: %q begins no uid", e.UID)
	case len(e.Grants) > MaxGrants:
		return fmt.Errorf("grants: %d; at most %d are allowed", len(e.Grants), MaxGrants)
	}
	seen := map[string]bool{}
	for _, g := range e.Grants {
		switch {
		case g.Prefix != "" && holdfast.ValidKey(g.Prefix) != nil:
			return fmt.Errorf("grants: %q begins no key", g.Prefix)
		case seen[g.Prefix]:
			return fmt.Errorf("grants: two on %q", g.Prefix)
		case g.Prefix != "" && g.Verbs&ofTheService != 0:
			return fmt.Errorf("grants: %v on %q: it is about no key, and belongs to the empty prefix", g.Verbs&ofTheService, g.Prefix)
		}
		seen[g.Prefix] = true
	}
	return nil
}

func wellFormed(name string) bool {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	return name != "" && len(name) <= MaxName && utf8.ValidString(name) && !strings.ContainsFunc(name, unprintable)
}
