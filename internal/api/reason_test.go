package api

import (
	"context"
	"io"
	"strings"
	"testing"

	"holdfast"
)

// What others may ask about later is written down with why, if that was said.
// A reason that cannot be written down changes nothing.
func TestReasonsAreAudited(t *testing.T) {
	full := strings.Repeat("ä", holdfast.MaxNote/2)
	for _, route := range []struct{ method, path, action string }{
		{"DELETE", "/cluster/nodes/n1", "remove node"},
		{"POST", "/cluster/step-down", "step down"},
		{"GET", "/backup", "backup"},
		{"DELETE", "/locks/a", "force"},
	} {
		t.Run(route.action, func(t *testing.T) {
			var log logged
			n := &nodes{}
			backups := 0
			s := openOver(t, openStore(t), Options{Logger: log.logger(), Cluster: n, Backup: func(_ context.Context, w io.Writer) error {
				backups++
				_, err := io.WriteString(w, "all")
				return err
			}})
			for query, message := range map[string]string{
				"?reason=" + full + "x":   "reason: 1025 bytes; at most 1024 are allowed",
				"?reason=%ff":             "reason: not valid UTF-8",
				"?reason=one&reason=more": `query parameter "reason" is given twice`,
				"?why=x":                  `unknown query parameter "why"`,
			} {
				s.ask(route.method, route.path+query, "").refuses(400, "invalid", message)
			}
			if len(n.removed) > 0 || n.stepped > 0 || backups > 0 {
				t.Errorf("changed: %+v, %d backups", n, backups)
			}
			for _, query := range []string{"?reason=" + full, "?reason=its+disk%0Adies", ""} {
				s.ask(route.method, route.path+query, "").is(200)
			}
			for i, line := range log.soon(t, "audit", 3) {
				want := []string{full, "its disk\ndies", ""}[i]
				if line["action"] != route.action || line["reason"] != want {
					t.Errorf("%v because %q, want %s because %q", line["action"], line["reason"], route.action, want)
				}
			}
		})
	}
}
