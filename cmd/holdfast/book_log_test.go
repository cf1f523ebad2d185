package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	logLine   = regexp.MustCompile(`(?:log|[lL]ogger)\.(?:Info|Warn|Error)\("([^"]+)"(?: ?\+ ?\w+ ?\+ ?"([^"]*)")?`)
	logTable  = regexp.MustCompile(`(?s)\| line \| what it means \|\n(.*?)\n\n`)
	firstCell = regexp.MustCompile(`(?m)^\| (.*?) \|`)
)

// TestLogLines holds the table of log lines in docs/operations.md against the
// source: each is there, and none is missing.
func TestLogLines(t *testing.T) {
	var lines []string // with "…" for what is put in
	for _, dir := range []string{"cmd/holdfast", "internal"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() && slices.Contains([]string{"proof", "bench"}, entry.Name()) {
				return filepath.SkipDir
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			text, err := os.ReadFile(path)
			for _, found := range logLine.FindAllStringSubmatch(string(text), -1) {
				line := found[1]
				if found[2] != "" {
					line += "…" + found[2]
				}
				lines = append(lines, line)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	table := logTable.FindStringSubmatch(readFile(t, "docs/operations.md"))
	if table == nil || len(lines) < 20 {
		t.Fatalf("a table %v, %d lines", table, len(lines))
	}
	told := map[string]bool{}
	for _, cell := range firstCell.FindAllStringSubmatch(table[1], -1) {
		for _, span := range codeSpan.FindAllStringSubmatch(cell[1], -1) {
			shown := regexp.MustCompile("^" + strings.NewReplacer(" …", ".*", "…", ".*").Replace(regexp.QuoteMeta(span[1])) + "$")
			is := span[1] == "audit" || strings.HasPrefix(span[1], "[ERROR] raft") // come in other ways
			for _, line := range lines {
				if shown.MatchString(line) {
					told[line], is = true, true
				}
			}
			if !is {
				t.Errorf("docs/operations.md tells of %q, which no line of the log is", span[1])
			}
		}
	}
	for _, line := range lines {
		if !told[line] {
			t.Errorf("docs/operations.md does not tell of the log line %q", line)
		}
	}
}
