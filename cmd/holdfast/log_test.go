package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/audit"
)

func TestLogForm(t *testing.T) {
	for format, want := range map[logFormat]string{
		textLog: ` level=INFO msg=listening port=3000`,
		jsonLog: `"level":"INFO","msg":"listening","port":3000}`,
		"":      `"level":"INFO","msg":"listening","port":3000}`,
	} {
		var out strings.Builder
		slog.New(logHandler(&out, format, slog.LevelInfo)).Info("listening", "port", 3000)
		if !strings.HasSuffix(strings.TrimSpace(out.String()), want) {
			t.Errorf("format %q: %s", format, out.String())
		}
	}
}

// What is below the level is left out, and an audit line never is.
func TestLogLevel(t *testing.T) {
	for level, want := range map[string]string{
		"debug": "DEBUG INFO WARN ERROR AUDIT",
		"info":  "INFO WARN ERROR AUDIT",
		"warn":  "WARN ERROR AUDIT",
		"error": "ERROR AUDIT",
	} {
		command, err := parsed(t, []string{"--log-level", level}, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		log := slog.New(logHandler(&out, textLog, slog.Level(command.LogLevel)))
		for _, at := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, audit.Level} {
			log.Log(context.Background(), at, "something")
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			_, rest, _ := strings.Cut(line, "level=")
			word, _, _ := strings.Cut(rest, " ")
			got = append(got, word)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %s, want %s", level, got, want)
		}
	}
}

// A file is no terminal; the format can be chosen all the same.
func TestLogFormatOfAFile(t *testing.T) {
	for setting, want := range map[string]string{"": `{"time":`, "json": `{"time":`, "text": "time="} {
		command, err := parsed(t, nil, map[string]string{"LOG_FORMAT": setting}, "")
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		command.logger(file).Info("something")
		if got, err := os.ReadFile(file.Name()); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("LOG_FORMAT=%s: %s, %v", setting, got, err)
		}
	}
}

func TestFileAndPipeAreNoTerminals(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	if isTerminal(file) || isTerminal(write) {
		t.Error("taken for a terminal")
	}
}
