package reload

import (
	"context"
	"os"
	"path/filepath"
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
		changes := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			Watch(ctx, func() { changes++ }, one, two)
		}()
		for _, step := range []struct {
			name   string
			change func()
			want   int
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
			before := changes
			step.change()
			time.Sleep(2 * every)
			synctest.Wait()
			if changes-before != step.want {
				t.Errorf("%s: noticed %d times", step.name, changes-before)
			}
		}
		stop()
		<-done
	})
}
