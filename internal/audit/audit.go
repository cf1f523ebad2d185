// Package audit writes down what somebody has done that others may ask about
// later: who ended holds by force, who changed the cluster, who took the state
// away. There is one line for each, of the message "audit", with what was done
// as its action.
package audit

import (
	"context"
	"log/slog"
)

// Level is the level of audit lines. It is above all others, so that no
// setting leaves them out.
const Level = slog.LevelError + 4

// Log writes a line. The attributes say who, to whom, and why.
func Log(log *slog.Logger, action string, attrs ...slog.Attr) {
	log.LogAttrs(context.Background(), Level, "audit", append([]slog.Attr{slog.String("action", action)}, attrs...)...)
}
