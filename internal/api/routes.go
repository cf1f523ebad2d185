package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"holdfast"
	"holdfast/internal/wire"
)

// route is a row of the table of routes.
type route struct {
	method    string
	path      string   // {…} stands for one segment, and can only be the last
	operation string   // its operationId in openapi.yaml, and its name in figures
	query     []string // the parameters that it takes
	who       access   // who may use it
	call      func(*Handler, *exchange) error
}

// routes is all that the service answers. A path with GET answers HEAD too.
var routes = []route{
	{http.MethodPost, "/lock", "lock", nil, callers, calling(wire.OpLock, wire.LockFields)},
	{http.MethodPost, "/unlock", "unlock", nil, callers, calling(wire.OpUnlock, wire.UnlockFields)},
	{http.MethodPost, "/check", "check", nil, callers, calling(wire.OpCheck, wire.CheckFields)},
	{http.MethodPost, "/extend", "extend", nil, callers, calling(wire.OpExtend, wire.ExtendFields)},
	{http.MethodGet, "/locks", "list", []string{"prefix", "uid", "waited", "limit", "after"}, callers, (*Handler).list},
	{http.MethodDelete, "/locks", "forceNamed", []string{"key", "reason"}, callers, (*Handler).forceNamed},
	{http.MethodGet, "/locks/{key}", "get", nil, callers, (*Handler).get},
	{http.MethodDelete, "/locks/{key}", "force", []string{"reason"}, callers, (*Handler).force},
	{http.MethodGet, "/count", "count", nil, overseers, (*Handler).count},
	{http.MethodGet, "/events", "events", []string{"prefix", "uid"}, callers, (*Handler).events},
	{http.MethodGet, "/stream", "stream", nil, callers, (*Handler).openStream},
	{http.MethodGet, "/backup", "backup", []string{"reason"}, administrators, (*Handler).backup},
	{http.MethodGet, "/cluster", "cluster", nil, overseers, (*Handler).cluster},
	{http.MethodDelete, "/cluster/nodes/{id}", "removeNode", []string{"reason"}, administrators, (*Handler).removeNode},
	{http.MethodPost, "/cluster/step-down", "stepDown", []string{"reason"}, administrators, (*Handler).stepDown},
	{http.MethodGet, "/ping", "ping", nil, anybody, (*Handler).ping},
	{http.MethodGet, "/healthz", "healthz", nil, anybody, (*Handler).healthz},
	{http.MethodGet, "/readyz", "readyz", nil, anybody, (*Handler).readyz},
	{http.MethodGet, "/metrics", "metrics", nil, meters, (*Handler).metrics},
	{http.MethodGet, "/openapi.yaml", "openapi", nil, anybody, (*Handler).openapi},
	{http.MethodGet, "/", "page", nil, anybody, (*Handler).page},
	{http.MethodGet, "/ui/{file}", "file", nil, anybody, (*Handler).asset},
}

// find gives the route of a request, and fills in the key, id or file that its
// path names. net/http's own mux would redirect paths such as /locks/a//b or
// /locks/.., which are keys like any other.
func find(x *exchange) (*route, error) {
	method := x.request.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path, escaped := rawPath(x.request.URL)
	var allowed []string
	for i := range routes {
		route := &routes[i]
		segment, ok := route.match(path)
		if !ok {
			continue
		}
		if route.method != method {
			allowed = append(allowed, route.method)
			continue
		}
		x.key = segment
		if escaped {
			key, err := url.PathUnescape(segment)
			if err != nil {
				return nil, holdfast.Invalid("key: %v", err)
			}
			x.key = key
		}
		x.route, x.operation = route, route.operation
		return route, nil
	}
	if len(allowed) > 0 {
		return nil, x.notAllowed(allowed)
	}
	return nil, notFound(path)
}

// rawPath gives the path as it was sent, as far as that matters: a slash in
// it divides segments, and one that was written as %2F does not. net/url
// keeps what was sent only if the path itself does not tell.
func rawPath(u *url.URL) (path string, escaped bool) {
	if u.RawPath != "" {
		return u.RawPath, true
	}
	return u.Path, false
}

// match says whether the path is that of the route, and gives the segment
// that stands for its {key}, {id} or {file}.
func (r *route) match(path string) (segment string, ok bool) {
	stem, _, named := strings.Cut(r.path, "{")
	if !named {
		return "", path == r.path
	}
	segment, ok = strings.CutPrefix(path, stem)
	return segment, ok && !strings.Contains(segment, "/")
}

// notAllowed is the refusal of a method that the path has not.
func (x *exchange) notAllowed(allowed []string) error {
	if slices.Contains(allowed, http.MethodGet) {
		allowed = append(allowed, http.MethodHead)
	}
	list := strings.Join(allowed, ", ")
	x.writer.Header().Set("Allow", list)
	return &holdfast.Error{
		Code:    holdfast.CodeMethodNotAllowed,
		Message: "method: this path takes " + list + " only",
	}
}

func notFound(path string) error {
	message := "path: there is nothing here; /openapi.yaml lists what there is"
	if strings.HasPrefix(path, "/locks/") {
		message = "path: a slash in a key must be written %2F"
	}
	return &holdfast.Error{Code: holdfast.CodeNotFound, Message: message}
}
