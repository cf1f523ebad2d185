package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/memory"
)

// The path of a request through HTTP, against a bare net/http server that
// only decodes the same JSON with encoding/json and answers the same bytes.
// Both are served to 64 clients over loopback, each with a connection and a
// key of its own, by turns, so that the ratio is that of one run:
//
//	go test -run '^$' -bench Pairs -benchtime 100000x -count 8 ./internal/api
//
// With memory it is the whole service; with no store, every request granted
// at once, it is what stands in this package and in internal/wire.
//
// ns/op is one lock+unlock pair of Holdfast; ratio is how many of its pairs
// go into the time of one of the bare server's (more is better). cpu-ratio is
// the same in processor time, clients included, and so less at the mercy of
// whatever else the machine does.
func BenchmarkPairs(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		store := memory.New()
		defer store.Close()
		benchPairs(b, store)
	})
	b.Run("no store", func(b *testing.B) { benchPairs(b, generous{}) })
}

// generous is a service that grants and releases whatever it is asked for.
type generous struct{ holdfast.Service }

func (generous) Lock(_ context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	return holdfast.Grant{Tokens: []holdfast.Token{{Key: req.Keys[0].Key, Version: 1_700_000_000_000_000}}, Exp: req.Exp}, nil
}

func (generous) Unlock(_ context.Context, req holdfast.UnlockRequest) ([]string, error) {
	return []string{req.Tokens[0].Key}, nil
}

func benchPairs(b *testing.B, service holdfast.Service) {
	ours := startBench(b, New(service, Options{}))
	bare := startBareBench(b)

	const turn = 640 // pairs before the other's turn
	var ourTime, bareTime, ourCPU, bareCPU time.Duration
	ours.pairs(b, turn)
	bare.pairs(b, turn)
	b.ResetTimer()
	for left := b.N; left > 0; left -= turn {
		pairs := min(turn, left)
		start := processorTime(b)
		ourTime += ours.pairs(b, pairs)
		b.StopTimer()
		middle := processorTime(b)
		bareTime += bare.pairs(b, pairs)
		ourCPU += middle - start
		bareCPU += processorTime(b) - middle
		b.StartTimer()
	}
	b.ReportMetric(bareTime.Seconds()/ourTime.Seconds(), "ratio")
	b.ReportMetric(bareCPU.Seconds()/ourCPU.Seconds(), "cpu-ratio")
	b.ReportMetric(float64(b.N)/ourTime.Seconds(), "pairs/s")
	b.ReportMetric(float64(b.N)/bareTime.Seconds(), "bare-pairs/s")
}

// processorTime is what the process has used of the processors.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

const benchClients = 64

// benchServer is a running server and its clients.
type benchServer struct {
	clients []*benchClient
}

// benchClient speaks as little HTTP as it can, so that the time is that of
// the server.
type benchClient struct {
	conn    net.Conn
	reader  *bufio.Reader
	uid     string
	key     string
	request []byte
	body    []byte
}

func startBench(b *testing.B, handler *Handler) *benchServer {
	server := NewServer(handler)
	listener := listen(b)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	b.Cleanup(func() {
		if err := server.Shutdown(b.Context()); err != nil {
			server.http.Close()
		}
		<-done
	})
	return dialBench(b, listener)
}

// startBareBench starts what Holdfast is measured against. It has no routes
// beyond two paths, no timeouts, no limits and no locks.
func startBareBench(b *testing.B) *benchServer {
	type token struct {
		Key     string `json:"key"`
		Version uint64 `json:"version"`
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/lock":
			var body struct {
				UID  string `json:"uid"`
				Keys string `json:"keys"`
				Exp  int    `json:"exp"`
			}
			if json.NewDecoder(r.Body).Decode(&body) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"tokens":[{"key":"%s","version":%d}],"exp":%d}`+"\n", body.Keys, uint64(1_700_000_000_000_000), body.Exp)
		case "/unlock":
			var body struct {
				UID    string  `json:"uid"`
				Tokens []token `json:"tokens"`
			}
			if json.NewDecoder(r.Body).Decode(&body) != nil || len(body.Tokens) == 0 {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"unlocked":["`+body.Tokens[0].Key+"\"]}\n")
		}
	})}
	listener := listen(b)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	b.Cleanup(func() {
		server.Close()
		<-done
	})
	return dialBench(b, listener)
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return listener
}

func dialBench(b *testing.B, listener net.Listener) *benchServer {
	s := &benchServer{}
	for i := range benchClients {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		s.clients = append(s.clients, &benchClient{
			conn:   conn,
			reader: bufio.NewReader(conn),
			uid:    fmt.Sprintf("worker-%d", i),
			key:    fmt.Sprintf("orders/%d", i),
		})
	}
	return s
}

// pairs makes n lock+unlock pairs, shared among the clients, and gives the
// time that they took together.
func (s *benchServer) pairs(b *testing.B, n int) time.Duration {
	var all sync.WaitGroup
	start := time.Now()
	for i, c := range s.clients {
		share := n / benchClients
		if i < n%benchClients {
			share++
		}
		all.Go(func() {
			for range share {
				if err := c.pair(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

func (c *benchClient) pair() error {
	c.body = fmt.Appendf(c.body[:0], `{"uid":"%s","keys":"%s","exp":30000}`, c.uid, c.key)
	answer, err := c.post("/lock")
	if err != nil {
		return err
	}
	_, after, _ := bytes.Cut(answer, []byte(`"version":`))
	version, _, ok := bytes.Cut(after, []byte(`}`))
	if !ok {
		return fmt.Errorf("no version in %s", answer)
	}
	c.body = fmt.Appendf(c.body[:0], `{"uid":"%s","tokens":[{"key":"%s","version":%s}]}`, c.uid, c.key, version)
	answer, err = c.post("/unlock")
	if err != nil {
		return err
	}
	if !bytes.Contains(answer, []byte(c.key)) {
		return fmt.Errorf("not unlocked: %s", answer)
	}
	return nil
}

func (c *benchClient) post(path string) ([]byte, error) {
	c.request = append(c.request[:0], "POST "...)
	c.request = append(c.request, path...)
	c.request = append(c.request, " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "...)
	c.request = strconv.AppendInt(c.request, int64(len(c.body)), 10)
	c.request = append(append(c.request, "\r\n\r\n"...), c.body...)
	if _, err := c.conn.Write(c.request); err != nil {
		return nil, err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if first && string(line) != "HTTP/1.1 200 OK\r\n" {
			return nil, fmt.Errorf("answered %s", line)
		}
		if digits, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(digits))); err != nil {
				return nil, err
			}
		}
		if len(line) == 2 {
			break
		}
	}
	if length < 0 {
		return nil, fmt.Errorf("no Content-Length")
	}
	c.body = append(c.body[:0], make([]byte, length)...)
	_, err := io.ReadFull(c.reader, c.body)
	return c.body, err
}
