package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// wallClock is the environment variable that names the file with the seconds
// by which a process's wall clock is off.
const wallClock = "HOLDFAST_PROOF_WALL_CLOCK"

// Build builds the program into dir with a wall clock that can be set, and
// gives its name. All else in it is as in the real one.
func Build(dir string) (string, error) {
	root, err := output("go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	const reading = "sec, nsec, mono := runtimeNow()\n"
	now := strings.Index(string(text), "\nfunc Now() Time {\n")
	at := strings.Index(string(text)[max(now, 0):], reading)
	if now < 0 || at < 0 || at > 200 {
		return "", fmt.Errorf("time.Now in %s is not as this expects; look how it reads the clock now", source)
	}
	at += now + len(reading)
	changed := string(text[:at]) + "\tsec += wallShift.Load()\n" + string(text[at:])
	// Always in the same place, or else go would build everything anew each time.
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "holdfast-proof")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range map[string]string{"time.go": changed, "wallshift.go": shift} {
		file := filepath.Join(cache, name+".txt") // not to be taken for a package
		if err := replace(file, text); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(root, "src", "time", name)] = file
	}
	encoded, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, encoded, 0o644); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "holdfast")
	build := exec.Command("go", "build", "-overlay", list, "-o", program, "holdfast/cmd/holdfast")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the program cannot be built: %w: %s", err, said)
	}
	return program, nil
}

// replace sees to it that a file has this text, at once if others read it.
func replace(name, text string) error {
	if before, err := os.ReadFile(name); err == nil && string(before) == text {
		return nil
	}
	next, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name))
	if err != nil {
		return err
	}
	_, err = next.WriteString(text)
	return errors.Join(err, next.Close(), os.Rename(next.Name(), name))
}

func output(command ...string) (string, error) {
	said, err := exec.Command(command[0], command[1:]...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(command, " "), err)
	}
	return strings.TrimSpace(string(said)), nil
}

// shift is what is added to package time.
const shift = `package time

import (
	"sync/atomic"
	"syscall"
)

var wallShift atomic.Int64 // s

func init() {
	name, ok := syscall.Getenv("` + wallClock + `")
	if !ok {
		return
	}
	readWallShift(name)
	go func() {
		for {
			Sleep(10 * Millisecond)
			readWallShift(name)
		}
	}()
}

func readWallShift(name string) {
	file, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(file)
	var text [32]byte
	n, err := syscall.Read(file, text[:])
	if err != nil {
		return
	}
	sign, seconds := int64(1), int64(0)
	for _, c := range text[:n] {
		switch {
		case c == '-':
			sign = -1
		case '0' <= c && c <= '9':
			seconds = 10*seconds + int64(c-'0')
		}
	}
	wallShift.Store(sign * seconds)
}
`
