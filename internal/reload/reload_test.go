package reload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestChangesAreNoticed(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(one, "1")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		// Not a plain number: the race detector does not take what follows
		// one another in virtual time for ordered.
		var changes atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			Look(one, two).Watch(ctx, func() error { changes.Add(1); return nil }, nil)
		}()
		for _, step := range []struct {
			name   string
			change func()
			want   int64
		}{
			{"nothing", func() {}, 0},
			{"longer", func() { write(one, "11") }, 1},
			{"of the same length, later", func() {
				write(one, "22")
				later := time.Now().Add(time.Hour)
				if err := os.Chtimes(one, later, later); err != nil {
					t.Fatal(err)
				}
			}, 1},
			{"replaced, with the same length and time", func() {
				was, err := os.Stat(one)
				if err != nil {
					t.Fatal(err)
				}
				write(one+".new", "33")
				if err := os.Chtimes(one+".new", was.ModTime(), was.ModTime()); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(one+".new", one); err != nil {
					t.Fatal(err)
				}
			}, 1},
			{"a file that was not there", func() { write(two, "") }, 1},
			{"a file that is not there any more", func() { os.Remove(two) }, 1},
			{"nothing again", func() {}, 0},
		} {
			synctest.Wait()
			before := changes.Load()
			step.change()
			time.Sleep(2 * every)
			synctest.Wait()
			if times := changes.Load() - before; times != step.want {
				t.Errorf("%s: noticed %d times", step.name, times)
			}
		}
		stop()
		<-done
	})
}

// What is in the way of a changed file may go without changing the file: a
// permission, or too many open files. A token that was revoked must not count
// until somebody changes the file once more.
func TestAChangeThatFailsIsTriedAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var told []string
		tried, outcomes := 0, []error{errors.New("one"), errors.New("one"), errors.New("two"), errors.New("two"), nil}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Look(file).Watch(ctx,
				func() error { tried++; return outcomes[tried-1] },
				func(err error) { told = append(told, err.Error()) })
		}()
		synctest.Wait()
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * every)
		stop()
		<-done
		if tried != len(outcomes) || !slices.Equal(told, []string{"one", "two"}) {
			t.Errorf("tried %d times, told %q", tried, told)
		}
	})
}

// A token may be revoked while a server starts: after it has read the file, and
// before it watches.
func TestAChangeBeforeTheWatchIsNoticed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		files := Look(file)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		changes := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			files.Watch(ctx, func() error { changes++; return nil }, nil)
		}()
		time.Sleep(3 * every)
		stop()
		<-done
		if changes != 1 {
			t.Errorf("noticed %d times", changes)
		}
	})
}
