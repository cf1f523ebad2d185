package api

import _ "embed"

// Document is the interface as OpenAPI 3.1, in YAML.
//
//go:embed openapi.yaml
var Document []byte

// openapi is GET /openapi.yaml.
func (h *Handler) openapi(x *exchange) error {
	x.contentType = typeYAML
	x.out = append(x.out, Document...)
	return nil
}
