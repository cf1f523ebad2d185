package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// What the documentation names in passing is not run, but it must be there:
// commands and flags of the program, targets of the Makefile, tests and
// benchmarks, files. (internal/metrics looks up the metrics.)

// documentation is the book and the other pages.
func documentation(t *testing.T) []*page {
	t.Helper()
	pages := book(t)
	for _, path := range []string{"CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "clients/typescript/README.md"} {
		p, err := readPage(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, p)
	}
	return pages
}

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	fenced   = regexp.MustCompile("(?ms)^```.*?^```$")
)

// named gives what stands in code blocks, line by line, and between backticks.
func named(t *testing.T, p *page) (pieces []string) {
	t.Helper()
	for _, b := range p.blocks {
		for _, line := range b.text {
			line, _, _ = strings.Cut(line, "    #") // what is said of it
			pieces = append(pieces, strings.TrimPrefix(line, "$ "))
		}
	}
	text, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, span := range codeSpan.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
		pieces = append(pieces, strings.ReplaceAll(span[1], "\n", " "))
	}
	return pieces
}

// TestNamed looks up what the pages name.
func TestNamed(t *testing.T) {
	there := lookup{root: program(t), makefile: readFile(t, "Makefile"), tests: testsOf(t)}
	for _, p := range documentation(t) {
		for _, piece := range named(t, p) {
			if fault := there.fault(piece); fault != "" {
				t.Errorf("%s: %s: %s", p.path, piece, fault)
			}
		}
	}
}

func TestNamedFaults(t *testing.T) {
	there := lookup{root: program(t), makefile: readFile(t, "Makefile"), tests: testsOf(t)}
	for piece, fault := range map[string]string{
		"holdfast run -k KEY… -- sh -x":        "",
		"holdfast cluster remove b":            "",
		"holdfast srve":                        "no command srve",
		"holdfast lock --ex 1m":                "no flag --ex",
		"HOST=x bin/holdfast serve -x":         "no flag -x",
		"make faults TIME=30m":                 "",
		"make fault":                           "no target fault",
		"make faults LENGTH=30m":               "no variable LENGTH",
		"script/bench.sh 1s":                   "",
		"script/speed.sh":                      "no file",
		"internal/table/rules.go":              "",
		"go test ./internal/table -run Rules":  "",
		"go test ./internal/tables -run Rules": "no package",
		"go test ./internal/table -run Rulez":  "no test or benchmark fits Rulez",
		"go test ./internal/table -rewrite":    "",
		"go test ./internal/table -write":      "no flag -write",
		"go test -run '^$' -bench P ./client":  "",
		"go test -run '^$' -bench Px ./client": "no test or benchmark fits Px",
		"TestBook":                             "",
		"TestConformance…":                     "",
		"TestScroll":                           "no test TestScroll",
	} {
		if got := there.fault(piece); got != fault {
			t.Errorf("%s: got %q, not %q", piece, got, fault)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// testsOf gives the text of all files with tests, by their directory.
func testsOf(t *testing.T) map[string]string {
	t.Helper()
	tests := map[string]string{}
	err := filepath.WalkDir("../..", func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			tests[filepath.Dir(path)] += string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

// lookup is where things are looked up.
type lookup struct {
	root     *kong.Node
	makefile string
	tests    map[string]string // by directory
}

var (
	callOfHoldfast = regexp.MustCompile(`^(?:[A-Z_]+=\S* )*(?:bin/)?holdfast ([a-z].*)`)
	aWord          = regexp.MustCompile(`'[^']*'|\S+`)
	endOfCall      = regexp.MustCompile(` -- | [|>&] | && |[;…#]|\$\(`)
	aTest          = regexp.MustCompile(`^((?:Test|Fuzz|Benchmark)[A-Z]\w*)(…?)$`)
	aFile          = regexp.MustCompile(`^(?:cmd|client|clients|deploy|docs|fence|holdfasttest|internal|script)/[\w./-]+$`)
	testFunc       = regexp.MustCompile(`\nfunc ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
)

// flagsOfGoTest are those that are used, and that of datadriven.
var flagsOfGoTest = []string{"v", "race", "count", "timeout", "benchtime", "benchmem", "failfast", "args", "rewrite"}

// fault says what is not there of what a piece of text names, or nothing.
func (l *lookup) fault(piece string) string {
	if call := callOfHoldfast.FindStringSubmatch(piece); call != nil {
		return l.holdfast(call[1])
	}
	words := aWord.FindAllString(piece, -1)
	switch {
	case len(words) == 0:
		return ""
	case words[0] == "make" && len(words) > 1:
		return l.make(words[1:])
	case words[0] == "go" && len(words) > 1 && words[1] == "test":
		return l.goTest(words[2:])
	case aFile.MatchString(words[0]):
		if _, err := os.Stat(filepath.Join("../..", words[0])); err != nil {
			return "no file"
		}
	}
	if test := aTest.FindStringSubmatch(piece); test != nil {
		end := "("
		if test[2] != "" {
			end = "" // it is the beginning of several
		}
		for _, text := range l.tests {
			if strings.Contains(text, "\nfunc "+test[1]+end) {
				return ""
			}
		}
		return "no test " + piece
	}
	return ""
}

func (l *lookup) holdfast(call string) string {
	if end := endOfCall.FindStringIndex(call); end != nil {
		call = call[:end[0]]
	}
	words := aWord.FindAllString(call, -1)
	node, rest := command(l.root, words)
	if node == l.root {
		return "no command " + words[0]
	}
	if node.DefaultCmd != nil {
		node = node.DefaultCmd
	}
	for _, word := range rest {
		name, _, _ := strings.Cut(strings.Trim(word, "[]"), "=")
		if strings.HasPrefix(name, "-") && name != "-" && name != "--help" && flagCalled(node, name) == nil {
			return "no flag " + name
		}
	}
	return ""
}

func (l *lookup) make(words []string) string {
	for _, word := range words {
		if strings.HasPrefix(word, "#") {
			break
		}
		if name, _, is := strings.Cut(word, "="); is {
			if !strings.Contains(l.makefile, "\n"+name+" =") && !strings.Contains(l.makefile, "\n"+name+" ?=") {
				return "no variable " + name
			}
		} else if !strings.Contains(l.makefile, "\n"+word+":") {
			return "no target " + word
		}
	}
	return ""
}

// goTest looks for the packages, the tests and the flags of a `go test`.
func (l *lookup) goTest(words []string) string {
	var tests string
	for _, word := range words {
		if strings.HasPrefix(word, "./") {
			text := l.tests[filepath.Join("../..", word)]
			if text == "" {
				return "no package"
			}
			tests += text
		}
	}
	for i, word := range words {
		name, ok := strings.CutPrefix(word, "-")
		switch {
		case !ok:
		case name == "run" || name == "bench" || name == "fuzz":
			pattern := strings.Trim(words[i+1], "'")
			fits := regexp.MustCompile(pattern)
			if pattern != "^$" && !slices.ContainsFunc(testFunc.FindAllStringSubmatch(tests, -1), func(f []string) bool { return fits.MatchString(f[1]) }) {
				return "no test or benchmark fits " + pattern
			}
		case slices.Contains(flagsOfGoTest, name):
		default:
			name, _, _ = strings.Cut(name, "=")
			if !strings.Contains(tests, `("`+name+`", `) {
				return "no flag " + word
			}
		}
	}
	return ""
}
