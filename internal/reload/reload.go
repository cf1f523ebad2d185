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

// Watch calls changed, from one goroutine, each time that one of the files is
// another one than before: replaced, or written to. While that gives an error,
// failed is told, once of the same one, and changed is called again each time
// that the files are looked at: files that changed together may be seen one
// after the other, and one that could not be read may look the same when it
// can. It returns when ctx ends.
func Watch(ctx context.Context, changed func() error, failed func(error), files ...string) {
	seen := look(files)
	trouble := ""
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		now := look(files)
		if trouble == "" && same(seen, now) {
			continue
		}
		seen = now
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

// look gives what the files are like; nil stands for one that is not there.
func look(files []string) []os.FileInfo {
	found := make([]os.FileInfo, len(files))
	for i, file := range files {
		found[i], _ = os.Stat(file)
	}
	return found
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
