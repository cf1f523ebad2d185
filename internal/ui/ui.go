// Package ui is the page that shows a running service in a browser: who holds
// what, since when and why, who waits behind, and how to free it.
//
// It is plain HTML, CSS and JavaScript modules in the directory page, embedded
// as they are; nothing builds them. The page asks only the server that it came
// from, and only what openapi.yaml gives everybody; so this package knows nothing
// of the service, and hands out files. docs/page.md tells how it works.
package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
)

//go:embed page
var embedded embed.FS

// Header is what goes with every file. Whatever text is on the page, the
// browser runs and loads nothing but these files, and shows them in nobody's
// frame. A browser asks each time whether a file has changed, so that the page
// is always that of the server that it talks to. It must not be changed.
var Header = http.Header{
	"Content-Security-Policy": {"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"},
	"X-Content-Type-Options":       {"nosniff"},
	"X-Frame-Options":              {"DENY"},
	"Referrer-Policy":              {"no-referrer"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
	"Cache-Control":                {"no-cache"},
}

// File is one file of the page. Its content must not be changed.
type File struct {
	Type    string // the value of Content-Type
	ETag    string // in quotes
	Content []byte
}

// Open gives a file by its name, such as index.html.
func Open(name string) (File, bool) {
	file, ok := files[name]
	return file, ok
}

var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

var files = load()

func load() map[string]File {
	files := make(map[string]File)
	entries, err := fs.ReadDir(embedded, "page")
	if err != nil {
		panic(err) // the page is not in the binary
	}
	for _, entry := range entries {
		content, err := embedded.ReadFile("page/" + entry.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		files[entry.Name()] = File{
			Type:    types[path.Ext(entry.Name())],
			ETag:    `"` + hex.EncodeToString(sum[:12]) + `"`,
			Content: content,
		}
	}
	return files
}
