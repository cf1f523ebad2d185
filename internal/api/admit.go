package api

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"holdfast"
	"holdfast/internal/auth"
)

// access is who may use a route. What a caller may ask there of which keys is
// decided where the call arrives, in auth.Guard: a stream brings many calls.
type access uint8

const (
	nobody         access = iota // a route that does not say who
	anybody                      // it says nothing about locks
	callers                      // whoever is known
	administrators               // the verb admin
	overseers                    // the verb admin, or list on every key
	meters                       // the verb metrics
)

// admit lets a request pass, or refuses it. Without a keyring everybody may do
// everything.
func (h *Handler) admit(x *exchange, who access) error {
	if who == anybody || h.options.Keyring == nil && who != nobody {
		return nil
	}
	if who == nobody {
		return &holdfast.Error{Code: holdfast.CodeForbidden, Message: "nobody may ask this"}
	}
	caller, err := h.recognize(x)
	if err != nil {
		return err
	}
	x.caller = caller
	x.request = x.request.WithContext(auth.With(x.request.Context(), caller))
	switch who {
	case callers:
		return nil
	case overseers:
		return caller.Service(auth.Admin | auth.List)
	case meters:
		return caller.Service(auth.Metrics)
	}
	return caller.Service(auth.Admin)
}

// recognize gives who sent a request: the owner of the bearer token, or, if
// there is none, of the client certificate.
func (h *Handler) recognize(x *exchange) (*auth.Caller, error) {
	values := x.request.Header["Authorization"]
	if len(values) == 0 {
		if caller := h.options.Keyring.Certificate(commonName(x.request)); caller != nil {
			return caller, nil
		}
		return nil, unauthenticated("credentials are missing: send a token as Authorization: Bearer")
	}
	if scheme, token, _ := strings.Cut(values[0], " "); len(values) == 1 && strings.EqualFold(scheme, "Bearer") {
		if caller := h.options.Keyring.Token(token); caller != nil {
			return caller, nil
		}
	}
	h.slow(x.request)
	return nil, unauthenticated("Authorization: not a valid Bearer token")
}

// commonName gives the name in the client's certificate, which the connection
// has verified; "" if there is none.
func commonName(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return ""
	}
	return r.TLS.VerifiedChains[0][0].Subject.CommonName
}

func unauthenticated(message string) error {
	return &holdfast.Error{Code: holdfast.CodeUnauthenticated, Message: message}
}

// slow notes a failed attempt, and lets whoever makes many of them wait.
func (h *Handler) slow(r *http.Request) {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	delay, first := h.attempts.Failed(from.Addr(), time.Now())
	if first {
		h.options.Logger.Warn("many requests with wrong tokens; more of them are answered late", "address", from.Addr().String())
	}
	if delay == 0 {
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	case <-h.stopping.Done():
	}
}
