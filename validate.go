package holdfast

import (
	"time"
	"unicode/utf8"
)

// Normal gives the request in the one form that a service works with:
// defaults filled in, durations in whole milliseconds, each key once, in the
// order asked. It answers CodeInvalid, with a message that names the field,
// when the request is malformed. The request itself is left as it is; the
// answer may share its memory.
func (r LockRequest) Normal() (LockRequest, error) {
	if err := ValidUID(r.UID); err != nil {
		return r, err
	}
	if len(r.Keys) == 0 {
		return r, Invalid("keys: at least one key is needed")
	}
	for _, ask := range r.Keys {
		if err := ask.valid(); err != nil {
			return r, err
		}
	}
	keys, err := once(r.Keys)
	if err != nil {
		return r, err
	}
	r.Keys = keys
	if len(r.Keys) > MaxKeys {
		return r, Invalid("keys: %d different keys; at most %d can be locked at once", len(r.Keys), MaxKeys)
	}
	if r.Exp, err = normalExp(r.Exp); err != nil {
		return r, err
	}
	r.Wait = wholeMillis(r.Wait)
	if r.Wait < 0 || r.Wait > MaxWait {
		return r, Invalid("wait: must be from 0 to %d ms", MaxWait.Milliseconds())
	}
	return r, validNote("note", r.Note)
}

// Normal is for an ExtendRequest what it is for a LockRequest.
func (r ExtendRequest) Normal() (ExtendRequest, error) {
	if err := ValidUID(r.UID); err != nil {
		return r, err
	}
	if err := validTokens(r.Tokens); err != nil {
		return r, err
	}
	var err error
	r.Exp, err = normalExp(r.Exp)
	return r, err
}

// Normal is for an UnlockRequest what it is for a LockRequest.
func (r UnlockRequest) Normal() (UnlockRequest, error) {
	if err := ValidUID(r.UID); err != nil {
		return r, err
	}
	if len(r.Tokens) == 0 {
		return r, Invalid("tokens: at least one token is needed")
	}
	return r, validTokens(r.Tokens)
}

// Normal is for a ListRequest what it is for a LockRequest.
func (r ListRequest) Normal() (ListRequest, error) {
	if err := (WatchRequest{Prefix: r.Prefix, UID: r.UID}).valid(); err != nil {
		return r, err
	}
	if len(r.After) > MaxKey {
		return r, Invalid("after: longer than %d bytes", MaxKey)
	}
	if r.Limit == 0 {
		r.Limit = DefaultPage
	}
	if r.Limit < 1 || r.Limit > MaxPage {
		return r, Invalid("limit: must be from 1 to %d", MaxPage)
	}
	return r, nil
}

// Normal is for a ForceRequest what it is for a LockRequest.
func (r ForceRequest) Normal() (ForceRequest, error) {
	if err := ValidKey(r.Key); err != nil {
		return r, err
	}
	return r, ValidReason(r.Reason)
}

// Normal is for a WatchRequest what it is for a LockRequest.
func (r WatchRequest) Normal() (WatchRequest, error) { return r, r.valid() }

func (r WatchRequest) valid() error {
	if len(r.Prefix) > MaxKey {
		return Invalid("prefix: longer than %d bytes", MaxKey)
	}
	if r.UID == "" {
		return nil
	}
	return ValidUID(r.UID)
}

// ValidKeys answers CodeInvalid unless there are keys to look at, and all of
// them are well formed.
func ValidKeys(keys []string) error {
	if len(keys) == 0 {
		return Invalid("keys: at least one key is needed")
	}
	if len(keys) > MaxKeys {
		return Invalid("keys: %d keys; at most %d can be asked at once", len(keys), MaxKeys)
	}
	for _, key := range keys {
		if err := ValidKey(key); err != nil {
			return err
		}
	}
	return nil
}

// ValidKey answers CodeInvalid unless key can be locked: 1 to MaxKey bytes
// of UTF-8 without control characters.
func ValidKey(key string) error { return validKey("keys", key) }

func validKey(field, key string) error {
	switch {
	case key == "":
		return Invalid("%s: a key must not be empty", field)
	case len(key) > MaxKey:
		return Invalid("%s: a key of %d bytes; at most %d are allowed", field, len(key), MaxKey)
	case !utf8.ValidString(key):
		return Invalid("%s: a key is not valid UTF-8", field)
	case hasControl(key):
		return Invalid("%s: key %q contains a control character", field, key)
	}
	return nil
}

// ValidUID answers CodeInvalid unless uid can own a hold: 1 to MaxUID bytes
// of UTF-8 without control characters.
func ValidUID(uid string) error {
	switch {
	case uid == "":
		return Invalid("uid: must not be empty")
	case len(uid) > MaxUID:
		return Invalid("uid: %d bytes; at most %d are allowed", len(uid), MaxUID)
	case !utf8.ValidString(uid):
		return Invalid("uid: not valid UTF-8")
	case hasControl(uid):
		return Invalid("uid: %q contains a control character", uid)
	}
	return nil
}

// ValidReason answers CodeInvalid unless reason can be written down: at most
// MaxNote bytes of UTF-8. It may be empty.
func ValidReason(reason string) error { return validNote("reason", reason) }

func validNote(field, note string) error {
	switch {
	case len(note) > MaxNote:
		return Invalid("%s: %d bytes; at most %d are allowed", field, len(note), MaxNote)
	case !utf8.ValidString(note):
		return Invalid("%s: not valid UTF-8", field)
	}
	return nil
}

func validTokens(tokens []Token) error {
	if len(tokens) > MaxKeys {
		return Invalid("tokens: %d tokens; at most %d can be given at once", len(tokens), MaxKeys)
	}
	for _, token := range tokens {
		if err := validKey("tokens", token.Key); err != nil {
			return err
		}
	}
	return nil
}

func (a *Ask) valid() error {
	if err := ValidKey(a.Key); err != nil {
		return err
	}
	switch {
	case a.Mode != Exclusive && a.Mode != Shared:
		return Invalid("mode: key %q asks for an unknown mode", a.Key)
	case a.Limit < 0 || a.Limit > MaxLimit:
		return Invalid("limit: key %q: must be from 1 to %d", a.Key, MaxLimit)
	case a.Limit > 0 && a.Mode != Shared:
		return Invalid(`limit: key %q: goes with mode "shared" only`, a.Key)
	}
	return nil
}

// once leaves each key in its first place. It copies only when it must.
func once(asks []Ask) ([]Ask, error) {
	if len(asks) == 1 {
		return asks, nil
	}
	seen := make(map[string]Ask, min(len(asks), MaxKeys))
	kept := make([]Ask, 0, min(len(asks), MaxKeys))
	for _, ask := range asks {
		first, again := seen[ask.Key]
		if again && first != ask {
			return nil, Invalid("keys: key %q is asked twice, in different modes", ask.Key)
		}
		if !again {
			seen[ask.Key] = ask
			kept = append(kept, ask)
		}
	}
	return kept, nil
}

// normalExp fills in the default and rounds up, so that a hold never ends
// before the life that was asked.
func normalExp(exp time.Duration) (time.Duration, error) {
	if exp == 0 {
		return DefaultExp, nil
	}
	exp = wholeMillis(exp)
	if exp < time.Millisecond || exp > MaxExp {
		return 0, Invalid("exp: must be from 1 to %d ms", MaxExp.Milliseconds())
	}
	return exp, nil
}

func wholeMillis(d time.Duration) time.Duration {
	if short := d % time.Millisecond; short > 0 {
		d += time.Millisecond - short
	}
	return d
}

// hasControl says whether s contains a control character of ASCII or of
// Latin-1 (C0, DEL, C1).
func hasControl(s string) bool {
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return true
		}
	}
	return false
}
