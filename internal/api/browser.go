package api

import (
	"net/http"
	"strings"

	"holdfast"
	"holdfast/internal/certs"
)

// A browser sends what any web page tells it to, from within networks that the
// page's author cannot reach. There are no cookies here that it would add, but
// on localhost nothing may be needed.

// checkOrigin refuses what a page of another origin sends to a route that is
// not for everybody. Changes are refused in any case; but a page must not open
// streams either, nor measure what it cannot read.
func (h *Handler) checkOrigin(r *http.Request, who access) error {
	if r.Header["Origin"] == nil && r.Header["Sec-Fetch-Site"] == nil {
		return nil // no browser, or a very old one that asks its own origin
	}
	checked := *r
	if who != anybody {
		checked.Method = http.MethodPost // the check lets all pass that should change nothing
	}
	if h.origins.Check(&checked) == nil {
		return nil
	}
	return &holdfast.Error{
		Code:    holdfast.CodeForbidden,
		Message: "a web page of another origin may not ask here",
	}
}

// checkHost refuses requests to a service on loopback that mean another host: a
// page can give its own name the address of localhost, and then is of the same
// origin (DNS rebinding).
func (h *Handler) checkHost(r *http.Request) error {
	if !h.onLoopback.Load() || r.Host == "" { // browsers always say a host
		return nil
	}
	host := r.Host
	if port := strings.LastIndexByte(host, ':'); port >= 0 && host[len(host)-1] != ']' {
		host = host[:port]
	}
	if certs.Loopback(host) {
		return nil
	}
	return &holdfast.Error{
		Code:    holdfast.CodeForbidden,
		Message: "Host: this service listens on localhost, and answers to that name and its addresses only",
	}
}
