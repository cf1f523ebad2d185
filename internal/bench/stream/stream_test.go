// Package stream measures the service beside others, as a user would meet them:
// server and clients are processes of their own, over loopback. It has no code
// of the product, so that the product depends on nothing that is only
// measured against.
package stream

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/redistest"
)

// Lock+unlock pairs through the Go client, against go-redis with SET NX PX and
// a script that compares and deletes. Each goroutine has a key of its own.
// Both are measured by turns, so that the ratio is that of one run:
//
//	go test -run '^$' -bench Stream -benchtime 200000x -count 3 ./internal/bench/stream
//
// ns/op is one pair of Holdfast; redis-ratio is how many of its pairs go into
// the time of one of go-redis, echo-ratio of one that only sends frames of the
// same size to a TCP echo and reads them again. cpu-ratio is the same in
// processor time, of servers and clients, and so less at the mercy of whatever
// else the machine does.
func BenchmarkStream(b *testing.B) {
	for _, goroutines := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprintf("shared-%d", goroutines), func(b *testing.B) {
			url, pid := startServer(b, "-N")
			shared := connect(b, url)
			server := redistest.Start(b)
			ours := make([]pair, goroutines)
			theirs := make([]pair, goroutines)
			redis := connectRedis(b, server.Addr(), goroutines)
			for i := range ours {
				ours[i] = ourPair(shared, i)
				theirs[i] = redisPair(redis, i)
			}
			compare(b, &way{pairs: ours, server: pid}, &way{name: "redis-", pairs: theirs, server: server.PID()})
		})
	}
	b.Run("connections-64", func(b *testing.B) {
		const goroutines = 64
		url, pid := startServer(b, "-N")
		server := redistest.Start(b)
		echo, echoPID := startEcho(b)
		ours := make([]pair, goroutines)
		theirs := make([]pair, goroutines)
		echoes := make([]pair, goroutines)
		redis := connectRedis(b, server.Addr(), goroutines)
		for i := range ours {
			ours[i] = ourPair(connect(b, url), i)
			theirs[i] = redisPair(redis, i)
			echoes[i] = echoPair(b, echo)
		}
		compare(b, &way{pairs: ours, server: pid},
			&way{name: "redis-", pairs: theirs, server: server.PID()},
			&way{name: "echo-", pairs: echoes, server: echoPID})
	})
}

// pair makes one lock and its unlock.
type pair func() error

// way is one of those that are compared: a pair for each goroutine, and the
// process that serves them.
type way struct {
	name   string
	pairs  []pair
	server int

	time, cpu time.Duration
}

// compare makes b.N pairs in each way, by turns. The first way is that of
// Holdfast.
func compare(b *testing.B, ways ...*way) {
	ours := ways[0]
	turn := max(2560, len(ours.pairs)*20)
	for _, way := range ways {
		way.run(b, turn)
		way.time, way.cpu = 0, 0
	}
	b.ResetTimer()
	for left := b.N; left > 0; left -= turn {
		for _, way := range ways {
			if way != ours {
				b.StopTimer()
			}
			way.run(b, min(turn, left))
			b.StartTimer()
		}
	}
	for _, way := range ways {
		b.ReportMetric(float64(b.N)/way.time.Seconds(), way.name+"pairs/s")
		b.ReportMetric(float64(way.cpu.Nanoseconds())/float64(b.N), way.name+"cpu-ns")
		if way != ours {
			b.ReportMetric(way.time.Seconds()/ours.time.Seconds(), way.name+"ratio")
			b.ReportMetric(way.cpu.Seconds()/ours.cpu.Seconds(), way.name+"cpu-ratio")
		}
	}
}

func (w *way) run(b *testing.B, n int) {
	used := w.used(b)
	w.time += run(b, w.pairs, n)
	w.cpu += w.used(b) - used
}

// used is the processor time of this process and that of the server. What is
// known of the other one is in hundredths of a second.
func (w *way) used(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	used := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.server))
	if err != nil {
		return used // there is no /proc
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	for _, ticks := range fields[11:13] {
		n, _ := strconv.Atoi(ticks)
		used += time.Duration(n) * 10 * time.Millisecond
	}
	return used
}

// run makes n pairs, shared among goroutines.
func run(b *testing.B, pairs []pair, n int) time.Duration {
	var all sync.WaitGroup
	began := time.Now()
	for i, pair := range pairs {
		share := n / len(pairs)
		if i < n%len(pairs) {
			share++
		}
		all.Go(func() {
			for range share {
				if err := pair(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

func ourPair(c *client.Client, i int) pair {
	ctx := context.Background()
	uid, keys := fmt.Sprintf("worker-%d", i), holdfast.Keys(fmt.Sprintf("orders/%d", i))
	return func() error {
		grant, err := c.Lock(ctx, holdfast.LockRequest{UID: uid, Keys: keys, Exp: 30 * time.Second})
		if err != nil {
			return err
		}
		released, err := c.Unlock(ctx, holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens})
		if err == nil && len(released) != 1 {
			err = fmt.Errorf("%s released %v", uid, released)
		}
		return err
	}
}

var compareAndDelete = redis.NewScript(`if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end`)

func redisPair(c *redis.Client, i int) pair {
	ctx := context.Background()
	uid, keys := fmt.Sprintf("worker-%d", i), []string{fmt.Sprintf("orders/%d", i)}
	return func() error {
		locked, err := c.SetNX(ctx, keys[0], uid, 30*time.Second).Result()
		if err == nil && !locked {
			err = fmt.Errorf("%s is locked", keys[0])
		}
		if err != nil {
			return err
		}
		deleted, err := compareAndDelete.Run(ctx, c, keys, uid).Int()
		if err == nil && deleted != 1 {
			err = fmt.Errorf("%s was not deleted", keys[0])
		}
		return err
	}
}

func connectRedis(b *testing.B, address string, conns int) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: address, PoolSize: conns, MinIdleConns: conns})
	b.Cleanup(func() { c.Close() })
	return c
}

func connect(b *testing.B, url string) *client.Client {
	c, err := client.New(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// The sizes of the frames with which a pair is asked for.
const (
	lockFrame   = 6 + len(`{"id":1000000,"op":"lock","uid":"worker-64","keys":"orders/64","exp":30000}`)
	unlockFrame = 6 + len(`{"id":1000001,"op":"unlock","uid":"worker-64","tokens":[{"key":"orders/64","version":1795405283000000}]}`)
)

func echoPair(b *testing.B, address string) pair {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	frame := make([]byte, unlockFrame)
	return func() error {
		for _, size := range []int{lockFrame, unlockFrame} {
			if _, err := conn.Write(frame[:size]); err != nil {
				return err
			}
			if _, err := io.ReadFull(conn, frame[:size]); err != nil {
				return err
			}
		}
		return nil
	}
}

const echoMode = "HOLDFAST_BENCH_ECHO"

// TestMain lets the test program be the echo server, as a process of its own, and
// removes what was built for the others.
func TestMain(m *testing.M) {
	if os.Getenv(echoMode) == "" {
		code := m.Run()
		os.RemoveAll(built)
		os.Exit(code)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer conn.Close()
			buffer := make([]byte, 4<<10)
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					return
				}
				if _, err := conn.Write(buffer[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func startEcho(b *testing.B) (address string, pid int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), echoMode+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	start(b, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid
}

// built is the directory of what build has made.
var built string

var build = sync.OnceValues(func() (string, error) {
	var err error
	if built, err = os.MkdirTemp("", "holdfast-bench"); err != nil {
		return "", err
	}
	binary := filepath.Join(built, "holdfast")
	cmd := exec.Command("go", "build", "-o", binary, "holdfast/cmd/holdfast")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

// startServer starts `holdfast serve`, and gives its URL and process.
func startServer(b *testing.B, args ...string) (url string, pid int) {
	binary, err := build()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(binary, append([]string{"serve", "-p", "0", "-H", "127.0.0.1"}, args...)...)
	cmd.Dir = b.TempDir()
	log, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	start(b, cmd)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ URL string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.URL != "" {
			go io.Copy(io.Discard, log)
			return line.URL, cmd.Process.Pid
		}
	}
	b.Fatal("the server does not say where it listens")
	return "", 0
}

func start(b *testing.B, cmd *exec.Cmd) {
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}
