// Package seldom keeps a log from being filled by those who can cause a line
// whenever they like: strangers, before anybody knows who they are.
package seldom

import (
	"cmp"
	"io"
	"sync"
	"time"
)

// Gate lets something pass, and then nothing more until Every has passed, for a
// second if that is zero. It is safe for concurrent use, and must not be copied.
type Gate struct {
	Every time.Duration

	mu   sync.Mutex
	last time.Time // when something passed; long ago if nothing has
}

// Pass says whether something may pass now.
func (g *Gate) Pass() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if now.Sub(g.last) < cmp.Or(g.Every, time.Second) {
		return false
	}
	g.last = now
	return true
}

// Writer gives a writer of lines that leaves out those that its Gate does not let
// pass. Each Write is a line.
func Writer(w io.Writer) io.Writer { return &writer{w: w} }

type writer struct {
	gate Gate
	w    io.Writer
}

func (w *writer) Write(line []byte) (int, error) {
	if !w.gate.Pass() {
		return len(line), nil
	}
	return w.w.Write(line)
}
