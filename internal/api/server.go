package api

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"holdfast/internal/certs"
	"holdfast/internal/seldom"
)

const (
	// readTimeout is how long a client may take to send the header of a
	// request, and the whole of it.
	readTimeout = 10 * time.Second

	// idleTimeout is how long a connection may carry no request.
	idleTimeout = 2 * time.Minute

	// maxHeader is how many bytes the header of a request may have.
	maxHeader = 64 << 10

	// headerSlack is how much larger net/http lets a header be than it is told.
	headerSlack = 4 << 10
)

// Server serves a Handler to connections.
type Server struct {
	handler     *Handler
	http        *http.Server
	connections *census
}

// NewServer gives a server of handler. Serve starts it.
func NewServer(handler *Handler) *Server {
	limits := &handler.options.Limits
	return &Server{
		handler:     handler,
		connections: newCensus(limits.Connections, limits.ConnectionsOfAddress),
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: limits.HeaderTime,
			ReadTimeout:       limits.RequestTime,
			WriteTimeout:      limits.RequestTime + writeTimeout, // over HTTP/2; see conn.SetWriteDeadline
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    max(1, limits.Header-headerSlack),
			ConnContext:       withConn,
			ErrorLog:          troubles(handler.options.Logger),

			DisableGeneralOptionsHandler: true, // its answer is no JSON
		},
	}
}

// troubles is where net/http tells of connections that went wrong. Whoever gets
// as far as HTTP/2 can have it do that as often as he connects.
func troubles(logger *slog.Logger) *log.Logger {
	return log.New(seldom.Writer(slog.NewLogLogger(logger.Handler(), slog.LevelWarn).Writer()), "", 0)
}

// Serve answers what comes to l until Shutdown, and then returns nil.
// Requests may still be running at that moment: wait for Shutdown.
func (s *Server) Serve(l net.Listener) error {
	return s.serve(listener{newCounted(l, s.connections, true, s.handler.options.Logger), s.handler.options.Limits.Header})
}

// serve answers what comes to l, whose connections look after themselves.
func (s *Server) serve(l net.Listener) error {
	s.handler.onLoopback.Store(certs.OnLoopback(l.Addr()))
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown stops the server in good order: it takes no more connections,
// sends away who stands in line, and waits for the requests that run. When
// ctx ends first it closes their connections, and returns the error of ctx.
// Holds that were bound to a connection are left to their exp.
func (s *Server) Shutdown(ctx context.Context) error {
	s.handler.Stop()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	err = errors.Join(err, s.handler.streams.wait(ctx))
	s.handler.ties.close()
	return err
}
