package fence_test

import (
	"bytes"
	"cmp"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// postgres is the one PostgreSQL server of these tests. The first test that
// needs it starts it; each test has a database of its own in it.
var postgres struct {
	once      sync.Once
	err       error
	dir       string // its data, and the socket that it listens on; it has no port
	process   *exec.Cmd
	exited    chan struct{}
	databases int
}

func TestMain(m *testing.M) {
	status := m.Run()
	stopPostgres()
	os.Exit(status)
}

// openPostgres gives an empty database of a real PostgreSQL.
func openPostgres(t *testing.T) *sql.DB {
	t.Helper()
	postgres.once.Do(func() { postgres.err = startPostgres() })
	if postgres.err != nil {
		t.Fatal(postgres.err)
	}
	postgres.databases++
	name := fmt.Sprintf("test%d", postgres.databases)
	run(t, connect(t, "postgres"), "CREATE DATABASE "+name)
	return connect(t, name)
}

func connect(t *testing.T, database string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", address(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func address(database string) string {
	query := url.Values{"host": {postgres.dir}, "user": {"fence"}}
	return "postgres:///" + database + "?" + query.Encode()
}

func ping() error {
	db, err := sql.Open("pgx", address("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Ping()
}

// startPostgres makes a server in a new directory and starts it. PostgreSQL
// refuses to be root, so that root gives it to another user.
func startPostgres() error {
	bin, err := postgresBin()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fence")
	if err != nil {
		return err
	}
	postgres.dir = dir
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() == 0 {
		if attributes.Credential, err = somebodyElse(); err != nil {
			return err
		}
		if err := os.Chown(dir, int(attributes.Credential.Uid), int(attributes.Credential.Gid)); err != nil {
			return err
		}
	}
	data := filepath.Join(dir, "data")
	command := func(name string, args ...string) (*exec.Cmd, *bytes.Buffer) {
		output := new(bytes.Buffer)
		c := exec.Command(filepath.Join(bin, name), args...)
		c.Dir, c.Stdout, c.Stderr = dir, output, output
		c.Env = append(os.Environ(), "LC_ALL=C")
		c.SysProcAttr = attributes
		return c, output
	}
	initdb, output := command("initdb", "-D", data, "-U", "fence", "-A", "trust", "-E", "UTF8", "--no-sync")
	if err := initdb.Run(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, output)
	}
	server, output := command("postgres", "-D", data, "-k", dir, "-h", "", "-c", "fsync=off")
	if err := server.Start(); err != nil {
		return err
	}
	postgres.process, postgres.exited = server, make(chan struct{})
	go func() {
		server.Wait()
		close(postgres.exited)
	}()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := ping()
		if err == nil {
			return nil
		}
		select {
		case <-postgres.exited:
			return fmt.Errorf("postgres ended at once: %s", output)
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("postgres does not answer: %w: %s", err, output)
		}
	}
}

func stopPostgres() {
	if postgres.process != nil {
		postgres.process.Process.Signal(syscall.SIGQUIT)
		<-postgres.exited
	}
	if postgres.dir != "" {
		os.RemoveAll(postgres.dir)
	}
}

// postgresBin finds the newest server that Debian has installed, or the one in
// PATH. Debian keeps the commands of the server out of PATH.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		version := func(initdb string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
			return n
		}
		newest := slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) })
		return filepath.Dir(newest), nil
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		initdb, err = filepath.EvalSymlinks(initdb) // the other commands are beside the real one
		return filepath.Dir(initdb), err
	}
	return "", fmt.Errorf("this test needs PostgreSQL; install it with: apt-get install postgresql")
}

func somebodyElse() (*syscall.Credential, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL may not run as root: %w", err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
