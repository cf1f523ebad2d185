package main

import (
	"log/slog"
	"strings"
	"testing"
)

func TestAPeerPortWithoutTLSIsOnLoopback(t *testing.T) {
	for _, test := range []struct {
		listen        nonEmpty
		insecure      bool
		refusal, warn string // what either says, or ""
	}{
		{"localhost:7000", false, "", ""},
		{"127.0.0.1:7000", true, "", ""},
		{"0.0.0.0:7000", false, "--peer-insecure", ""},
		{"0.0.0.0:7000", true, "", "whoever reaches the port for nodes"},
		{"", false, "10.0.0.7 could take part", ""},
	} {
		var log strings.Builder
		c := serveCommand{nodeSettings: nodeSettings{PeerAddr: "10.0.0.7:7000", PeerListen: test.listen}}
		c.PeerInsecure = test.insecure
		secure, err := c.peerTLS(t.Context(), slog.New(slog.NewTextHandler(&log, nil)))
		if (err != nil) != (test.refusal != "") || err != nil && !strings.Contains(err.Error(), test.refusal) {
			t.Errorf("%q, insecure %v: %v", test.listen, test.insecure, err)
		}
		if (log.Len() > 0) != (test.warn != "") || !strings.Contains(log.String(), test.warn) || secure != nil {
			t.Errorf("%q, insecure %v: %q", test.listen, test.insecure, &log)
		}
	}
}
