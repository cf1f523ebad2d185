// Package reload notices that files have changed: those that a server reads
// at its start, and may be given anew while it runs.
package reload

import (
	"context"
	"os"
	"time"
)

// every is how often files are looked at.
const every = time.Second

// Files are files, and what they were like when they were looked at last.
type Files struct {
	names []string
	seen  []os.FileInfo // nil stands for one that is not there
}

// Look looks at files. That comes before they are read for the first time: what
// changes in between would never be noticed otherwise, such as a token that is
// revoked while a server starts.
func Look(names ...string) *Files {
	f := &Files{names: names}
	f.look()
	return f
}

// Watch calls changed, from one goroutine, each time that one of the files is
// another one than before: replaced, or written to. While that gives an error,
// failed is told, once of the same one, and changed is called again each time
// that the files are looked at: files that changed together may be seen one
// after the other, and one that could not be read may look the same when it
// can. It returns when ctx ends.
func (f *Files) Watch(ctx context.Context, changed func() error, failed func(error)) {
	trouble := ""
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		before := f.seen
		f.look()
		if trouble == "" && same(before, f.seen) {
			continue
		}
		err := changed()
		switch {
		case err == nil:
			trouble = ""
		case err.Error() != trouble:
			trouble = err.Error()
			failed(err)
		}
	}
}

func (f *Files) look() {
	f.seen = make([]os.FileInfo, len(f.names))
	for i, name := range f.names {
		f.seen[i], _ = os.Stat(name)
	}
}

func same(a, b []os.FileInfo) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) {
			return false
		}
		if a[i] == nil {
			continue
		}
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
