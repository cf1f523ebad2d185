package api

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The script in docs/stream.md is that in the file beside it, and does what it
// says with nothing but what Node has built in.
func TestTheScriptInTheDocs(t *testing.T) {
	docs := filepath.Join("..", "..", "docs")
	script, err := os.ReadFile(filepath.Join(docs, "stream.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(docs, "stream.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "```js\n"+string(script)+"```\n") {
		t.Error("docs/stream.md and docs/stream.mjs are not the same")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not there")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// What Node 22 has, Node 20 has with a flag, which Node 22 knows still.
	const flag = "--experimental-websocket"
	has, err := exec.CommandContext(ctx, node, flag, "-p", "typeof WebSocket").Output()
	if err != nil || string(has) != "function\n" {
		t.Skip("this node has no WebSocket")
	}
	s := open(t)
	got, err := exec.CommandContext(ctx, node, flag, "--no-warnings", filepath.Join(docs, "stream.mjs"), "ws://"+s.address+"/stream").CombinedOutput()
	if err != nil || string(got) != "200 report true\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
