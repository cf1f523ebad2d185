package main

import (
	"io"
	"log/slog"
	"os"
)

// newLogger writes lines for people to a terminal and JSON to anything else.
func newLogger(out *os.File) *slog.Logger {
	return slog.New(logHandler(out, isTerminal(out)))
}

func logHandler(out io.Writer, terminal bool) slog.Handler {
	if terminal {
		return slog.NewTextHandler(out, nil)
	}
	return slog.NewJSONHandler(out, nil)
}

// isTerminal takes every character device for a terminal. That is wrong for
// /dev/null, where it does not matter.
func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
