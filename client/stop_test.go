//go:build unix

package client_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"holdfast"
	"holdfast/client"
)

// A process that is stopped, and goes on when somebody else holds the key, sees
// with its first look that its own hold is over.
func TestAStoppedProcessSeesThatItsHoldIsOver(t *testing.T) {
	server := serve(t, store(t))
	c := connect(t, server)
	for range 3 {
		stopAndLook(t, c, server)
	}
}

func stopAndLook(t *testing.T, c *client.Client, server string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	process := exec.CommandContext(ctx, os.Args[0])
	process.Env = append(os.Environ(), stoppedServer+"="+server)
	process.Stderr = os.Stderr
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer process.Wait()
	defer process.Process.Kill()
	says := bufio.NewScanner(output)
	if !says.Scan() || says.Text() != "holding" {
		t.Fatalf("the process says %q, %v", says.Text(), says.Err())
	}
	if err := process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	held, err := c.Hold(ctx, holdfast.Keys("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock(ctx)
	if err := process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if !says.Scan() || !strings.HasPrefix(says.Text(), "over: ") {
		t.Fatalf("while %s holds the key, the stopped process says %q", held.UID(), says.Text())
	}
}
