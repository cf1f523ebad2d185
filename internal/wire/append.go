package wire

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"holdfast"
)

// AppendLock appends the body of a request to lock. A zero Exp, Wait or Note
// is left out, and so is for the server to decide.
func AppendLock(dst []byte, req holdfast.LockRequest) []byte {
	dst = appendText(append(dst, `{"uid":`...), req.UID)
	dst = append(dst, `,"keys":`...)
	if len(req.Keys) == 1 && plain(req.Keys[0]) {
		dst = appendText(dst, req.Keys[0].Key)
	} else {
		dst = appendArray(dst, req.Keys, appendAsk)
	}
	if req.Exp != 0 {
		dst = appendMillis(append(dst, `,"exp":`...), roundUp(req.Exp))
	}
	if req.Wait != 0 {
		dst = appendMillis(append(dst, `,"wait":`...), roundUp(req.Wait))
	}
	return append(appendNote(dst, req.Note), '}')
}

func plain(ask holdfast.Ask) bool { return ask.Mode == holdfast.Exclusive && ask.Limit == 0 }

func appendAsk(dst []byte, ask holdfast.Ask) []byte {
	if plain(ask) {
		return appendText(dst, ask.Key)
	}
	dst = appendText(append(dst, `{"key":`...), ask.Key)
	dst = appendMode(dst, ask.Mode, ask.Limit)
	return append(dst, '}')
}

// AppendUnlock appends the body of a request to unlock.
func AppendUnlock(dst []byte, req holdfast.UnlockRequest) []byte {
	dst = appendText(append(dst, `{"uid":`...), req.UID)
	dst = appendTokens(append(dst, `,"tokens":`...), req.Tokens)
	return append(dst, '}')
}

// AppendExtend appends the body of a request to extend. Tokens that are nil
// and a zero Exp are left out.
func AppendExtend(dst []byte, req holdfast.ExtendRequest) []byte {
	dst = appendText(append(dst, `{"uid":`...), req.UID)
	if req.Tokens != nil {
		dst = appendTokens(append(dst, `,"tokens":`...), req.Tokens)
	}
	if req.Exp != 0 {
		dst = appendMillis(append(dst, `,"exp":`...), roundUp(req.Exp))
	}
	return append(dst, '}')
}

// AppendCheck appends the body of a request to check.
func AppendCheck(dst []byte, keys []string) []byte {
	return append(appendArray(append(dst, `{"keys":`...), keys, appendText), '}')
}

// AppendGrant appends the answer to a request to lock.
func AppendGrant(dst []byte, grant holdfast.Grant) []byte {
	dst = appendTokens(append(dst, `{"tokens":`...), grant.Tokens)
	return append(appendMillis(append(dst, `,"exp":`...), grant.Exp), '}')
}

// AppendUnlocked appends the answer to a request to unlock: the keys that it
// released.
func AppendUnlocked(dst []byte, keys []string) []byte {
	return append(appendArray(append(dst, `{"unlocked":`...), keys, appendText), '}')
}

// AppendChecked appends the answer to a request to check.
func AppendChecked(dst []byte, locked bool) []byte {
	return append(strconv.AppendBool(append(dst, `{"locked":`...), locked), '}')
}

// AppendExtension appends the answer to a request to extend.
func AppendExtension(dst []byte, extension holdfast.Extension) []byte {
	dst = appendTokens(append(dst, `{"tokens":`...), extension.Tokens)
	dst = appendTokens(append(dst, `,"lost":`...), extension.Lost)
	return append(appendMillis(append(dst, `,"exp":`...), extension.Exp), '}')
}

// AppendCount appends how much there is.
func AppendCount(dst []byte, count holdfast.Count) []byte {
	dst = strconv.AppendInt(append(dst, `{"holds":`...), int64(count.Holds), 10)
	dst = strconv.AppendInt(append(dst, `,"waiters":`...), int64(count.Waiters), 10)
	return append(dst, '}')
}

// AppendPage appends a page of a list.
func AppendPage(dst []byte, page holdfast.Page) []byte {
	dst = appendArray(append(dst, `{"locks":`...), page.Locks, AppendState)
	if page.Next != "" {
		dst = appendText(append(dst, `,"next":`...), page.Next)
	}
	return append(dst, '}')
}

// AppendState appends the state of one key.
func AppendState(dst []byte, lock holdfast.Lock) []byte {
	dst = appendText(append(dst, `{"key":`...), lock.Key)
	dst = appendArray(append(dst, `,"holders":`...), lock.Holders, appendHolder)
	dst = appendArray(append(dst, `,"waiters":`...), lock.Waiters, appendWaiter)
	return append(dst, '}')
}

func appendHolder(dst []byte, h holdfast.Holder) []byte {
	dst = appendText(append(dst, `{"uid":`...), h.UID)
	dst = strconv.AppendUint(append(dst, `,"version":`...), h.Version, 10)
	dst = appendMode(dst, h.Mode, h.Limit)
	dst = appendMillis(append(dst, `,"exp":`...), h.Exp)
	dst = appendMillis(append(dst, `,"held":`...), h.Held)
	return append(appendNote(dst, h.Note), '}')
}

func appendWaiter(dst []byte, w holdfast.Waiter) []byte {
	dst = appendText(append(dst, `{"uid":`...), w.UID)
	dst = appendMode(dst, w.Mode, w.Limit)
	dst = appendMillis(append(dst, `,"waited":`...), w.Waited)
	return append(appendNote(dst, w.Note), '}')
}

// AppendReleased appends the answer to a forced release.
func AppendReleased(dst []byte, released []holdfast.Released) []byte {
	dst = appendArray(append(dst, `{"released":`...), released, func(dst []byte, r holdfast.Released) []byte {
		dst = appendText(append(dst, `{"key":`...), r.Key)
		dst = appendText(append(dst, `,"uid":`...), r.UID)
		return append(strconv.AppendUint(append(dst, `,"version":`...), r.Version, 10), '}')
	})
	return append(dst, '}')
}

// AppendError appends a refusal. What a person or a program needs is in it;
// the cause is not, it is for logs.
func AppendError(dst []byte, e *holdfast.Error) []byte {
	dst = appendText(append(dst, `{"error":`...), string(e.Code))
	dst = appendText(append(dst, `,"message":`...), e.Message)
	switch e.Code {
	case holdfast.CodeLocked:
		dst = appendArray(append(dst, `,"blockers":`...), e.Blockers, appendBlocker)
	case holdfast.CodeDeadlock:
		dst = appendArray(append(dst, `,"cycle":`...), e.Cycle, appendLink)
	}
	if e.OutcomeUnknown {
		dst = append(dst, `,"outcome":"unknown"`...)
	}
	return append(dst, '}')
}

func appendBlocker(dst []byte, b holdfast.Blocker) []byte {
	dst = appendText(append(dst, `{"key":`...), b.Key)
	dst = appendText(append(dst, `,"uid":`...), b.UID)
	if !b.Waiting { // who stands in line has neither
		dst = strconv.AppendUint(append(dst, `,"version":`...), b.Version, 10)
		dst = appendMillis(append(dst, `,"exp":`...), b.Exp)
	}
	dst = appendMode(dst, b.Mode, 0)
	dst = appendNote(dst, b.Note)
	return append(strconv.AppendBool(append(dst, `,"waiting":`...), b.Waiting), '}')
}

func appendLink(dst []byte, link holdfast.Link) []byte {
	dst = appendText(append(dst, `{"uid":`...), link.UID)
	return append(appendText(append(dst, `,"key":`...), link.Key), '}')
}

func appendTokens(dst []byte, tokens []holdfast.Token) []byte {
	return appendArray(dst, tokens, appendToken)
}

func appendToken(dst []byte, token holdfast.Token) []byte {
	dst = appendText(append(dst, `{"key":`...), token.Key)
	return append(strconv.AppendUint(append(dst, `,"version":`...), token.Version, 10), '}')
}

func appendMode(dst []byte, mode holdfast.Mode, limit int) []byte {
	dst = appendText(append(dst, `,"mode":`...), mode.String())
	if limit != 0 {
		dst = strconv.AppendInt(append(dst, `,"limit":`...), int64(limit), 10)
	}
	return dst
}

func appendNote(dst []byte, note string) []byte {
	if note == "" {
		return dst
	}
	return appendText(append(dst, `,"note":`...), note)
}

// appendArray appends a list. A list that is nil is an empty array.
func appendArray[T any](dst []byte, list []T, element func([]byte, T) []byte) []byte {
	dst = append(dst, '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = element(dst, list[i])
	}
	return append(dst, ']')
}

// appendText appends a JSON string. Bytes that are not UTF-8 become the
// replacement character: what comes out is valid whatever goes in.
func appendText(dst []byte, text string) []byte {
	dst, _ = jsontext.AppendQuote(dst, text)
	return dst
}

// appendMillis appends a duration, rounded down.
func appendMillis(dst []byte, d time.Duration) []byte {
	return strconv.AppendInt(dst, d.Milliseconds(), 10)
}

func roundUp(d time.Duration) time.Duration {
	if short := d % time.Millisecond; short > 0 {
		d += time.Millisecond - short
	}
	return d
}
