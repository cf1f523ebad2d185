package raftstore

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func TestRaftSaysNothingTwiceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := raftLogger(slog.New(slog.NewTextHandler(&out, nil)))
		says := func(want int, message string, args ...any) {
			t.Helper()
			out.Reset()
			logger.Error(message, args...)
			if got := strings.Count(out.String(), "\n"); got != want {
				t.Errorf("%s %v: %d lines: %s", message, args, got, &out)
			}
		}
		b, c := raft.ServerAddress("b@localhost:7002"), raft.ServerAddress("c@localhost:7003")
		says(1, "failed to heartbeat to", "peer", b, "backoff time", 10*time.Millisecond, "error", "EOF")
		says(0, "failed to heartbeat to", "peer", b, "backoff time", 20*time.Millisecond, "error", "refused")
		says(1, "failed to heartbeat to", "peer", c, "backoff time", 10*time.Millisecond, "error", "EOF")
		says(1, "failed to appendEntries to", "peer", raft.Server{ID: "b", Address: b}, "error", "EOF")
		says(1, "failed to make requestVote RPC", "target", raft.Server{ID: "b", Address: b}, "error", "EOF", "term", 3)
		says(0, "failed to make requestVote RPC", "target", raft.Server{ID: "b", Address: b}, "error", "EOF", "term", 4)
		says(1, "failed to take snapshot", "error", "no room")
		says(0, "failed to take snapshot", "error", "no room")
		time.Sleep(sayAgainAfter - 1)
		says(0, "failed to heartbeat to", "peer", b, "backoff time", 10*time.Millisecond, "error", "EOF")
		time.Sleep(time.Nanosecond)
		says(1, "failed to heartbeat to", "peer", b, "backoff time", 10*time.Millisecond, "error", "EOF")
	})
}
