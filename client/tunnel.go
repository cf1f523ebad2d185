package client

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// tunnel is a connection that a RoundTripper makes. The head of an upgrade
// that is written to it becomes a request, and its answer what is read first;
// from then on it is the connection behind that. So a WebSocket goes through
// whatever the caller's transport goes through.
//
// It has no deadlines: who wants to end it closes it.
type tunnel struct {
	ctx       context.Context // for the upgrade
	server    *url.URL
	header    http.Header // of each request
	transport http.RoundTripper

	head   bytes.Buffer       // of the request, and then of the answer
	err    error              // why there was no answer
	behind io.ReadWriteCloser // nil until there is a connection
}

func (t *tunnel) Write(p []byte) (int, error) {
	if t.behind != nil {
		return t.behind.Write(p)
	}
	t.head.Write(p)
	if !bytes.HasSuffix(t.head.Bytes(), []byte("\r\n\r\n")) {
		return len(p), nil
	}
	if t.err = t.upgrade(); t.err != nil {
		return 0, t.err
	}
	return len(p), nil
}

// upgrade sends the request, and has the head of its answer read.
func (t *tunnel) upgrade() error {
	written, err := http.ReadRequest(bufio.NewReader(&t.head))
	if err != nil {
		return err
	}
	request := newRequest(t.ctx, t.server, t.header, &call{method: http.MethodGet, path: "stream"}, nil)
	for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version"} {
		request.Header[name] = written.Header[name]
	}
	response, err := t.transport.RoundTrip(request)
	if err != nil {
		return err
	}
	behind, ok := response.Body.(io.ReadWriteCloser)
	if response.StatusCode != http.StatusSwitchingProtocols || !ok {
		response.Body.Close()
		return fmt.Errorf("no stream: status %d", response.StatusCode)
	}
	t.behind = behind
	t.head.Reset()
	fmt.Fprintf(&t.head, "HTTP/1.1 %d %s\r\n", response.StatusCode, http.StatusText(response.StatusCode))
	response.Header.Write(&t.head)
	t.head.WriteString("\r\n")
	return nil
}

func (t *tunnel) Read(p []byte) (int, error) {
	if t.head.Len() > 0 {
		return t.head.Read(p)
	}
	if t.behind == nil {
		return 0, io.EOF
	}
	return t.behind.Read(p)
}

func (t *tunnel) Close() error {
	if t.behind == nil {
		return nil
	}
	return t.behind.Close()
}

func (t *tunnel) LocalAddr() net.Addr              { return nil }
func (t *tunnel) RemoteAddr() net.Addr             { return nil }
func (t *tunnel) SetDeadline(time.Time) error      { return nil }
func (t *tunnel) SetReadDeadline(time.Time) error  { return nil }
func (t *tunnel) SetWriteDeadline(time.Time) error { return nil }
