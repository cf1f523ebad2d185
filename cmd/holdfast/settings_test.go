package main

import (
	"crypto/tls"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	required = clientAuth(tls.RequireAndVerifyClientCert)
	optional = clientAuth(tls.VerifyClientCertIfGiven)
)

// parsed is what the command line args, the environment and the text of .env
// make of `holdfast serve`.
func parsed(t *testing.T, args []string, environment map[string]string, dotenv string) (serveCommand, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), dotenvFile)
	if dotenv != "" {
		if err := os.WriteFile(path, []byte(dotenv), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var cli commands
	parser, err := newParser(&cli, newSettings(func(name string) string { return environment[name] }, path))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return cli.Serve, err
}

// TestPrecedence goes, for each setting, from the default to the flag, adding
// each time the source that wins over those before.
func TestPrecedence(t *testing.T) {
	second := func(n time.Duration) lifetime { return lifetime(n * time.Second) }
	settings := []struct {
		variable      string
		flags         []string
		get           func(serveCommand) any
		fallback      any    // without any setting
		dotenv        string // three values, as text and as what they become
		environment   string
		flag          string
		inDotenv      any
		inEnvironment any
		inFlag        any
	}{
		{"PORT", []string{"--port", "-p"}, func(c serveCommand) any { return c.Port },
			port(3000), "1", "2", "3", port(1), port(2), port(3)},
		{"HOST", []string{"--host", "-H"}, func(c serveCommand) any { return c.Host },
			host("localhost"), "a", "b", "c", host("a"), host("b"), host("c")},
		{"REDIS_PORT", []string{"--redis-port", "-P"}, func(c serveCommand) any { return c.RedisPort },
			remotePort(0), "1", "2", "3", remotePort(1), remotePort(2), remotePort(3)},
		{"REDIS_HOST", []string{"--redis-host", "-R"}, func(c serveCommand) any { return c.RedisHost },
			host(""), "a", "b", "c", host("a"), host("b"), host("c")},
		{"REDIS_URL", []string{"--redis-url"}, func(c serveCommand) any { return c.RedisURL },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"REDIS_PREFIX", []string{"--redis-prefix"}, func(c serveCommand) any { return c.RedisPrefix },
			keyPrefix(""), "a", "b", strings.Repeat("c", 64), keyPrefix("a"), keyPrefix("b"), keyPrefix(strings.Repeat("c", 64))},
		{"DEFAULT_EXPIRY", []string{"--default-expiry", "-E"}, func(c serveCommand) any { return c.DefaultExpiry },
			second(1), "2000", "3000", "4000", second(2), second(3), second(4)},
		{"BIND_GRACE", []string{"--bind-grace"}, func(c serveCommand) any { return c.BindGrace },
			grace(5 * time.Second), "2s", "3s", "4s", grace(2 * time.Second), grace(3 * time.Second), grace(4 * time.Second)},
		{"TLS_CERT", []string{"--tls-cert"}, func(c serveCommand) any { return c.TLSCert },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"TLS_KEY", []string{"--tls-key"}, func(c serveCommand) any { return c.TLSKey },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"TLS_CLIENT_CA", []string{"--tls-client-ca"}, func(c serveCommand) any { return c.TLSClientCA },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"TLS_CLIENT_AUTH", []string{"--tls-client-auth"}, func(c serveCommand) any { return c.TLSClientAuth },
			required, "optional", "required", "optional", optional, required, optional},
		{"AUTH_FILE", []string{"--auth-file"}, func(c serveCommand) any { return c.AuthFile },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"PEER_CERT", []string{"--peer-cert"}, func(c serveCommand) any { return c.PeerCert },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"PEER_KEY", []string{"--peer-key"}, func(c serveCommand) any { return c.PeerKey },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"PEER_CA", []string{"--peer-ca"}, func(c serveCommand) any { return c.PeerCA },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"JOIN_TOKEN", []string{"--join-token"}, func(c serveCommand) any { return c.JoinToken },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"JOIN_CA", []string{"--join-ca"}, func(c serveCommand) any { return c.JoinCA },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"JOIN_CERT", []string{"--join-cert"}, func(c serveCommand) any { return c.JoinCert },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"JOIN_KEY", []string{"--join-key"}, func(c serveCommand) any { return c.JoinKey },
			nonEmpty(""), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"MAX_HOLDS", []string{"--max-holds"}, func(c serveCommand) any { return c.MaxHolds },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_HOLDS_PER_UID", []string{"--max-holds-per-uid"}, func(c serveCommand) any { return c.MaxHoldsPerUID },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_WAITERS_PER_UID", []string{"--max-waiters-per-uid"}, func(c serveCommand) any { return c.MaxWaitersPerUID },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_WAITERS_PER_KEY", []string{"--max-waiters-per-key"}, func(c serveCommand) any { return c.MaxWaitersPerKey },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_BODY", []string{"--max-body"}, func(c serveCommand) any { return c.MaxBody },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_KEYS", []string{"--max-keys"}, func(c serveCommand) any { return c.MaxKeys },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_KEY_LENGTH", []string{"--max-key-length"}, func(c serveCommand) any { return c.MaxKeyLength },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_HEADER", []string{"--max-header"}, func(c serveCommand) any { return c.MaxHeader },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_CONNECTIONS", []string{"--max-connections"}, func(c serveCommand) any { return c.MaxConnections },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_CONNECTIONS_PER_ADDRESS", []string{"--max-connections-per-address"}, func(c serveCommand) any { return c.MaxConnectionsPerAddress },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_STREAMS_PER_ADDRESS", []string{"--max-streams-per-address"}, func(c serveCommand) any { return c.MaxStreamsPerAddress },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_STREAM_RATE", []string{"--max-stream-rate"}, func(c serveCommand) any { return c.MaxStreamRate },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"MAX_UNDER_WAY", []string{"--max-under-way"}, func(c serveCommand) any { return c.MaxUnderWay },
			count(0), "1", "2", "3", count(1), count(2), count(3)},
		{"DATA_DIR", []string{"--data-dir"}, func(c serveCommand) any { return c.DataDir },
			nonEmpty("holdfast-data"), "a", "b", "c", nonEmpty("a"), nonEmpty("b"), nonEmpty("c")},
		{"LOG_LEVEL", []string{"--log-level"}, func(c serveCommand) any { return c.LogLevel },
			logLevel(slog.LevelInfo), "debug", "warn", "error", logLevel(slog.LevelDebug), logLevel(slog.LevelWarn), logLevel(slog.LevelError)},
		{"LOG_FORMAT", []string{"--log-format"}, func(c serveCommand) any { return c.LogFormat },
			logFormat(""), "text", "json", "text", textLog, jsonLog, textLog},
	}
	type row struct {
		name        string
		args        []string
		environment map[string]string
		dotenv      string
		want        any
	}
	for _, s := range settings {
		inDotenv := s.variable + "=" + s.dotenv + "\n"
		emptyDotenv := s.variable + "=\n"
		empty := map[string]string{s.variable: ""}
		set := map[string]string{s.variable: s.environment}
		rows := []row{
			{"default", nil, nil, "", s.fallback},
			{"empty in both", nil, empty, emptyDotenv, s.fallback},
			{".env", nil, nil, inDotenv, s.inDotenv},
			{"empty in the environment, set in .env", nil, empty, inDotenv, s.inDotenv},
			{"environment", nil, set, "", s.inEnvironment},
			{"environment over .env", nil, set, inDotenv, s.inEnvironment},
		}
		for _, flag := range s.flags {
			rows = append(rows, row{flag + " over all", []string{flag, s.flag}, set, inDotenv, s.inFlag})
		}
		for _, row := range rows {
			t.Run(s.variable+" "+row.name, func(t *testing.T) {
				command, err := parsed(t, row.args, row.environment, row.dotenv)
				if err != nil {
					t.Fatal(err)
				}
				if got := s.get(command); got != row.want {
					t.Errorf("got %v, want %v", got, row.want)
				}
			})
		}
	}
}

// TestWrongValueHiddenByAFlag proves that only the value that counts is
// looked at.
func TestWrongValueHiddenByAFlag(t *testing.T) {
	command, err := parsed(t, []string{"-p", "1"}, map[string]string{"PORT": "abc", "HOST": "a"}, "PORT=abc\nHOST=http://b\n")
	if err != nil || command.Port != 1 || command.Host != "a" {
		t.Errorf("got %+v, %v", command, err)
	}
}

func TestWrongValues(t *testing.T) {
	const (
		anyPort   = "must be a whole number from 0 to 65535, not "
		realPort  = "must be a whole number from 1 to 65535, not "
		expiry    = "must be a whole number of milliseconds from 1 to 86400000, not "
		bindGrace = "must be a duration from 1ms to 24h, such as 5s, not "
		hostOnly  = "must be one name or address, without a port, not "
	)
	for _, row := range []struct{ flag, variable, value, want string }{
		{"--port", "PORT", "abc", anyPort + `"abc"`},
		{"--port", "PORT", "-1", anyPort + `"-1"`},
		{"--port", "PORT", "70000", anyPort + `"70000"`},
		{"--port", "PORT", "3e3", anyPort + `"3e3"`},
		{"--port", "PORT", "3000 ", anyPort + `"3000 "`},
		{"--redis-port", "REDIS_PORT", "0", realPort + `"0"`},
		{"--redis-port", "REDIS_PORT", "65536", realPort + `"65536"`},
		{"--default-expiry", "DEFAULT_EXPIRY", "0", expiry + `"0"`},
		{"--default-expiry", "DEFAULT_EXPIRY", "-5", expiry + `"-5"`},
		{"--default-expiry", "DEFAULT_EXPIRY", "1s", expiry + `"1s"`},
		{"--default-expiry", "DEFAULT_EXPIRY", "0.5", expiry + `"0.5"`},
		{"--default-expiry", "DEFAULT_EXPIRY", "86400001", expiry + `"86400001"`},
		{"--default-expiry", "DEFAULT_EXPIRY", "99999999999999999999", expiry + `"99999999999999999999"`},
		{"--bind-grace", "BIND_GRACE", "999us", bindGrace + `"999us"`},
		{"--bind-grace", "BIND_GRACE", "24h1ms", bindGrace + `"24h1ms"`},
		{"--bind-grace", "BIND_GRACE", "5000", bindGrace + `"5000"`},
		{"--host", "HOST", "localhost:3000", hostOnly + `"localhost:3000"`},
		{"--host", "HOST", "http://localhost", hostOnly + `"http://localhost"`},
		{"--redis-host", "REDIS_HOST", "redis://:secret@h", "must be one name or address, without a port, a user or a password"},
		{"--redis-host", "REDIS_HOST", "[::1]:6379", hostOnly + `"[::1]:6379"`},
		{"--redis-prefix", "REDIS_PREFIX", "a{b", `must be 1 to 64 bytes, and no braces, not "a{b"`},
		{"--redis-prefix", "REDIS_PREFIX", strings.Repeat("c", 65), `must be 1 to 64 bytes, and no braces, not "` + strings.Repeat("c", 65) + `"`},
		{"--log-level", "LOG_LEVEL", "loud", `must be debug, info, warn or error, not "loud"`},
		{"--log-level", "LOG_LEVEL", "INFO+1", `must be debug, info, warn or error, not "INFO+1"`},
		{"--log-format", "LOG_FORMAT", "xml", `must be text or json, not "xml"`},
	} {
		t.Run(row.variable+"="+row.value, func(t *testing.T) {
			check := func(source string, err error, want string) {
				t.Helper()
				if err == nil || err.Error() != want {
					t.Errorf("%s: got %v\nwant %s", source, err, want)
				} else if status(err) != statusUsage {
					t.Errorf("%s: status %d", source, status(err))
				}
			}
			_, err := parsed(t, []string{row.flag + "=" + row.value}, nil, "")
			check("flag", err, row.flag+": "+row.want)
			_, err = parsed(t, nil, map[string]string{row.variable: row.value}, "")
			check("environment", err, row.flag+": "+row.variable+" in the environment: "+row.want)
			_, err = parsed(t, nil, nil, row.variable+"='"+row.value+"'\n")
			check(".env", err, row.flag+": "+row.variable+" in .env: "+row.want)
		})
	}
}

// A setting that is on or off may come from a variable, too.
func TestAccessLogSetting(t *testing.T) {
	for value, want := range map[string]bool{"": false, "true": true, "1": true, "false": false} {
		command, err := parsed(t, nil, map[string]string{"ACCESS_LOG": value}, "")
		if err != nil || command.AccessLog != want {
			t.Errorf("ACCESS_LOG=%s: got %v, %v", value, command.AccessLog, err)
		}
	}
	if _, err := parsed(t, nil, map[string]string{"ACCESS_LOG": "perhaps"}, ""); status(err) != statusUsage {
		t.Errorf("ACCESS_LOG=perhaps: got %v", err)
	}
	command, err := parsed(t, []string{"--access-log=false"}, map[string]string{"ACCESS_LOG": "true"}, "")
	if err != nil || command.AccessLog {
		t.Errorf("--access-log=false: got %v, %v", command.AccessLog, err)
	}
}

func TestEmptyFlags(t *testing.T) {
	for _, flag := range []string{"--host", "--redis-host", "--redis-url", "--data-dir"} {
		if _, err := parsed(t, []string{flag + "="}, nil, ""); err == nil || err.Error() != flag+": must not be empty" {
			t.Errorf("%s: got %v", flag, err)
		}
	}
}

func TestHosts(t *testing.T) {
	for value, want := range map[string]host{
		"localhost": "localhost", "10.0.0.1": "10.0.0.1", "::1": "::1", "[::1]": "::1", "fe80::1%eth0": "fe80::1%eth0", "0.0.0.0": "0.0.0.0",
	} {
		command, err := parsed(t, []string{"-H", value}, nil, "")
		if err != nil || command.Host != want {
			t.Errorf("%s: got %q, %v", value, command.Host, err)
		}
	}
}

func TestDotenvForms(t *testing.T) {
	command, err := parsed(t, nil, nil, strings.Join([]string{
		"# a comment",
		"",
		"export PORT=1 # another",
		`HOST="a"`,
		"OTHER=is for somebody else",
		"REDIS_URL='redis://u:p$#w@h/0'",
		"DATA_DIR = d",
	}, "\r\n"))
	if err != nil || command.Port != 1 || command.Host != "a" || command.RedisURL != "redis://u:p$#w@h/0" || command.DataDir != "d" {
		t.Errorf("got %+v, %v", command, err)
	}
}

// Some editors put a mark in front of the text that nobody sees.
func TestDotenvWithAMark(t *testing.T) {
	if command, err := parsed(t, nil, nil, "\ufeffPORT=1\r\n"); err != nil || command.Port != 1 {
		t.Errorf("got %+v, %v", command, err)
	}
}

// TestBadDotenv proves that the message names the line and shows nothing of
// the file.
func TestBadDotenv(t *testing.T) {
	const secret = "hunter2"
	for _, row := range []struct {
		name, text string
		line       string
	}{
		{"no value, at the end", "PORT=1\n" + secret, "line 2"},
		{"no value, at the end, newline", "PORT=1\n" + secret + "\n", "line 2"},
		{"no value, amid others", "PORT=1\n\n# x\n" + secret + "\nHOST=a\n", "line 4"},
		{"blank for an equals sign", "PORT=1\nPASSWORD " + secret + "\nHOST=a", "line 2"},
		{"blank in the name", "PASS WORD=" + secret, "line 1"},
		{"no name", "=" + secret, "line 1"},
		{"odd name", "PORT=1\nPASS-WORD=" + secret + "\n", "line 2"},
		{"quote not closed", "PORT=1\nA='b\nc'\nPASSWORD='" + secret + "\nHOST=a\n", "line 4"},
		{"text behind a quote", "PORT=1\nPASSWORD='a'" + secret + "\nHOST=a\n", "line 2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := parsed(t, nil, nil, row.text)
			if err == nil {
				t.Fatal("no error")
			}
			err = refused(err)
			if !strings.HasSuffix(err.Error(), ".env, "+row.line+": not of the form NAME=value") || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v", err)
			}
			if status(err) != statusUsage {
				t.Errorf("status %d", status(err))
			}
		})
	}
}

// TestExampleDotenv proves that .env.example names every variable, shows the
// defaults, and can be used as it is.
func TestExampleDotenv(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	if values, err := parseDotenv(string(text)); err != nil || len(values) != 0 {
		t.Errorf("as it is, got %v, %v", values, err)
	}
	var used strings.Builder
	for line := range strings.Lines(string(text)) {
		if uncommented, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(uncommented, " ") {
			line = uncommented
		}
		used.WriteString(line)
	}
	command, err := parsed(t, nil, nil, used.String())
	if err != nil {
		t.Fatal(err)
	}
	want := serveCommand{
		Port: 3000, Host: "localhost", DefaultExpiry: lifetime(time.Second), BindGrace: grace(5 * time.Second), DataDir: "holdfast-data",
		RedisHost: "localhost", RedisPort: 6379, RedisURL: "redis://user:password@localhost:6379/0", RedisPrefix: "holdfast",
		KeepPlaces: 5 * time.Second,
		nodeSettings: nodeSettings{
			NodeID: "a", PeerAddr: "10.0.0.7:7000", PeerListen: "0.0.0.0:7000",
			Join: "http://10.0.0.8:3000", Advertise: "http://10.0.0.7:3000", ElectionTimeout: 500 * time.Millisecond,
		},
		limitSettings: limitSettings{
			MaxHolds: 1000000, MaxHoldsPerUID: 1000, MaxWaitersPerUID: 1000, MaxWaitersPerKey: 1000,
			MaxBody: 1048576, MaxKeys: 256, MaxKeyLength: 512, MaxHeader: 65536, HeaderTimeout: 10 * time.Second, RequestTimeout: 10 * time.Second,
			MaxConnections: 10000, MaxConnectionsPerAddress: 1000, MaxStreamsPerAddress: 100, MaxStreamRate: 10000, MaxUnderWay: 10000,
		},
		peerSettings: peerSettings{
			PeerCert: "n1.pem", PeerKey: "n1-key.pem", PeerCA: "peer-ca.pem",
			JoinToken: "hf_0123456789", JoinCA: "ca.pem", JoinCert: "client.pem", JoinKey: "client-key.pem",
		},
		accessSettings: accessSettings{
			TLSCert: "server.pem", TLSKey: "server-key.pem", TLSClientCA: "ca.pem", TLSClientAuth: required, AuthFile: "auth.json",
		},
		logging: logging{LogFormat: jsonLog, AccessLog: true},
	}
	if command != want {
		t.Errorf("got  %+v\nwant %+v", command, want)
	}

	parser, err := newParser(&commands{}, newSettings(os.Getenv, dotenvFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			if name := flag.Tag.Get(variableTag); name != "" && !strings.Contains(string(text), "\n#"+name+"=") {
				t.Errorf("%s is missing", name)
			}
		}
	}
}

// TestDotenvIsReadOnlyWhereItCounts proves that a broken .env does not keep
// anybody from help or the version.
func TestDotenvIsReadOnlyWhereItCounts(t *testing.T) {
	dir := t.TempDir()
	for _, args := range []string{"version", "serve"} {
		parser, err := newParser(&commands{}, newSettings(func(string) string { return "" }, dir))
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse([]string{args})
		if failed := err != nil; failed != (args == "serve") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestUnreadableDotenv(t *testing.T) {
	_, err := readDotenv(t.TempDir())
	if err == nil || !strings.HasSuffix(err.Error(), " cannot be read: is a directory") {
		t.Errorf("got %v", err)
	}
	if values, err := readDotenv(filepath.Join(t.TempDir(), "none")); values != nil || err != nil {
		t.Errorf("got %v, %v", values, err)
	}
	if os.Geteuid() == 0 {
		return // may read everything
	}
	path := filepath.Join(t.TempDir(), dotenvFile)
	if err := os.WriteFile(path, nil, fs.FileMode(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := readDotenv(path); err == nil || !strings.HasSuffix(err.Error(), " cannot be read: permission denied") {
		t.Errorf("got %v", err)
	}
}
