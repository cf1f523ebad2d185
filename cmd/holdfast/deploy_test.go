package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/memory"
)

// What stands in deploy/ is held against the program: its commands, flags and
// variables, its ports and paths.

func deployed(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "deploy"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// understood is what the program makes of a command line and an environment,
// every variable of which must be one of its own.
func understood(t *testing.T, args []string, environment map[string]string) commands {
	t.Helper()
	var cli commands
	parser, err := newParser(&cli, newSettings(func(name string) string { return environment[name] }, filepath.Join(t.TempDir(), "none")))
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			known = append(known, flag.Tag.Get(variableTag))
		}
	}
	for name := range environment {
		if !slices.Contains(known, name) {
			t.Errorf("there is no variable %s", name)
		}
	}
	if _, err := parser.Parse(args); err != nil {
		t.Errorf("holdfast %s: %v", strings.Join(args, " "), err)
	}
	return cli
}

// answersProbe checks that the path of a probe is one that a server answers.
func answersProbe(t *testing.T, path string) {
	t.Helper()
	store := memory.New()
	defer store.Close()
	w := httptest.NewRecorder()
	api.New(store, api.Options{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		t.Errorf("%s is answered with %d", path, w.Code)
	}
}

// image is what the last stage of the Dockerfile says.
type image struct {
	from                     []string // of all stages
	user, entrypoint, health string
	cmd                      []string
	env                      map[string]string
	expose                   []string
	copied                   []string // destinations
	run                      string   // of all stages
	volume                   string
}

func readDockerfile(t *testing.T) image {
	t.Helper()
	i := image{}
	text := strings.ReplaceAll(deployed(t, "Dockerfile"), "\\\n", " ")
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "", "#":
		case "FROM":
			i = image{from: append(i.from, strings.Fields(rest)[0]), env: map[string]string{}, run: i.run}
		case "USER":
			i.user = rest
		case "ENTRYPOINT":
			i.entrypoint = execForm(t, rest)[0]
		case "CMD":
			i.cmd = execForm(t, rest)
		case "HEALTHCHECK":
			i.health = rest
		case "EXPOSE":
			i.expose = strings.Fields(rest)
		case "VOLUME":
			i.volume = rest
		case "ENV":
			for _, setting := range strings.Fields(rest) {
				name, value, _ := strings.Cut(setting, "=")
				i.env[name] = value
			}
		case "COPY":
			fields := strings.Fields(rest)
			i.copied = append(i.copied, fields[len(fields)-1])
		case "RUN":
			i.run += rest + "\n"
		case "WORKDIR", "ARG":
		default:
			if !strings.HasPrefix(word, "#") {
				t.Errorf("an instruction that nobody has thought of: %s", line)
			}
		}
	}
	return i
}

// execForm reads a command without a shell: the image has none.
func execForm(t *testing.T, text string) (args []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &args); err != nil || len(args) == 0 {
		t.Fatalf("needs a shell: %s", text)
	}
	return args
}

func TestDockerfile(t *testing.T) {
	i := readDockerfile(t)
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(string(module), "\ngo ")
	minor := strings.Join(strings.Split(strings.Fields(version)[0], ".")[:2], ".")
	if want := []string{"golang:" + minor, "scratch"}; !slices.Equal(i.from, want) {
		t.Errorf("built from %v, not from %v", i.from, want)
	}
	if !strings.Contains(i.run, "CGO_ENABLED=0 go build") || !strings.Contains(i.run, "-X main.version=$VERSION") {
		t.Errorf("not a static binary that knows its version: %s", i.run)
	}
	if uid, _, _ := strings.Cut(i.user, ":"); uid == "0" || !isNumber(uid) {
		t.Errorf("runs as %s: must be a number, which can be seen not to be root", i.user)
	}
	for _, path := range []string{i.entrypoint, i.env["DATA_DIR"]} {
		if !slices.Contains(i.copied, path) {
			t.Errorf("%s is not in the image", path)
		}
	}
	if i.volume != i.env["DATA_DIR"] {
		t.Errorf("the volume is %s, the state in %s", i.volume, i.env["DATA_DIR"])
	}
	serve := understood(t, i.cmd, i.env).Serve
	if want := []string{strconv.Itoa(int(serve.Port)), "7000"}; !slices.Equal(i.expose, want) {
		t.Errorf("exposes %v, not %v", i.expose, want)
	}

	options, command, _ := strings.Cut(i.health, "CMD ")
	args := execForm(t, command)
	if args[0] != i.entrypoint || args[1] != "health" {
		t.Errorf("is asked by %v", args)
	}
	health := understood(t, args[1:], i.env).Health
	if got, want := health.server(), "http://localhost:3000"; got != want {
		t.Errorf("asks %s, not %s", got, want)
	}
	_, timeout, _ := strings.Cut(options, "--timeout=")
	if within, err := time.ParseDuration(strings.Fields(timeout)[0]); err != nil || within <= healthTime {
		t.Errorf("is killed after %v, and asks for %v", within, healthTime)
	}
}

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 31)
	return err == nil
}

func TestSystemdUnit(t *testing.T) {
	text := deployed(t, "holdfast.service")
	unit := map[string][]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			unit[name] = append(unit[name], value)
		}
	}
	args := strings.Fields(unit["ExecStart"][0])
	environment := map[string]string{}
	for _, setting := range unit["Environment"] {
		name, value, _ := strings.Cut(setting, "=")
		environment[name] = value
	}
	serve := understood(t, args[1:], environment).Serve
	if got, want := string(serve.DataDir), "/var/lib/"+unit["StateDirectory"][0]; got != want || unit["WorkingDirectory"][0] != want {
		t.Errorf("the state is in %s, and systemd makes %s", got, want)
	}
	if within, err := strconv.Atoi(unit["TimeoutStopSec"][0]); err != nil || time.Duration(within)*time.Second <= stopTime {
		t.Errorf("is killed after %d s, and stops within %v", within, stopTime)
	}
	for name, want := range map[string]string{
		"Type": "notify", "Restart": "always", "StartLimitIntervalSec": "0", "DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict",
		"ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "CapabilityBoundingSet": "", "MemoryDenyWriteExecute": "yes",
	} {
		if len(unit[name]) != 1 || unit[name][0] != want {
			t.Errorf("%s is %v, not %q", name, unit[name], want)
		}
	}
	if !strings.Contains(unit["RestrictAddressFamilies"][0], "AF_UNIX") {
		t.Error("it could not tell systemd that it is ready")
	}
	if unit["ProcSubset"] != nil {
		t.Error("it could not read in /proc/sys how many connections may wait to be taken, and let no more than 128")
	}

	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("systemd-analyze is not here, so systemd has not been asked")
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "holdfast.service")
	if err := os.WriteFile(path, []byte(strings.Replace(text, "ExecStart="+args[0], "ExecStart="+self, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
