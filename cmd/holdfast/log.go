package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"holdfast/internal/audit"
)

// logging is what is logged, and in which form.
type logging struct {
	LogLevel  logLevel  `group:"log" default:"info" placeholder:"LEVEL" complete:"debug,info,warn,error" variable:"LOG_LEVEL" help:"What is logged at least: debug, info, warn or error; without it info. Audit lines always are."`
	LogFormat logFormat `group:"log" placeholder:"FORMAT" complete:"text,json" variable:"LOG_FORMAT" help:"text or json; without it text on a terminal, JSON otherwise."`
	AccessLog bool      `group:"log" variable:"ACCESS_LOG" help:"Log every request, at level info."`
}

// logLevel is the least level that is logged.
type logLevel slog.Level

// UnmarshalText reads the word for a level.
func (l *logLevel) UnmarshalText(text []byte) error {
	switch word := string(text); word {
	case "debug", "info", "warn", "error":
		return (*slog.Level)(l).UnmarshalText(text)
	default:
		return fmt.Errorf("must be debug, info, warn or error, not %q", word)
	}
}

// logFormat is the form of log lines; empty for the one that fits where they go.
type logFormat string

const (
	textLog logFormat = "text"
	jsonLog logFormat = "json"
)

// UnmarshalText reads the word for a format.
func (f *logFormat) UnmarshalText(text []byte) error {
	switch word := logFormat(text); word {
	case textLog, jsonLog:
		*f = word
		return nil
	default:
		return fmt.Errorf("must be text or json, not %q", word)
	}
}

// logger writes lines for people to a terminal and JSON to anything else,
// unless the settings say otherwise.
func (l *logging) logger(out *os.File) *slog.Logger {
	format := l.LogFormat
	if format == "" && isTerminal(out) {
		format = textLog
	}
	return slog.New(logHandler(out, format, slog.Level(l.LogLevel)))
}

func logHandler(out io.Writer, format logFormat, level slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: nameAudit}
	if format == textLog {
		return slog.NewTextHandler(out, options)
	}
	return slog.NewJSONHandler(out, options)
}

// nameAudit gives the level of audit lines its name.
func nameAudit(groups []string, a slog.Attr) slog.Attr {
	if level, ok := a.Value.Any().(slog.Level); ok && len(groups) == 0 && a.Key == slog.LevelKey && level == audit.Level {
		a.Value = slog.StringValue("AUDIT")
	}
	return a
}

// isTerminal takes every character device but /dev/null for a terminal.
func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
