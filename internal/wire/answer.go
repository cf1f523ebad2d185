package wire

import (
	"errors"
	"time"

	"github.com/go-json-experiment/json"

	"holdfast"
)

// Millis is a duration in whole milliseconds.
type Millis int64

// Duration gives the duration.
func (m Millis) Duration() time.Duration { return time.Duration(m) * time.Millisecond }

// Grant is the answer to a request to lock, as AppendGrant writes it.
type Grant struct {
	Tokens []holdfast.Token `json:"tokens"`
	Exp    Millis           `json:"exp"`
}

// Unlocked is the answer to a request to unlock, as AppendUnlocked writes it.
type Unlocked struct {
	Unlocked []string `json:"unlocked"`
}

// Checked is the answer to a request to check, as AppendChecked writes it.
type Checked struct {
	Locked bool `json:"locked"`
}

// Extension is the answer to a request to extend, as AppendExtension writes
// it.
type Extension struct {
	Tokens []holdfast.Token `json:"tokens"`
	Lost   []holdfast.Token `json:"lost"`
	Exp    Millis           `json:"exp"`
}

// Page is one part of a list of locks, as AppendPage writes it.
type Page struct {
	Locks []Lock `json:"locks"`
	Next  string `json:"next,omitzero"`
}

// Lock is the state of one key, as AppendState writes it.
type Lock struct {
	Key     string   `json:"key"`
	Holders []Holder `json:"holders"`
	Waiters []Waiter `json:"waiters"`
}

// Holder is a hold in a Lock.
type Holder struct {
	UID     string        `json:"uid"`
	Version uint64        `json:"version"`
	Mode    holdfast.Mode `json:"mode"`
	Limit   int           `json:"limit,omitzero"`
	Exp     Millis        `json:"exp"`
	Held    Millis        `json:"held"`
	Note    string        `json:"note,omitzero"`
}

// Waiter is a request in line in a Lock.
type Waiter struct {
	UID    string        `json:"uid"`
	Mode   holdfast.Mode `json:"mode"`
	Limit  int           `json:"limit,omitzero"`
	Waited Millis        `json:"waited"`
	Note   string        `json:"note,omitzero"`
}

// Released is the answer to a forced release, as AppendReleased writes it.
type Released struct {
	Released []holdfast.Released `json:"released"`
}

// ReadGrant reads the answer to a request to lock.
func ReadGrant(body []byte) (holdfast.Grant, error) {
	answer, ok := quickGrant(body)
	var err error
	if !ok {
		answer, err = known(body, func(a Grant) bool { return a.Tokens != nil })
	}
	return holdfast.Grant{Tokens: answer.Tokens, Exp: answer.Exp.Duration()}, err
}

// ReadUnlocked reads the answer to a request to unlock.
func ReadUnlocked(body []byte) ([]string, error) {
	if keys, ok := quickUnlocked(body); ok {
		return keys, nil
	}
	answer, err := known(body, func(a Unlocked) bool { return a.Unlocked != nil })
	return answer.Unlocked, err
}

// ReadChecked reads the answer to a request to check.
func ReadChecked(body []byte) (bool, error) {
	type checked struct {
		Locked *bool `json:"locked"`
	}
	answer, err := known(body, func(a checked) bool { return a.Locked != nil })
	return err == nil && *answer.Locked, err
}

// ReadExtension reads the answer to a request to extend.
func ReadExtension(body []byte) (holdfast.Extension, error) {
	answer, err := known(body, func(a Extension) bool { return a.Tokens != nil })
	return holdfast.Extension{Tokens: answer.Tokens, Lost: answer.Lost, Exp: answer.Exp.Duration()}, err
}

// ReadPage reads a page of a list.
func ReadPage(body []byte) (holdfast.Page, error) {
	answer, err := known(body, func(a Page) bool { return a.Locks != nil })
	return holdfast.Page{Locks: each(answer.Locks, Lock.root), Next: answer.Next}, err
}

// ReadState reads the state of one key.
func ReadState(body []byte) (holdfast.Lock, error) {
	answer, err := known(body, func(a Lock) bool { return a.Holders != nil })
	return answer.root(), err
}

// ReadReleased reads the answer to a forced release.
func ReadReleased(body []byte) ([]holdfast.Released, error) {
	answer, err := known(body, func(a Released) bool { return a.Released != nil })
	return answer.Released, err
}

func (l Lock) root() holdfast.Lock {
	return holdfast.Lock{Key: l.Key, Holders: each(l.Holders, Holder.root), Waiters: each(l.Waiters, Waiter.root)}
}

func (h Holder) root() holdfast.Holder {
	return holdfast.Holder{
		UID:     h.UID,
		Version: h.Version,
		Mode:    h.Mode,
		Limit:   h.Limit,
		Exp:     h.Exp.Duration(),
		Held:    h.Held.Duration(),
		Note:    h.Note,
	}
}

func (w Waiter) root() holdfast.Waiter {
	return holdfast.Waiter{UID: w.UID, Mode: w.Mode, Limit: w.Limit, Waited: w.Waited.Duration(), Note: w.Note}
}

func each[A, B any](list []A, turn func(A) B) []B {
	turned := make([]B, len(list))
	for i, element := range list {
		turned[i] = turn(element)
	}
	return turned
}

// known reads an answer by which whole knows that it is one. Another service
// may answer with JSON as well.
func known[T any](body []byte, whole func(T) bool) (T, error) {
	answer, err := read[T](body)
	if err == nil && !whole(answer) {
		err = unintelligible(errForeign)
	}
	return answer, err
}

var errForeign = errors.New("what belongs to the answer is missing")

// read reads an answer. Fields that it does not know it skips.
func read[T any](body []byte) (T, error) {
	var answer T
	if err := json.Unmarshal(body, &answer); err != nil {
		return answer, unintelligible(err)
	}
	return answer, nil
}

// unintelligible is the refusal for an answer that is no answer: whatever
// was asked for may have happened.
func unintelligible(cause error) *holdfast.Error {
	e := holdfast.Unavailable(cause, "the answer is not that of a lock service")
	e.OutcomeUnknown = true
	return e
}
