package api

import (
	"maps"
	"net/http"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/internal/ui"
)

// page is GET /: the page, for a browser. Whoever does not ask for HTML hears
// that there is nothing.
func (h *Handler) page(x *exchange) error {
	x.writer.Header().Set("Vary", "Accept")
	if !strings.Contains(x.request.Header.Get("Accept"), "text/html") {
		return notFound("/")
	}
	return x.file("index.html")
}

// asset is GET /ui/{file}: what the page consists of.
func (h *Handler) asset(x *exchange) error { return x.file(x.key) }

// file sends a file of the page, or only that it has not changed.
func (x *exchange) file(name string) error {
	file, ok := ui.Open(name)
	if !ok {
		return &holdfast.Error{Code: holdfast.CodeNotFound, Message: "path: the page has no such file"}
	}
	header := x.writer.Header()
	maps.Copy(header, ui.Header)
	header.Set("ETag", file.ETag)
	if strings.Contains(x.request.Header.Get("If-None-Match"), file.ETag) {
		x.begin(http.StatusNotModified)
		return nil
	}
	header.Set("Content-Type", file.Type)
	header.Set("Content-Length", strconv.Itoa(len(file.Content)))
	x.begin(http.StatusOK)
	_, _ = x.writer.Write(file.Content) // an error means that the client has gone
	return nil
}
