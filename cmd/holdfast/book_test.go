//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/freeport"
)

// TestBook does what the pages of the documentation say, with the real
// program, and compares the answers. Each page has a shell of its own in a new
// directory.
func TestBook(t *testing.T) {
	for _, p := range book(t) {
		t.Run(strings.TrimPrefix(p.path, "../../"), func(t *testing.T) {
			t.Parallel()
			var shell *shell
			for _, b := range p.blocks {
				if fault := b.fault(); fault != "" {
					t.Errorf("%s:%d: %s", p.path, b.line, fault)
				}
				if b.info == "ts" && filepath.Base(p.path) != "typescript.md" {
					t.Errorf("%s:%d: only TypeScript in docs/typescript.md is run", p.path, b.line)
				}
				if b.file == "" && !b.hidden && !b.isSession() && !b.isStream() {
					continue
				}
				if shell == nil {
					shell = newShell(t, p.path)
				}
				switch {
				case b.file != "":
					shell.write(b)
				case b.isStream():
					shell.converse(b)
				default:
					for _, s := range b.steps() {
						shell.take(s)
					}
				}
			}
			if shell != nil {
				shell.end()
			}
		})
	}
}

// shell carries out the commands of one page.
type shell struct {
	t       *testing.T
	path    string
	dir     string
	stdin   io.Writer
	answers answers
	ports   map[string]string // by the one on the page

	mu   sync.Mutex
	said bytes.Buffer // what came on the terminal and was not looked at yet

	terminals []terminal
}

// terminal is that of a command whose answer comes later; it ends up in a file.
type terminal struct {
	step
	file string
}

// newShell starts a shell for a page. Its commands find a terminal, so that
// they answer as they do to people.
func newShell(t *testing.T, path string) *shell {
	t.Helper()
	s := &shell{t: t, path: path, dir: t.TempDir(), answers: answers{versions: map[string]string{}}, ports: map[string]string{}}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("silent\nshow-error\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ours, theirs := openTerminal(t)
	cmd := exec.Command("bash", "--norc", "--noprofile")
	cmd.Dir = s.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TERM=dumb", "LC_ALL=C.UTF-8", "GORACE=atexit_sleep_ms=0",
		"PORT=" + s.port("3000"), "HOLDFAST_SERVER=http://localhost:" + s.port("3000"),
	}
	cmd.Env = append(cmd.Env, goEnvironment()...)
	cmd.Stdout, cmd.Stderr = theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	var reading sync.WaitGroup
	reading.Go(func() {
		chunk := make([]byte, 4096)
		for {
			n, err := ours.Read(chunk)
			s.mu.Lock()
			s.said.Write(chunk[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		reading.Wait()
		ours.Close()
	})
	return s
}

// goEnvironment is what those need who build the program from $SOURCE, the root
// of this repository: go's caches, as they find no home of their own.
var goEnvironment = sync.OnceValue(func() []string {
	source, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	names := []string{"GOCACHE", "GOFLAGS", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN"}
	values, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		panic(err)
	}
	cache, err := os.UserCacheDir() // of internal/proof/faults
	if err != nil {
		panic(err)
	}
	environment := []string{"SOURCE=" + source, "XDG_CACHE_HOME=" + cache}
	for i, value := range strings.Split(strings.TrimSuffix(string(values), "\n"), "\n") {
		environment = append(environment, names[i]+"="+value)
	}
	return environment
})

// openTerminal opens a terminal that leaves what is said on it as it is.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	settings.Oflag &^= unix.OPOST
	settings.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(theirs.Fd()), unix.TCSETS, settings); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// port gives the free port that stands for one of the page.
func (s *shell) port(shown string) string {
	if s.ports[shown] == "" {
		s.ports[shown] = strconv.Itoa(freeport.Port(s.t))
	}
	return s.ports[shown]
}

var portShown = regexp.MustCompile(`(localhost:|127\.0\.0\.\d:|-p |-P |--port )(\d{4,5})\b`)

// real puts the ports that are used instead into a text of the page.
func (s *shell) real(text string) string {
	return portShown.ReplaceAllStringFunc(text, func(found string) string {
		parts := portShown.FindStringSubmatch(found)
		return parts[1] + s.port(parts[2])
	})
}

// write makes the file that a block is.
func (s *shell) write(b *block) {
	s.t.Helper()
	text := s.real(strings.Join(b.text, "\n")) + "\n"
	if err := os.WriteFile(filepath.Join(s.dir, b.file), []byte(text), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// newNode says whether there is a Node with WebSocket. What Node 22 has, Node
// 20 has with a flag, which Node 22 knows still.
var newNode = sync.OnceValue(func() bool {
	has, err := exec.Command("node", "--experimental-websocket", "-p", "typeof WebSocket").Output()
	return err == nil && string(has) == "function\n"
})

// take carries out one step, and compares its answer if it comes at once.
func (s *shell) take(st step) {
	s.t.Helper()
	if strings.HasPrefix(st.command, "node ") && !newNode() && os.Getenv("CI") == "" {
		s.t.Logf("line %d is not run: node 20 or later is not there", st.line)
		return
	}
	command := s.answers.command(s.real(st.command))
	if !st.terminal {
		page, came := measured(command, s.real(st.answer)), measured(command, s.run(st.line, command))
		if err := s.answers.compare(page, came); err != nil {
			s.t.Fatalf("%s:%d: $ %s\n%v", s.path, st.line, st.command, err)
		}
		return
	}
	term := terminal{step: st, file: filepath.Join(s.dir, fmt.Sprintf(".terminal-%d", st.line))}
	s.terminals = append(s.terminals, term)
	s.run(st.line, fmt.Sprintf("%s >%s 2>&1 &", command, term.file))
	if strings.Contains(st.command, "holdfast serve") {
		s.run(st.line, `servers="$servers $!"`)
		s.until(st.line, func() bool { return strings.Contains(term.read(s.t), `"msg":"ready"`) },
			func() string { return "the server is not ready:\n" + term.read(s.t) })
	}
}

func (term terminal) read(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(term.file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.TrimRight(string(text), "\n")
}

// endOfAnswer is what the shell says behind each answer.
const endOfAnswer = "\x04end of answer\x04\n"

// builds is a command that may have to compile everything.
var builds = regexp.MustCompile(`^(?:make|go|script/\S+) `)

// downloads is what go says on a machine that has not built anything before.
var downloads = regexp.MustCompile(`(?m)^go: downloading .*\n`)

// run carries out a command, and gives what it said.
func (s *shell) run(line int, command string) (answer string) {
	s.t.Helper()
	// The status is kept for the next command, which may ask for it.
	fmt.Fprintf(s.stdin, "{ %s\n} </dev/null; status=$?; printf '\\n\\004end of answer\\004\\n'; (exit $status)\n", command)
	within := patience
	if builds.MatchString(command) {
		within = 10 * patience
	}
	s.untilWithin(within, line, func() (whole bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		before, after, whole := strings.Cut(s.said.String(), endOfAnswer)
		if whole {
			answer = strings.TrimRight(downloads.ReplaceAllString(before, ""), "\n")
			s.said.Reset()
			s.said.WriteString(after)
		}
		return whole
	}, func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return fmt.Sprintf("$ %s\ndoes not end; it said:\n%s", command, s.said.String())
	})
	return answer
}

func (s *shell) until(line int, done func() bool, complaint func() string) {
	s.t.Helper()
	s.untilWithin(patience, line, done, complaint)
}

func (s *shell) untilWithin(within time.Duration, line int, done func() bool, complaint func() string) {
	s.t.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s:%d: %s", s.path, line, complaint())
		}
	}
}

// end compares what came on the other terminals, and ends what runs there.
func (s *shell) end() {
	s.t.Helper()
	for _, term := range s.terminals {
		if term.answer == "" {
			continue
		}
		var err error
		s.until(term.line, func() bool {
			err = s.answers.compare(s.real(term.answer), term.read(s.t))
			return err == nil
		}, func() string { return fmt.Sprintf("$ %s\n%v", term.command, err) })
	}
	s.run(0, endAll)
}

// endAll ends all that runs in the background, the servers last, so that the
// others can take their leave of them.
const endAll = `for job in $(jobs -p); do
	case " $servers " in *" $job "*) ;; *) kill $job; wait $job ;; esac
done 2>/dev/null
kill $servers 2>/dev/null; wait 2>/dev/null`
