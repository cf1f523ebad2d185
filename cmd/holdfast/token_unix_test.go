//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"holdfast/internal/auth"
)

// An administrator edits the file of the service, which goes on to read it.
func TestAnEditLeavesTheFileToItsOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "auth.json")
	edit := func(name string) {
		t.Helper()
		file := authFile{AuthFile: nonEmpty(path)}
		if err := file.edit(func(f *auth.File) error { return f.Add(auth.Entry{Name: name, Certificate: name}) }); err != nil {
			t.Fatal(err)
		}
	}
	edit("a")
	if err := os.Chown(path, 65532, 65533); err != nil {
		t.Fatal(err)
	}
	edit("b")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if is := info.Sys().(*syscall.Stat_t); is.Uid != 65532 || is.Gid != 65533 || info.Mode() != 0o600 {
		t.Errorf("it belongs to %d:%d, with mode %v", is.Uid, is.Gid, info.Mode())
	}
}

// A server that follows the file itself must see what is done by way of a link.
func TestAnEditFollowsALink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "auth.json"), filepath.Join(dir, "link.json")
	if err := os.WriteFile(path, new(auth.File).Text(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("auth.json", link); err != nil {
		t.Fatal(err)
	}
	file := authFile{AuthFile: nonEmpty(link)}
	if err := file.edit(func(f *auth.File) error { return f.Add(auth.Entry{Name: "a", Certificate: "a"}) }); err != nil {
		t.Fatal(err)
	}
	if file, err := readAuthFile(path); err != nil || len(file.Entries) != 1 {
		t.Errorf("%v, %v", file, err)
	}
}
