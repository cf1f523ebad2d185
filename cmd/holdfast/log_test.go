package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogForm(t *testing.T) {
	for terminal, want := range map[bool]string{true: ` msg=listening port=3000`, false: `"msg":"listening","port":3000}`} {
		var out strings.Builder
		slog.New(logHandler(&out, terminal)).Info("listening", "port", 3000)
		if !strings.HasSuffix(strings.TrimSpace(out.String()), want) {
			t.Errorf("terminal %v: %s", terminal, out.String())
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
