package main

import (
	"os"
	"path/filepath"
	"regexp"
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
	for _, path := range []string{"../../client/example_test.go", "../../fence/example_test.go", "../../holdfasttest/example_test.go",
		"../../docs/example_test.go"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, string(text))
	}
	for _, p := range book(t) {
		for _, b := range p.blocks {
			if b.info != "go" {
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

var (
	linkTo  = regexp.MustCompile(`(?m:^|[^\w\]])\[[^\]]+\]\(([^)#\s]*)(#[^)\s]*)?\)|src(?:set)?="([^"]*)"`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notLink = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks follows the links of the documentation to files and to headings.
func TestLinks(t *testing.T) {
	for _, p := range documentation(t) {
		text, err := os.ReadFile(p.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range linkTo.FindAllStringSubmatch(string(text), -1) {
			to, at := found[1]+found[3], found[2]
			if strings.Contains(to, "://") {
				continue
			}
			path := p.path
			if to != "" {
				path = filepath.Join(filepath.Dir(p.path), to)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %s: %v", p.path, found[0], err)
			} else if at != "" && !hasHeading(t, path, at) {
				t.Errorf("%s: %s: there is no such heading", p.path, found[0])
			}
		}
	}
}

func hasHeading(t *testing.T, path, at string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, title := range heading.FindAllStringSubmatch(string(text), -1) {
		anchor := notLink.ReplaceAllString(strings.ToLower(title[1]), "")
		if at == "#"+strings.ReplaceAll(anchor, " ", "-") {
			return true
		}
	}
	return false
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
