package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/seldom"
)

// Protocols are what a server speaks over TLS, by their names in ALPN.
var Protocols = []string{"h2", "http/1.1"}

// ServeTLS is Serve over TLS, with HTTP/2. The config should offer Protocols.
func (s *Server) ServeTLS(l net.Listener, config *tls.Config) error {
	s.http.TLSConfig = &tls.Config{NextProtos: Protocols} // for net/http to know that it shall speak HTTP/2
	l = newCounted(l, s.connections, false, s.handler.options.Logger)
	return s.serve(newSecureListener(l, config, &s.handler.options))
}

// secureListener gives connections on which TLS is agreed upon. That is not
// left to net/http, which would not let a conn stand between TLS and itself;
// only what speaks HTTP/2 is.
type secureListener struct {
	net.Listener
	config *tls.Config
	log    *slog.Logger
	limits *Limits

	ready   chan net.Conn
	failed  chan error
	ctx     context.Context // ends with Close
	close   context.CancelFunc
	running sync.WaitGroup

	telling seldom.Gate // failed handshakes in the log
}

func newSecureListener(l net.Listener, config *tls.Config, options *Options) *secureListener {
	s := &secureListener{Listener: l, config: config, log: options.Logger, limits: &options.Limits, ready: make(chan net.Conn), failed: make(chan error)}
	s.ctx, s.close = context.WithCancel(context.Background())
	s.running.Go(s.accept)
	return s
}

// accept takes connections. Each shakes hands by itself, so that a slow one
// keeps nobody waiting.
func (s *secureListener) accept() {
	for s.ctx.Err() == nil {
		raw, err := s.Listener.Accept()
		if err != nil {
			select {
			case s.failed <- err:
			case <-s.ctx.Done():
			}
			continue
		}
		s.running.Go(func() { s.shakeHands(raw) })
	}
}

func (s *secureListener) shakeHands(raw net.Conn) {
	ctx, cancel := context.WithTimeout(s.ctx, s.limits.HeaderTime)
	defer cancel()
	secured := tls.Server(&conn{Conn: raw}, s.config)
	if err := secured.HandshakeContext(ctx); err != nil {
		s.fail(raw, err)
		raw.Close()
		return
	}
	agreed := net.Conn(secured)
	if secured.ConnectionState().NegotiatedProtocol != "h2" {
		agreed = &secureConn{conn{Conn: secured, header: s.limits.Header}, secured}
	}
	select {
	case s.ready <- agreed:
	case <-s.ctx.Done():
		agreed.Close()
	}
}

// fail tells a client that speaks no TLS, and the log, at most once a second.
func (s *secureListener) fail(raw net.Conn, err error) {
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok && header.Conn != nil && looksLikeHTTP(header.RecordHeader) {
		raw.SetWriteDeadline(time.Now().Add(time.Second))
		raw.Write(refusalOf(http.StatusBadRequest, holdfast.Invalid("this port speaks TLS: ask https://")))
	}
	if s.ctx.Err() == nil && s.telling.Pass() {
		s.log.Warn("a TLS handshake failed", "address", raw.RemoteAddr().String(), "error", err)
	}
}

// looksLikeHTTP says whether the first bytes of a connection are those of a
// request.
func looksLikeHTTP(first [5]byte) bool {
	switch string(first[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "DELET", "OPTIO", "PATCH":
		return true
	}
	return false
}

// Accept waits for the next connection that is secured.
func (s *secureListener) Accept() (net.Conn, error) {
	select {
	case c := <-s.ready:
		return c, nil
	case err := <-s.failed:
		return nil, err
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close takes no more connections, and ends those that still shake hands.
func (s *secureListener) Close() error {
	err := s.Listener.Close()
	s.close()
	s.running.Wait()
	return err
}

// secureConn is a connection over TLS that speaks HTTP/1. The conn that it is
// finds net/http's own refusals; that under TLS looks after deadlines for
// writing.
type secureConn struct {
	conn
	secured *tls.Conn
}

// ConnectionState tells net/http, and through it a Handler, who the client is.
func (c *secureConn) ConnectionState() tls.ConnectionState { return c.secured.ConnectionState() }
