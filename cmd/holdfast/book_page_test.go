package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// A page is one file of the documentation, as far as a test can do something
// with it: what stands in code blocks, and what comments say about them.
//
// In a block, fenced or indented, a line that begins with "$ " is a command,
// "> " carries it on, and the lines behind it are its answer. Comments, which
// no reader sees, say the rest:
//
//	<!-- run: COMMANDS -->            what has to be done before, or between
//	<!-- in another terminal -->      the next block answers later; see terminal
//	<!-- file: NAME -->               the next block is a file in the directory of the page
//	<!-- shorter: B for A -->         in the next block, B is done where it says A
//	<!-- usage -->                    the next block says how commands are called; see book_usage_test.go
type page struct {
	path   string
	blocks []*block
}

// block is a code block, or the commands in a comment.
type block struct {
	line     int    // where it begins, from 1
	info     string // what stands behind the fence: go, ts, text, or nothing
	text     []string
	hidden   bool   // it is a comment: commands without answers
	terminal bool   // its command has a terminal of its own
	usage    bool   // it says how commands are called
	file     string // the name of the file that it is, or empty
	shorter  string // "B for A": what is done in place of what it says, or empty
}

var (
	wholeComment = regexp.MustCompile(`(?s)<!--\s*(run|in another terminal|file|shorter|usage)\b:?\s*(.*?)\s*-->`)
	fence        = regexp.MustCompile("^ {0,3}```+ *([a-z]*)")
)

func readPage(path string) (*page, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := parsePage(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	p.path = path
	return p, nil
}

// parsePage finds the blocks of a page. Its errors begin with a line number.
func parsePage(text string) (*page, error) {
	p := &page{}
	lines := strings.Split(text, "\n")
	var about block // what comments have said about the next block
	add := func(b *block) {
		b.terminal, b.usage, b.file, b.shorter = about.terminal, about.usage, about.file, about.shorter
		about = block{}
		p.blocks = append(p.blocks, b)
	}
	for i := 0; i < len(lines); i++ {
		switch line := lines[i]; {
		case strings.HasPrefix(line, "<!--"):
			begin := i
			for !strings.Contains(lines[i], "-->") {
				if i++; i == len(lines) {
					return nil, fmt.Errorf("%d: a comment without an end", begin+1)
				}
			}
			said := wholeComment.FindStringSubmatch(strings.Join(lines[begin:i+1], "\n"))
			if said == nil {
				continue // a comment for people
			}
			if (said[2] == "") != (said[1] == "in another terminal" || said[1] == "usage") {
				return nil, fmt.Errorf("%d: %s what?", begin+1, said[1])
			}
			switch said[1] {
			case "run":
				p.blocks = append(p.blocks, &block{line: begin + 1, hidden: true, text: strings.Split(said[2], "\n")})
			case "in another terminal":
				about = block{line: begin + 1, terminal: true}
			case "file":
				about = block{line: begin + 1, file: said[2]}
			case "shorter":
				about = block{line: begin + 1, shorter: said[2]}
			case "usage":
				about = block{line: begin + 1, usage: true}
			}
		case fence.MatchString(line):
			b := &block{line: i + 1, info: fence.FindStringSubmatch(line)[1]}
			for i++; i < len(lines) && !fence.MatchString(lines[i]); i++ {
				b.text = append(b.text, lines[i])
			}
			add(b)
		case strings.HasPrefix(line, "    ") && (i == 0 || strings.TrimSpace(lines[i-1]) == ""):
			b := &block{line: i + 1}
			for ; i < len(lines) && (strings.HasPrefix(lines[i], "    ") || strings.TrimSpace(lines[i]) == ""); i++ {
				b.text = append(b.text, strings.TrimPrefix(lines[i], "    "))
			}
			i-- // the line behind the block may begin the next one
			for b.text[len(b.text)-1] == "" {
				b.text = b.text[:len(b.text)-1]
			}
			add(b)
		case strings.TrimSpace(line) != "" && about.line != 0:
			return nil, fmt.Errorf("%d: no block follows this comment", about.line)
		}
	}
	if about.line != 0 {
		return nil, fmt.Errorf("%d: no block follows this comment", about.line)
	}
	return p, nil
}

// isSession says whether the block has commands with their answers.
func (b *block) isSession() bool {
	for _, line := range b.text {
		if strings.HasPrefix(line, "$ ") {
			return true
		}
	}
	return false
}

// isStream says whether the block is what passes over /stream.
func (b *block) isStream() bool { return strings.HasPrefix(b.text[0], says) }

const (
	says  = "→ "
	hears = "← "
)

// commandLine is what looks like a command, at the beginning of a line: one of
// the programs that the documentation speaks of, perhaps behind variables.
var commandLine = regexp.MustCompile(`^\s*([A-Z_]+=\S* )*(sudo )?((\S*/)?holdfast|\.?/?(bin|script)/\S+|curl|go|make|npm|npx|node|python3|cd|export|source|docker|kubectl|systemctl|sh|bash|redis-cli|redis-server|git|apt-get|openssl) \S`)

// fault says what keeps the block from being tested, or nothing.
func (b *block) fault() string {
	if b.hidden || b.usage || b.file != "" {
		return ""
	}
	if instead, long, ok := strings.Cut(b.shorter, " for "); b.shorter != "" && (!ok || instead == "" || !strings.Contains(strings.Join(b.text, "\n"), long)) {
		return fmt.Sprintf("%q names nothing in this block", b.shorter)
	}
	switch b.info {
	case "go", "ts": // TestGoIsCompiled; clients/typescript/test
		return ""
	case "", "text":
	default:
		return fmt.Sprintf("nothing runs blocks of %q", b.info)
	}
	switch {
	case b.isSession() && !strings.HasPrefix(b.text[0], "$ "):
		return "an answer without a command"
	case b.isSession() || b.isStream():
		return ""
	case b.info == "":
		return "neither commands nor text. Write \"$ \" before commands, ```text before what nobody types"
	}
	for _, line := range b.text {
		if commandLine.MatchString(line) {
			return fmt.Sprintf("looks like a command and is not run: %q. Write \"$ \" before it", line)
		}
	}
	return ""
}

// step is a command and the answer that it must give.
type step struct {
	line     int
	command  string
	answer   string // without the line break at its end
	terminal bool
}

// ownTerminal are commands that go on until they are told to stop.
var ownTerminal = regexp.MustCompile(`^([A-Z_]+=\S* )*(bin/)?holdfast (serve|watch)\b`)

// steps gives the commands of a block in their order.
func (b *block) steps() []step {
	if b.hidden {
		command := strings.Join(b.text, "\n")
		if ownTerminal.MatchString(command) {
			return []step{{line: b.line, command: command, terminal: true}}
		}
		return []step{{line: b.line, command: "{ " + command + "\n} >/dev/null && echo done", answer: "done"}}
	}
	var steps []step
	for i, line := range b.text {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			steps = append(steps, step{line: b.line + i, command: command, terminal: b.terminal || ownTerminal.MatchString(command)})
			continue
		}
		last := &steps[len(steps)-1]
		if more, ok := strings.CutPrefix(line, "> "); ok && last.answer == "" {
			last.command += "\n" + more
			continue
		}
		last.answer += line + "\n"
	}
	instead, long, _ := strings.Cut(b.shorter, " for ")
	for i := range steps {
		steps[i].answer = strings.TrimRight(steps[i].answer, "\n")
		if long != "" {
			steps[i].command = strings.ReplaceAll(steps[i].command, long, instead)
			steps[i].answer = strings.ReplaceAll(steps[i].answer, long, instead)
		}
	}
	return steps
}
