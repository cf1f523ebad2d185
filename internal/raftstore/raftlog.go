package raftstore

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLogger gives what raft takes for errors to the store's logger.
func raftLogger(logger *slog.Logger) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "raft", Level: hclog.Error, DisableTime: true, Output: lines{logger},
		Exclude: (&repeats{at: map[string]time.Time{}}).lately,
	})
}

type lines struct{ logger *slog.Logger }

func (l lines) Write(line []byte) (int, error) {
	l.logger.Warn(strings.TrimSpace(string(line)))
	return len(line), nil
}

// sayAgainAfter is for how long raft says nothing twice.
const sayAgainAfter = time.Minute

// repeats knows when raft has said what about whom. It says that a node is away
// several times a second, for as long as it is.
type repeats struct {
	mu sync.Mutex
	at map[string]time.Time
}

// lately says whether a message about the same node has been logged within
// the last minute. Its error may differ.
func (r *repeats) lately(_ hclog.Level, message string, args ...any) bool {
	if len(args) > 1 && (args[0] == "peer" || args[0] == "target") {
		message = fmt.Sprint(message, args[1])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if at, ok := r.at[message]; ok && now.Sub(at) < sayAgainAfter {
		return true
	}
	r.at[message] = now
	return false
}
