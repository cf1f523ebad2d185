package fence

import (
	"encoding/json"
	"errors"
	"net/http"

	"holdfast"
)

// CodeStale is the word for [ErrStale] in the body of a refusal.
const CodeStale holdfast.Code = "stale"

// Handler is HTTP middleware: it lets a request through to Next in the name of
// the tokens that it shows in the [Header], and answers the others itself, as
// [Refuse] does. Handlers of one key run one after the other, so that the check
// and what Next writes are one step; Next has done its writing when it returns.
// That of an [http.TimeoutHandler] has not: put one around a Handler, not into it.
//
// A client that stalls while it sends its body keeps newer owners waiting, so
// give the server a ReadTimeout. It may be used by any number of requests at
// once, and must not be changed while it is.
type Handler struct {
	// Gate remembers the newest version of each key; such as a *Guard. All
	// handlers that write the same data must share it.
	Gate Gate

	// Next does what the request asks. It can read the tokens with [Tokens].
	Next http.Handler

	// Keys says which keys guard what the request touches, and so which tokens
	// it must show. Nil asks for any token: then only the client's care sees to
	// it that it is the right one.
	Keys func(*http.Request) []string

	// Optional lets a request pass that shows no token at all. It is then not
	// fenced: for readers who do not lock.
	Optional bool
}

// ServeHTTP runs Next or refuses. It panics with [http.ErrAbortHandler] when
// Next has answered and Gate fails afterwards, so that the client does not take
// for done what may not be.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tokens, err := Tokens(r.Header)
	if err != nil {
		Refuse(w, err)
		return
	}
	if len(tokens) == 0 {
		if h.Optional {
			h.Next.ServeHTTP(w, r)
		} else {
			Refuse(w, holdfast.Invalid("%s: a token is needed", Header))
		}
		return
	}
	if h.Keys != nil {
		if key, is := missing(tokens, h.Keys(r)); is {
			Refuse(w, holdfast.Invalid("%s: a token for key %q is needed", Header, key))
			return
		}
	}
	ran := false
	err = h.Gate.Do(r.Context(), tokens, func() error {
		ran = true
		h.Next.ServeHTTP(w, r)
		return nil
	})
	if err == nil {
		return
	}
	if ran {
		panic(http.ErrAbortHandler)
	}
	Refuse(w, err)
}

// Refuse answers an error of this package over HTTP, for a handler that checks
// tokens itself, for instance with [DoTx]: 409 for [ErrStale], 400 for
// [holdfast.CodeInvalid], and 503 without details for whatever else kept the
// check from being made. The body is JSON in the shape of the service's own
// refusals: {"error": code, "message": sentence}.
func Refuse(w http.ResponseWriter, err error) {
	status, code, message := http.StatusServiceUnavailable, holdfast.CodeUnavailable, "the tokens could not be checked"
	if errors.Is(err, ErrStale) {
		status, code, message = http.StatusConflict, CodeStale, err.Error()
	} else if e, ok := errors.AsType[*holdfast.Error](err); ok && e.Code == holdfast.CodeInvalid {
		status, code, message = http.StatusBadRequest, e.Code, e.Message
	}
	body, _ := json.Marshal(struct { // two strings: it cannot fail
		Code    holdfast.Code `json:"error"`
		Message string        `json:"message"`
	}{code, message})
	header := w.Header()
	header.Set("Content-Type", "application/json")
	if status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
