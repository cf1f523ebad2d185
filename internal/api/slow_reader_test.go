package api

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/internal/certs"
	"holdfast/internal/memory"
)

// h2Frame is one of HTTP/2, RFC 9113 section 4.1.
func h2Frame(kind, flags byte, stream uint32, payload string) string {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	return string(binary.BigEndian.AppendUint32(append(head, flags), stream)) + payload
}

// Over HTTP/2 a client can read, and yet take nothing of an answer, by giving
// it no window. Such a one is cut off like one that does not read; one that
// takes what comes is not, however seldom that is.
func TestWhoGivesNoWindowIsCutOff(t *testing.T) {
	const (
		headers, reset, settings, windowUpdate = 1, 3, 4, 8

		endOfStream, endOfHeaders = 1, 4
		endOfStreamAndHeaders     = endOfStream | endOfHeaders
		initialWindow             = "\x00\x04"
	)
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		authority, err := certs.NewAuthority("test", time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := authority.New(certs.ForServer, "server", []string{"localhost"}, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Lock(t.Context(), holdfast.LockRequest{UID: "holder", Keys: holdfast.Keys("a"), Exp: holdfast.MaxExp}); err != nil {
			t.Fatal(err)
		}
		server := NewServer(New(store, Options{
			Logger: slog.New(slog.DiscardHandler),
			Backup: func(_ context.Context, w io.Writer) error {
				w.Write(make([]byte, 70_000))
				time.Sleep(2 * writeTimeout)
				_, err := w.Write(make([]byte, 100))
				return err
			},
			Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "figures") }),
		}))
		l := make(pipes)
		done := make(chan error, 1)
		go func() {
			done <- server.ServeTLS(l, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: Protocols})
		}()
		for _, test := range []struct {
			path   string
			window string
			cutOff bool
		}{
			{"/openapi.yaml", "\x00\x00\x00\x00", true},
			{"/ui/main.js", "\x00\x00\x00\x00", true},
			{"/ping", "\x00\x00\x00\x00", true},
			{"/lock", "\x00\x00\x00\x00", true},
			{"/lock", "\x00\x01\x00\x00", false},
			{"/metrics", "\x00\x00\x00\x00", true},
			{"/events", "\x00\x00\x00\x00", true},
			{"/events", "\x00\x01\x00\x00", false},
			{"/backup", "\x00\x00\x00\x00", true},
			{"/backup", "\x00\x01\x11\x70", true}, // 70,000: it takes all but the end
			{"/backup", "\x00\x02\x00\x00", false},
		} {
			near, far := net.Pipe()
			l <- far
			conn := tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			method, flags, body := "\x82", byte(endOfStreamAndHeaders), ""
			if test.path == "/lock" { // and stands in line, for longer than an answer may take
				request := fmt.Sprintf(`{"uid":"%p","keys":"a","wait":%d}`, near, (3 * writeTimeout).Milliseconds())
				method, flags, body = "\x83", endOfHeaders, h2Frame(0, endOfStream, 1, request)
			}
			ask := method + "\x87\x04" + string(rune(len(test.path))) + test.path + "\x01\x09localhost" // see RFC 7541, appendix A
			go io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+
				h2Frame(settings, 0, 0, initialWindow+test.window)+h2Frame(windowUpdate, 0, 0, "\x00\x10\x00\x00")+h2Frame(headers, flags, 1, ask)+body)
			kinds := make(map[byte]int)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for {
					head := make([]byte, 9)
					if _, err := io.ReadFull(conn, head); err != nil {
						return
					}
					kinds[head[3]]++
					io.CopyN(io.Discard, conn, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
				}
			}()
			time.Sleep(5 * writeTimeout)
			synctest.Wait()
			conn.Close()
			<-ended
			if kinds[headers] != 1 || (kinds[reset] > 0) != test.cutOff {
				t.Errorf("%s, window %x: got %v frames of each kind", test.path, test.window, kinds)
			}
		}
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-done
	})
}
