package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// book gives the pages of the documentation.
func book(t *testing.T) []*page {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var pages []*page
	for _, path := range append(paths, "../../README.md") {
		p, err := readPage(path)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, p)
	}
	return pages
}

// TestGoIsCompiled finds each Go block of the documentation in a file that is
// compiled, most of them in an Example, which is run as well.
func TestGoIsCompiled(t *testing.T) {
	var sources []string
	for _, path := range []string{"../../client/example_test.go", "../../fence/example_test.go", "../../docs/example_test.go"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, string(text))
	}
	for _, p := range book(t) {
		for _, b := range p.blocks {
			if b.info != "go" || b.reason != "" || p.reason != "" {
				continue
			}
			found := false
			for _, source := range sources {
				found = found || holds(source, b.text)
			}
			if !found {
				t.Errorf("%s:%d: stands in no example:\n%s", p.path, b.line, strings.Join(b.text, "\n"))
			}
		}
	}
}

// holds says whether the source has these lines one after the other, all
// indented as deep or as much deeper.
func holds(source string, lines []string) bool {
	for deeper := range 4 {
		var text strings.Builder
		text.WriteByte('\n')
		for _, line := range lines {
			if line != "" {
				line = strings.Repeat("\t", deeper) + line
			}
			text.WriteString(line + "\n")
		}
		if strings.Contains("\n"+source, text.String()) {
			return true
		}
	}
	return false
}
