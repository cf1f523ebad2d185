package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// The blocks marked `<!-- usage -->` say how commands are called:
//
//	holdfast lock [--uid UID] [-w DURATION] KEY…
//
// They are held against the program: each flag and argument is there, under
// this name, and may be left out if it stands in brackets. A value that is not
// in capitals is an example. Flags that a line does not name must be
// named elsewhere in its section.

// program is the model of the command line.
func program(t *testing.T) *kong.Node {
	t.Helper()
	parser, err := newParser(&commands{}, newSettings(func(string) string { return "" }, "none"))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model.Node
}

// TestUsage finds each command of the program, with all its flags, in a usage
// block of docs/cli.md.
func TestUsage(t *testing.T) {
	root := program(t)
	sections := sectionsOf(t, "../../docs/cli.md")
	common := map[string]bool{"help": true}
	for _, section := range sections {
		if strings.HasPrefix(section.text, "## Flags that those have which ask a server\n") {
			for _, found := range flagNamed.FindAllStringSubmatch(section.text, -1) {
				common[found[1]] = true
			}
		}
	}
	described := map[*kong.Node]bool{}
	for _, section := range sections {
		for _, line := range section.usage {
			node, named, fault := readUsage(root, line)
			if fault != "" {
				t.Errorf("%s\n%s", line, fault)
				continue
			}
			described[node] = true
			for _, flag := range flagsOf(node) {
				if !named[flag.Name] && !common[flag.Name] && !strings.Contains(section.text, "`--"+flag.Name) {
					t.Errorf("%s\n--%s is not named in this section", line, flag.Name)
				}
			}
		}
	}
	for _, node := range root.Leaves(true) {
		// serve is described in the README, and version has no flags.
		if !described[node] && node.Name != "serve" && node.Name != "version" {
			t.Errorf("docs/cli.md does not say how %s is called", node.FullPath())
		}
	}
}

// flagNamed finds the flags that a text names.
var flagNamed = regexp.MustCompile("`(?:-\\w`, `)?--([a-z-]+)")

// section is a piece of a page, from a heading to the next.
type section struct {
	text  string
	usage []string // the lines of its usage blocks
}

func sectionsOf(t *testing.T, path string) []section {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var sections []section
	for i, text := range strings.Split(string(whole), "\n## ") {
		if i > 0 {
			text = "## " + text
		}
		p, err := parsePage(text)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		s := section{text: text}
		for _, b := range p.blocks {
			if b.usage {
				s.usage = append(s.usage, b.text...)
			}
		}
		sections = append(sections, s)
	}
	return sections
}

// flagsOf are the flags of a command and of those above it.
func flagsOf(node *kong.Node) (flags []*kong.Flag) {
	for _, group := range node.AllFlags(true) {
		flags = append(flags, group...)
	}
	return flags
}

// flagCalled gives the flag of that name, such as --key or -k.
func flagCalled(node *kong.Node, name string) *kong.Flag {
	for _, flag := range flagsOf(node) {
		if name == "--"+flag.Name || flag.Short != 0 && name == "-"+string(flag.Short) {
			return flag
		}
	}
	return nil
}

// command follows the words from the root to a command, and gives what stands
// behind it.
func command(root *kong.Node, words []string) (node *kong.Node, rest []string) {
	for node = root; len(words) > 0; words = words[1:] {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == words[0] })
		if i < 0 {
			break
		}
		node = node.Children[i]
	}
	return node, words
}

var usageToken = regexp.MustCompile(`[\[\]|]|[^\s\[\]|]+`)

// readUsage reads a line of a usage block. It gives its command, and which of
// its flags are named; or what is wrong with it.
func readUsage(root *kong.Node, line string) (node *kong.Node, named map[string]bool, fault string) {
	words, ok := strings.CutPrefix(line, "holdfast ")
	if !ok {
		return nil, nil, "is no call of holdfast"
	}
	node, rest := command(root, usageToken.FindAllString(words, -1))
	if len(node.Children) > 0 && node.DefaultCmd != nil {
		node = node.DefaultCmd
	}
	named = map[string]bool{}
	depth, args := 0, 0
	var flag *kong.Flag // whose value comes next
	for _, word := range rest {
		bare := strings.TrimSuffix(word, "…")
		switch {
		case word == "[":
			depth++
		case word == "]":
			depth--
		case word == "|" || word == "--" || bare == "":
		case strings.HasPrefix(word, "-"):
			if flag = flagCalled(node, word); flag == nil {
				return nil, nil, word + " is none of its flags"
			}
			if flag.Required == (depth > 0) {
				return nil, nil, word + " is in brackets, or it is not, and should"
			}
			named[flag.Name] = true
			if flag.IsBool() {
				flag = nil
			}
		case flag != nil:
			if 'A' <= bare[0] && bare[0] <= 'Z' && bare != strings.TrimSuffix(flag.PlaceHolder, "…") {
				return nil, nil, "the value of --" + flag.Name + " is called " + flag.PlaceHolder
			}
			flag = nil
		case args == len(node.Positional):
			return nil, nil, word + " is one too many"
		default:
			arg := node.Positional[args]
			if args++; arg.Required == (depth > 0) {
				return nil, nil, word + " is in brackets, or it is not, and should"
			}
			if (arg.IsCumulative() || arg.Passthrough) != strings.HasSuffix(word, "…") {
				return nil, nil, word + " may be given several times, or only once"
			}
		}
	}
	if flag != nil || depth != 0 || args < len(node.Positional) {
		return nil, nil, "something is missing at its end"
	}
	return node, named, ""
}

var (
	tableRow     = regexp.MustCompile(`(?m)^\| (.*?) \| (.*?) \|`)
	longFlag     = regexp.MustCompile("`--([a-z-]+)")
	variableName = regexp.MustCompile("`([A-Z_]+)`")
	inHelp       = regexp.MustCompile(`\[([A-Z_]+)\]$`)
)

// TestTablesOfSettings holds the tables of flags and their variables against
// the program. Every flag of serve must be in one.
func TestTablesOfSettings(t *testing.T) {
	root := program(t)
	variables := map[string]string{} // by flag
	serve, _ := command(root, []string{"serve"})
	for _, node := range append(root.Leaves(true), serve) { // whose flags win
		for _, flag := range node.Flags {
			variables[flag.Name] = flag.Tag.Get(variableTag)
			if inHelp := inHelp.FindStringSubmatch(flag.Help); inHelp != nil {
				variables[flag.Name] = inHelp[1]
			}
		}
	}
	told := map[string]bool{}
	for _, p := range book(t) {
		text, err := os.ReadFile(p.path)
		if err != nil {
			t.Fatal(err)
		}
		second := "" // what the second column of this table is
		for line := range strings.Lines(string(text)) {
			row := tableRow.FindStringSubmatch(line)
			switch {
			case row == nil:
				second = ""
				continue
			case second == "":
				second = row[2]
				continue
			}
			flags := longFlag.FindAllStringSubmatch(row[1], -1)
			names := variableName.FindAllStringSubmatch(row[2], -1)
			var want, got []string
			for _, flag := range flags {
				variable, ok := variables[flag[1]]
				if !ok {
					t.Errorf("%s: there is no flag --%s", p.path, flag[1])
				}
				told[flag[1]] = true
				if variable != "" {
					want = append(want, variable)
				}
			}
			for _, name := range names {
				got = append(got, name[1])
			}
			if second == "variable" && len(flags) > 0 && !strings.Contains(line, "…") && !slices.Equal(got, want) {
				t.Errorf("%s: %sits variables are %v", p.path, line, want)
			}
		}
	}
	for _, flag := range serve.Flags {
		if !told[flag.Name] {
			t.Errorf("--%s of serve is in no table", flag.Name)
		}
	}
}
