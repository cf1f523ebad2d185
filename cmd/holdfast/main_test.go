package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/internal/freeport"
)

// patience is how long anything in a script may take that takes no time.
const patience = time.Minute

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"holdfast": main,
		"http":     httpMain,
	})
}

// TestScripts runs the scripts in testdata, with the real program in
// processes of its own. Beside the commands of testscript they use these, and
// the program http below:
//
//	start ARGS...          run `holdfast ARGS...` in the background until it
//	                       listens; sets $SERVER to its URL, $TAKEN to its port
//	signal NAME            send it TERM, INT or KILL
//	logged REGEXP          wait until it logs a line that matches
//	ended STATUS           wait for its end, and put what it logged into server.log;
//	                       the status of a process that a signal ended is that
//	                       signal: interrupt, terminated, killed
//	fails STATUS ARGS...   run `holdfast ARGS...`, which must end with the status
//	                       and say one line on stderr and nothing on stdout
//	usage STATUS ARGS...   the same, for any number of lines
//	port NAME              set $NAME to a port that is free
//	name NAME              name the server that was started last; sets $NAME to its URL
//	to NAME                signal, logged and ended mean that one from here on
//	token NAME FILE        set the variable to what stands in the file
//	supervise              be the supervisor of what is started from now on
//	told TEXT              wait until it tells the supervisor so
//	hang URL               keep a request open that never sends its whole body
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Deadline:            time.Now().Add(2 * patience), // for a program that serves where it should refuse
		Setup: func(env *testscript.Env) error {
			env.Values[runningKey{}] = &running{named: map[string]*server{}}
			env.Values[supervisedKey{}] = &supervised{}
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each of many short processes ends a second late
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":  start,
			"logged": logged,
			"signal": sendSignal,
			"ended":  ended,
			"fails":  fails,
			"usage":  usage,
			"hang":   hang,
			"port":   freePort,
			"name":   name,
			"to":     to,
			"token":  setToken,

			"supervise": supervise,
			"told":      told,
		},
	})
}

// server is a `holdfast serve` that a script started.
type server struct {
	*exec.Cmd
	lines chan string // what it says on stderr; closed at its end
	log   []string    // those of lines that have been looked at
}

// running is where a script keeps the server that it started last.
type running struct {
	*server
	named map[string]*server
}

// runningKey is where a script keeps its running.
type runningKey struct{}

func runningOf(ts *testscript.TestScript) *running { return ts.Value(runningKey{}).(*running) }

// next gives the next line that the server says, and false behind the last.
func (s *server) next(ts *testscript.TestScript) (string, bool) {
	select {
	case line, ok := <-s.lines:
		if ok {
			s.log = append(s.log, line)
		}
		return line, ok
	case <-time.After(patience):
		ts.Fatalf("neither says anything nor ends; it said:\n%s", strings.Join(s.log, "\n"))
		return "", false
	}
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	s := &server{Cmd: exec.Command("holdfast", args...), lines: make(chan string, 100)}
	s.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GORACE", "PORT", "HOST", "DEFAULT_EXPIRY", "BIND_GRACE", "REDIS_HOST", "REDIS_PORT", "REDIS_URL", "REDIS_PREFIX", "DATA_DIR",
		"AUTH_FILE", "INSECURE", "TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "TLS_CLIENT_AUTH", "JOIN_TOKEN", notifySocket} {
		if value := ts.Getenv(name); value != "" {
			s.Env = append(s.Env, name+"="+value)
		}
	}
	stderr, err := s.StderrPipe()
	ts.Check(err)
	ts.Check(s.Start())
	go func() {
		defer close(s.lines)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.lines <- lines.Text()
		}
	}()
	ts.Defer(func() {
		s.Process.Kill()
		for range s.lines {
		}
		s.Wait()
	})
	runningOf(ts).server = s

	for line, ok := s.next(ts); ok; line, ok = s.next(ts) {
		var said struct{ Msg, URL string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "listening" {
			at, err := url.Parse(said.URL)
			ts.Check(err)
			ts.Setenv("SERVER", said.URL)
			ts.Setenv("TAKEN", at.Port())
			return
		}
	}
	ts.Fatalf("did not listen:\n%s", strings.Join(s.log, "\n"))
}

func logged(ts *testscript.TestScript, neg bool, args []string) {
	s := runningOf(ts)
	pattern := regexp.MustCompile(args[0])
	for line, ok := s.next(ts); ok; line, ok = s.next(ts) {
		if pattern.MatchString(line) {
			return
		}
	}
	ts.Fatalf("ended without saying so:\n%s", strings.Join(s.log, "\n"))
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt, "KILL": os.Kill}
	ts.Check(runningOf(ts).Process.Signal(signals[args[0]]))
}

func ended(ts *testscript.TestScript, neg bool, args []string) {
	s := runningOf(ts)
	for _, ok := s.next(ts); ok; _, ok = s.next(ts) {
	}
	s.Wait()
	log := strings.Join(s.log, "\n") + "\n"
	ts.Logf("%s", log)
	ts.Check(os.WriteFile(ts.MkAbs("server.log"), []byte(log), 0o600))
	got := strconv.Itoa(s.ProcessState.ExitCode())
	if how, ok := s.ProcessState.Sys().(syscall.WaitStatus); ok && how.Signaled() {
		got = how.Signal().String()
	}
	if got != args[0] {
		ts.Fatalf("ended with %s, not %s", got, args[0])
	}
}

func fails(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args)
	if lines := strings.Count(ts.ReadFile("stderr"), "\n"); lines != 1 {
		ts.Fatalf("%d lines on stderr", lines)
	}
}

func usage(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("holdfast", args[1:]...)
	ended, ok := errors.AsType[*exec.ExitError](err)
	if !ok || strconv.Itoa(ended.ExitCode()) != args[0] {
		ts.Fatalf("got %v, not status %s", err, args[0])
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("said on stdout: %s", out)
	}
}

func freePort(ts *testscript.TestScript, neg bool, args []string) {
	port, err := freeport.Get()
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(port))
}

func name(ts *testscript.TestScript, neg bool, args []string) {
	runningOf(ts).named[args[0]] = runningOf(ts).server
	ts.Setenv(args[0], ts.Getenv("SERVER"))
}

func to(ts *testscript.TestScript, neg bool, args []string) {
	server, ok := runningOf(ts).named[args[0]]
	if !ok {
		ts.Fatalf("no server was named %s", args[0])
	}
	runningOf(ts).server = server
}

func setToken(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

func hang(ts *testscript.TestScript, neg bool, args []string) {
	at, err := url.Parse(args[0])
	ts.Check(err)
	conn, err := net.Dial("tcp", at.Host)
	ts.Check(err)
	ts.Defer(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", at.Path, at.Host)
	ts.Check(err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	ts.Check(err)
	if !strings.Contains(line, " 100 ") {
		ts.Fatalf("got %q", line)
	}
}

// httpMain is the program http: it sends one request and prints the status,
// the header Retry-After if there is one, and the body.
//
//	http [-until REGEXP] METHOD URL [BODY]
//
// With -until it sends it again until the body matches.
func httpMain() {
	until := flag.String("until", "", "repeat until the body matches")
	flag.Parse()
	wanted := regexp.MustCompile(*until)
	for deadline := time.Now().Add(patience); ; {
		request, err := http.NewRequest(flag.Arg(0), flag.Arg(1), strings.NewReader(flag.Arg(2)))
		exitOn(err)
		response, err := http.DefaultClient.Do(request)
		exitOn(err)
		body, err := io.ReadAll(response.Body)
		exitOn(err)
		response.Body.Close()
		if !wanted.Match(body) {
			if time.Now().After(deadline) {
				exitOn(fmt.Errorf("still %s", body))
			}
			time.Sleep(5 * time.Millisecond)
			continue
		}
		fmt.Println(response.StatusCode)
		if after := response.Header.Get("Retry-After"); after != "" {
			fmt.Println("Retry-After:", after)
		}
		fmt.Println(strings.TrimSpace(string(body)))
		return
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
