//go:build unix

// Package redistest starts real Redis servers for tests: each on a free port,
// with its files in a directory that goes away with the test.
package redistest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/freeport"
)

// patience bounds every wait for a server.
const patience = 20 * time.Second

// Server is one redis-server process that a test has started.
type Server struct {
	t    testing.TB
	args []string
	dir  string
	Host string
	Port int

	process *exec.Cmd
	exited  chan struct{}
	output  *bytes.Buffer
}

// Start starts a server with these arguments of redis-server, such as
// "--requirepass", "secret". It keeps nothing on disk unless told to.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := New(t, args...)
	s.Start()
	return s
}

// New is a server that has not been started yet. Its port is its own from now
// on.
func New(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("this test needs redis-server; install it with: apt-get install redis-server")
	}
	dir := t.TempDir()
	s := &Server{t: t, dir: dir, Host: "127.0.0.1", Port: freeport.Port(t)}
	s.args = append([]string{"--port", strconv.Itoa(s.Port)}, s.common()...)
	s.args = append(append(s.args, "--save", "", "--appendonly", "no"), args...)
	t.Cleanup(s.Kill)
	return s
}

func (s *Server) common() []string {
	return []string{"--bind", s.Host, "--dir", s.dir, "--daemonize", "no", "--logfile", ""}
}

// NewSentinel is a sentinel that watches a primary under the name "main".
func NewSentinel(t testing.TB, primary *Server, quorum int) *Server {
	t.Helper()
	s := New(t)
	config := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf(`port %d
bind %s
dir %s
sentinel monitor main %s %d %d
sentinel down-after-milliseconds main 700
sentinel failover-timeout main 3000
`, s.Port, s.Host, s.dir, primary.Host, primary.Port, quorum)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{config, "--sentinel"}
	return s
}

// StartCluster starts a cluster of so many nodes, without replicas.
func StartCluster(t testing.TB, nodes int) []*Server {
	t.Helper()
	var servers []*Server
	create := []string{"--cluster", "create"}
	for range nodes {
		s := New(t)
		// The port of the bus is not far off by default, and may be taken.
		s.Args("--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freeport.Port(t)), "--cluster-node-timeout", "2000")
		s.Start()
		servers = append(servers, s)
		create = append(create, s.Addr())
	}
	out, err := exec.Command("redis-cli", append(create, "--cluster-replicas", "0", "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli: %v: %s", err, out)
	}
	for _, s := range servers {
		Eventually(t, "the cluster is there", func() bool {
			return strings.Contains(s.Do("CLUSTER", "INFO"), "cluster_state:ok")
		})
	}
	return servers
}

// PID is the process of a server that runs.
func (s *Server) PID() int { return s.process.Process.Pid }

// Args adds arguments before the server is started.
func (s *Server) Args(args ...string) { s.args = append(s.args, args...) }

// Start starts the process, again if it was ended, and comes back when it
// listens.
func (s *Server) Start() {
	s.t.Helper()
	s.output = new(bytes.Buffer)
	s.process = exec.Command("redis-server", s.args...)
	s.process.Stdout, s.process.Stderr = s.output, s.output
	s.process.SysProcAttr = diesWithTest()
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan struct{})
	go func(process *exec.Cmd, exited chan struct{}) {
		process.Wait()
		close(exited)
	}(s.process, s.exited)
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.Addr())
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-s.exited:
			s.t.Fatalf("redis-server ended at once: %s", s.output)
		default:
		}
		if time.Now().After(end) {
			s.t.Fatalf("redis-server does not listen: %v", err)
		}
	}
}

// Addr is where the server listens.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// URL is how a store reaches the server without a password.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Kill ends the process with SIGKILL, if it runs.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	s.process.Process.Kill()
	s.Resume() // a stopped one dies only then
	<-s.exited
	s.process = nil
}

// Pause stops the process: it keeps its connections and answers nothing.
func (s *Server) Pause() { s.process.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (s *Server) Resume() { s.process.Process.Signal(syscall.SIGCONT) }

// Do sends one command and gives the answer as redis-cli would show it raw; an
// error answer ends the test. It needs no client library, so that a test is
// not fooled by the one that it tests.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	answer, err := s.Try(args...)
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return answer
}

// Try is Do that gives the error back.
func (s *Server) Try(args ...string) (string, error) {
	return s.TryAt(strconv.Itoa(s.Port), args...)
}

// TryAt is Try at another port.
func (s *Server) TryAt(port string, args ...string) (string, error) {
	out, err := exec.Command("redis-cli", append([]string{"-e", "-h", s.Host, "-p", port}, args...)...).CombinedOutput()
	answer := strings.TrimRight(string(out), "\n")
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, answer)
	}
	return answer, nil
}

// Eventually waits until what must come true is true.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("within %v it did not come true that %s", patience, what)
		}
	}
}
