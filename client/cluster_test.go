package client_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"holdfast"
	"holdfast/client"
)

// Why somebody asks goes with what is written down. A reason that cannot be
// written down is not sent.
func TestReasonsAreSent(t *testing.T) {
	for want, ask := range map[string]func(context.Context, *client.Client, string) error{
		"DELETE /cluster/nodes/n%2F1": func(ctx context.Context, c *client.Client, reason string) error {
			return c.RemoveNode(ctx, "n/1", reason)
		},
		"POST /cluster/step-down": func(ctx context.Context, c *client.Client, reason string) error { return c.StepDown(ctx, reason) },
		"GET /backup": func(ctx context.Context, c *client.Client, reason string) error {
			return c.Backup(ctx, io.Discard, reason)
		},
	} {
		full := strings.Repeat("r", holdfast.MaxNote)
		follow(t, "a", []line{{status: 200, body: `{"id":"n1"}`}}, func(t *testing.T, c *client.Client, s *script) {
			for _, bad := range []string{full + "r", "\xff"} {
				if err := ask(t.Context(), c, bad); holdfast.ErrorCode(err) != holdfast.CodeInvalid || len(s.sent) > 0 {
					t.Errorf("%s because %.9q: %v; sent %v", want, bad, err, s.sent)
				}
			}
			for reason, query := range map[string]string{full: "?reason=" + full, "old & slow": "?reason=old+%26+slow", "": ""} {
				s.sent = nil
				if err := ask(t.Context(), c, reason); err != nil || s.sent[0].text != want+query {
					t.Errorf("%v; sent %q, want %q", err, s.sent[0].text, want+query)
				}
			}
		})
	}
}
