package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast"
)

// abuse makes the tests of abuse as large as they are meant: make abuse.
var abuse = flag.Bool("abuse", false, "abuse the server in full size")

// large is the full size of an abuse, or, without the flag, a small one.
func large(full, small int) int {
	if *abuse {
		return full
	}
	return small
}

// besides lets a bystander lock and unlock a key of its own all the time while
// the server is abused. It fails if the bystander had to wait for long, was
// refused, or if what the abuse has left in memory is more than most bytes. What
// is asked meanwhile is not compared with the OpenAPI document: for large
// bodies that takes far longer than what is measured.
func (s *site) besides(t *testing.T, most int, misuse func()) {
	t.Helper()
	if transport, ok := s.client.Transport.(*checked); ok {
		s.client = &http.Client{Transport: transport.next}
	}
	round := func() { s.unlock("bystander", "bystander's", s.lock("bystander", "bystander's")) }
	round() // what the first one leaves in memory is not of the abuse
	before := inUse()
	ctx, stop := context.WithCancel(t.Context())
	var bystander sync.WaitGroup
	var worst time.Duration
	rounds := 0
	bystander.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			round()
			worst = max(worst, time.Since(began))
			rounds++
		}
	})
	misuse()
	// What lies in pools and buffers, and is there no matter how much the abuse
	// was, is not of it; pools are empty after a second collection.
	const fixed = 8 << 20
	left := max(0, min(inUse(), inUse())-before-fixed)
	stop()
	bystander.Wait()
	t.Logf("bystander: %d rounds, the longest %v; memory: %d KiB of %d more", rounds, worst.Round(time.Millisecond), left>>10, most>>10)
	if worst > 10*time.Second {
		t.Errorf("the bystander had to wait for %v", worst)
	}
	if left > most {
		t.Errorf("%d bytes more are in use; at most %d are fine", left, most)
	}
}

func inUse() int {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapInuse + stats.StackInuse)
}

// openFiles is how many files and connections this process may have open.
func openFiles(t *testing.T) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(min(limit.Cur, 1<<30))
}

func TestIdleAndSlowConnections(t *testing.T) {
	n := large(10_000, 300)
	if most := (openFiles(t) - 200) / 2; n > most { // both ends are in this process
		t.Logf("%d connections instead of %d: no more files may be open", most, n)
		n = most
	}
	for _, test := range []struct {
		name, sent   string
		secure, half bool // over TLS; closed on the side of the client
	}{
		{name: "idle"},
		{name: "half a header", sent: "POST /lock HTTP/1.1\r\nHost: localhost\r\nX-"},
		{name: "half a body", sent: "POST /lock HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n{"},
		{name: "half a handshake", sent: "\x16\x03\x01", secure: true},
		{name: "half open", sent: pingRequest, half: true},
		{name: "kept alive", sent: pingRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := openOver(t, openStore(t), Options{})
			if test.secure {
				s = openSecured(t, tls.NoClientCert, Options{}).site
			}
			s.besides(t, n*(64<<10), func() {
				for range n {
					conn := s.dial() // half of the memory is of this side
					conn.send(test.sent)
					if test.half {
						conn.Conn.(*net.TCPConn).CloseWrite()
					}
				}
			})
		})
	}
}

// calls gives a message with a request for each of n keys, from number first
// on.
func calls(first, n int, format string) string {
	var b strings.Builder
	for i := range n {
		b.WriteByte("[,"[min(i, 1)])
		fmt.Fprintf(&b, format, i+1, first+i)
	}
	b.WriteByte(']')
	return b.String()
}

func TestManyWaitersOnOneKey(t *testing.T) {
	const each = 2000
	s := openOver(t, openStore(t), Options{Prompt: true}) // as the memory store is served
	s.lock("holder", "a")
	n := large(50_000, 2*each)
	s.besides(t, n*(16<<10), func() {
		for first := 0; first < n; first += each {
			s.socket().send(calls(first, each, `{"id":%d,"op":"lock","uid":"w%d","keys":"a","wait":86400000}`))
		}
		until(t, func() string {
			if got := len(s.waiters("a")); got < n {
				return fmt.Sprintf("%d of %d are in line", got, n)
			}
			return ""
		})
		s.ask("DELETE", "/locks/a", "").is(200)
		until(t, func() string {
			if got := s.waiters("a"); len(got) != n-1 {
				return fmt.Sprintf("%d are in line", len(got))
			}
			return ""
		})
	})
}

func TestManyKeys(t *testing.T) {
	const each = 2000
	for name, key := range map[string]string{
		"a million":     "k%d",
		"much the same": strings.Repeat("the same ", 50) + "%d",
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			n := large(1_000_000, 10_000)
			if len(key) > 100 {
				n = large(100_000, 4_000)
			}
			s.besides(t, n*(1<<10+2*len(key)), func() {
				c := s.socket()
				c.SetReadDeadline(time.Now().Add(10 * patience))
				for first := 0; first < n; first += each {
					c.send(calls(first, each, `{"id":%d,"op":"lock","uid":"u","keys":"`+key+`","exp":86400000}`))
					for range each {
						c.next().is(200)
					}
				}
			})
		})
	}
}

func TestBombs(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.CopyN(w, zeros{}, 1<<30>>large(0, 6)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	deep := func(open string) string { return `{"uid":` + strings.Repeat(open, (MaxBody-100)/len(open)) }
	s := open(t)
	s.besides(t, 64<<20, func() {
		for range large(200, 3) {
			s.ask("POST", "/lock", packed.String(), "Content-Encoding", "gzip").refuses(415, "unsupported_media_type", "Content-Encoding")
			s.post("/lock", deep("[")).refuses(400, "invalid", "body: broken JSON")
			s.post("/lock", deep(`{"a":`)).refuses(400, "invalid", "")
			s.post("/lock", `{"uid":"u","keys":[`+strings.Repeat(`"a",`, 200_000)+`"a"]}`).is(200)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// What two parsers could read in two ways must be refused, or read so that no
// second request hides in the first.
func TestNoRequestHidesInAnother(t *testing.T) {
	s := open(t)
	hidden := post("/lock", `{"uid":"smuggler","keys":"smuggled"}`)
	const begin = "POST /check HTTP/1.1\r\nHost: localhost\r\n"
	const body = `{"keys":"a"}`
	s.besides(t, 64<<20, func() {
		for name, head := range map[string]string{
			"both lengths":             "Content-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"both, the other way":      "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
			"a blank before the colon": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
			"a folded line":            "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
			"two encodings":            "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
			"two lines of encodings":   "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
			"an encoding with a tab":   "Transfer-Encoding:\tchunked\v\r\n\r\n0\r\n\r\n",
			"two lengths":              "Content-Length: 12\r\nContent-Length: 13\r\n\r\n" + body,
			"a list of lengths":        "Content-Length: 12, 13\r\n\r\n" + body,
			"a length with a sign":     "Content-Length: +12\r\n\r\n" + body,
			"a length in hex":          "Content-Length: 0xc\r\n\r\n" + body,
			"a length too large":       "Content-Length: 18446744073709551628\r\n\r\n" + body,
			"a negative chunk":         "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
			"a chunk too large":        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
			"no end of a chunk":        "Transfer-Encoding: chunked\r\n\r\nc\r\n" + body + "0\r\n\r\n",
			"a bare CR":                "Content-Length: 12\rTransfer-Encoding: chunked\r\n\r\n" + body,
			"a NUL":                    "X: \x00\r\nContent-Length: 12\r\n\r\n" + body,
		} {
			conn := s.dial()
			go io.WriteString(conn, begin+head+hidden+"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			conn.SetDeadline(time.Now().Add(patience))
			got, _ := io.ReadAll(conn) // a reset is fine, too
			if len(got) > 0 && !strings.HasPrefix(string(got), "HTTP/1.1 4") && !strings.HasPrefix(string(got), "HTTP/1.1 501 ") {
				t.Errorf("%s: %s", name, got)
			}
			if state, err := s.service.Get(t.Context(), "smuggled"); err != nil || len(state.Holders) > 0 {
				t.Errorf("%s: the hidden request was carried out; %s", name, got)
				s.service.Force(t.Context(), holdfast.ForceRequest{Key: "smuggled"})
			}
		}
	})
}

func TestFloodsOfHeaders(t *testing.T) {
	s := open(t)
	s.besides(t, 64<<20, func() {
		var floods sync.WaitGroup
		for range large(200, 10) {
			floods.Go(func() {
				conn := s.dial()
				io.WriteString(conn, "GET /ping HTTP/1.1\r\nHost: localhost\r\n")
				many := strings.Repeat("X-Header: value\r\n", 1000)
				for range 3000 { // without end: the server has to end it
					if _, err := io.WriteString(conn, many); err != nil {
						return
					}
				}
				t.Error("a header of megabytes is taken")
			})
		}
		floods.Wait()
	})
}

// frame is a frame of a WebSocket, with a mask of zeros, which changes nothing.
func frame(first byte, masked bool, length uint64, payload string) string {
	b := []byte{first, 127}
	if masked {
		b[1] |= 0x80
	}
	b = binary.BigEndian.AppendUint64(b, length)
	if masked {
		b = append(b, 0, 0, 0, 0)
	}
	return string(b) + payload
}

// upgraded opens a stream on which a test writes what it likes.
func (s *site) upgraded() *raw {
	s.t.Helper()
	conn := s.dial()
	conn.send("GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil) // nothing follows before a request
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatalf("%+v, %v", response, err)
	}
	return conn
}

func TestFramesGoneWrong(t *testing.T) {
	s := open(t)
	const text, more, last, ping = 0x01, 0x00, 0x80, 0x89
	whole := func(first byte, payload string) string { return frame(first, true, uint64(len(payload)), payload) }
	s.besides(t, 64<<20, func() {
		for name, sent := range map[string]string{
			"no mask":                  frame(text|last, false, 2, "{}"),
			"a reserved bit":           whole(text|last|0x40, "{}"),
			"an unknown kind":          whole(last|0x03, "{}"),
			"more of nothing":          whole(more|last, "{}"),
			"a message in a message":   whole(text, "{") + whole(text|last, "}"),
			"a ping in pieces":         whole(ping&^last, "x"),
			"a ping that is too long":  whole(ping, strings.Repeat("x", 126)),
			"a length beyond all":      frame(text|last, true, 1<<62, "{"),
			"a length that is none":    frame(text|last, true, 1<<63, "{"),
			"one byte beyond the most": frame(text|last, true, MaxBody+1, "{"),
			"too much, in pieces":      whole(text, "[") + strings.Repeat(whole(more, strings.Repeat(" ", 60_000)), 20),
		} {
			conn := s.upgraded()
			go io.WriteString(conn, sent)
			began := time.Now()
			got, _ := io.ReadAll(conn) // that it ends is what counts
			if bytes.Contains(got, []byte(`"status":200`)) || time.Since(began) >= patience {
				t.Errorf("%s: %q", name, got)
			}
		}
		// Pieces without end that say nothing keep one goroutine busy, not more.
		conn := s.upgraded()
		conn.send(whole(text, ""))
		conn.send(strings.Repeat(whole(more, ""), large(1_000_000, 20_000)))
		s.ask(http.MethodGet, "/ping", "").is(200)
	})
}
