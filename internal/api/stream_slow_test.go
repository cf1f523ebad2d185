package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast"
)

// A client that takes long to read a large answer cannot be asked for a sign of
// life meanwhile, and needs none: it reads.
func TestWhoReadsSlowlyIsNotCutOff(t *testing.T) {
	for _, prompt := range []bool{true, false} {
		inPipes(t, prompt, func(t *testing.T, service holdfast.Service, l pipes) {
			const batches = 64
			for i := range batches {
				keys := make([]string, holdfast.MaxKeys)
				for j := range keys {
					keys[j] = fmt.Sprintf("%d/%d", i, j)
				}
				if _, err := service.Lock(t.Context(), holdfast.LockRequest{UID: "u", Keys: holdfast.Keys(keys...), Exp: time.Hour}); err != nil {
					t.Fatal(err)
				}
			}
			conn, reader := l.dial(t)
			defer conn.Close()
			request := `{"id":1,"op":"extend","uid":"u"}`
			io.WriteString(conn, string([]byte{0x81, 0x80 | byte(len(request)), 0, 0, 0, 0})+request)
			began := time.Now()
			got := readSlowly(t, conn, reader, 60*time.Second)
			if !strings.HasSuffix(got, `"lost":[],"exp":3599999}`) && !strings.HasSuffix(got, `"lost":[],"exp":3600000}`) {
				t.Errorf("prompt %v: after %v it is cut off, with %d bytes read", prompt, time.Since(began), len(got))
			}
		})
	}
}

// readSlowly reads the large frame that comes next so that it takes so long.
func readSlowly(t *testing.T, conn net.Conn, reader *bufio.Reader, takes time.Duration) string {
	t.Helper()
	head := make([]byte, 10)
	if _, err := io.ReadFull(reader, head); err != nil || head[0] != 0x81 || head[1] != 127 {
		t.Fatalf("%x, %v", head, err)
	}
	length := 0
	for _, b := range head[2:] {
		length = length<<8 | int(b)
	}
	text := make([]byte, length)
	const parts = 600
	for i := range parts {
		time.Sleep(takes / parts)
		from, to := i*length/parts, (i+1)*length/parts
		if n, err := io.ReadFull(reader, text[from:to]); err != nil {
			return string(text[:from+n])
		}
	}
	return string(text)
}
