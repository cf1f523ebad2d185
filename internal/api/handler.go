package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/internal/auth"
)

// Options are what a Handler can be told. The zero Options are fine.
type Options struct {
	// DefaultExp is the life of a hold when the request does not say; zero
	// means holdfast.DefaultExp.
	DefaultExp time.Duration

	// Ready says whether the service can serve now, for /readyz: nil, or what
	// is in the way. Nil means always.
	Ready func(context.Context) error

	// Backup writes the whole state, for /backup; nil if there is nothing to
	// back up. What it fails with before it has written is answered, later it
	// cuts the answer off.
	Backup func(context.Context, io.Writer) error

	// Cluster is the node behind the service; nil if it is none.
	Cluster Cluster

	// Prompt says that the service answers at once whatever does not stand in
	// line, so that the stream need not have a goroutine for each request.
	Prompt bool

	// BindGrace is how long holds that are bound to a connection of the stream
	// outlive it; zero means DefaultBindGrace.
	BindGrace time.Duration

	// Lost is the cause with which calls end when the connection that they came
	// on ends, unless the client has said that it leaves; nil means
	// context.Canceled.
	Lost error

	// Limits bound what clients may use.
	Limits Limits

	// Keyring knows who may do what. Nil lets everybody do everything.
	Keyring *auth.Keyring

	// Count says how much there is, for /count; nil if that cannot be known at
	// little cost.
	Count func(context.Context) (holdfast.Count, error)

	// Logger is told what a client is not: panics and unexpected failures of
	// the service, and what others may ask about later (see package audit).
	// Nil means slog.Default.
	Logger *slog.Logger

	// PassedOn says that requests come from other nodes, which have written
	// down who asked.
	PassedOn bool

	// Metrics answers /metrics, in a format of its own; nil if there are none.
	Metrics http.Handler

	// AccessLog asks for a line about every request.
	AccessLog bool
}

// DefaultBindGrace is for how long a client that has lost its connection may
// come back before what was bound to it is released.
const DefaultBindGrace = 5 * time.Second

// Handler answers the requests that openapi.yaml describes from a service. It
// is safe for concurrent use.
type Handler struct {
	service holdfast.Service
	options Options
	tally   *tally

	origins    http.CrossOriginProtection
	onLoopback atomic.Bool // requests come from this machine
	attempts   auth.Attempts
	load       load
	streaming  *census // connections of /stream and /events

	stopping context.Context // ends, with its cause, when those in line shall leave
	stop     context.CancelCauseFunc

	streams streams
	ties    *ties
}

// New gives the handler of a service. Nil says that there is none yet, since the
// server is starting: whatever needs one is refused with CodeUnavailable.
func New(service holdfast.Service, options Options) *Handler {
	options.DefaultExp = cmp.Or(options.DefaultExp, holdfast.DefaultExp)
	options.BindGrace = cmp.Or(options.BindGrace, DefaultBindGrace)
	options.Logger = cmp.Or(options.Logger, slog.Default())
	options.Limits.setDefaults()
	ties := newTies(service, options)
	if service != nil && options.Keyring != nil {
		service = auth.Guard(service)
	}
	h := &Handler{service: service, options: options, ties: ties, tally: newTally()}
	h.load.limit = int64(options.Limits.UnderWay)
	h.streaming = newCensus(0, options.Limits.StreamsOfAddress)
	h.stopping, h.stop = context.WithCancelCause(context.Background())
	return h
}

// errStopping is what those hear who stand in line when the server stops.
var errStopping = holdfast.Unavailable(nil, "the server is stopping; ask again")

// errStarting is what those hear who come before there is a service.
var errStarting = holdfast.Unavailable(nil, "the server is starting; ask again")

// Stop sends away everyone who stands in line, now and from now on, and closes
// the connections of the stream when what they carry has been answered.
// Requests that do not wait are served as before. It may be called again.
func (h *Handler) Stop() { h.stop(errStopping) }

// untilStop gives a context for a request that may stand in line. The
// function releases it.
func (h *Handler) untilStop(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(h.stopping, func() { cancel(context.Cause(h.stopping)) })
	return ctx, func() {
		unhook()
		cancel(nil)
	}
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(w, r)
	defer x.free()
	defer h.record(x)
	defer h.rescue(x)
	x.identify()
	if h.options.AccessLog {
		x.nameIt()
	}
	err := h.serve(x)
	switch {
	case x.answered() && err != nil:
		x.outcome = outcomeGone
		panic(http.ErrAbortHandler) // half an answer cannot be taken back
	case x.answered():
	case err != nil:
		h.refuse(x, err)
	default:
		x.write(http.StatusOK)
	}
}

func (h *Handler) serve(x *exchange) error {
	if len(x.request.TransferEncoding) > 0 {
		// It may have had a length as well, or an encoding that somebody in
		// front reads in another way: what follows may be no request of its own.
		x.hangUp()
	}
	if err := h.checkHost(x.request); err != nil {
		return err
	}
	route, err := find(x)
	if err != nil {
		return err
	}
	if err := h.checkOrigin(x.request, route.who); err != nil {
		return err
	}
	if err := h.admit(x, route.who); err != nil {
		return err
	}
	if h.service == nil && route.who != anybody {
		return errStarting
	}
	if err := x.readQuery(route.query); err != nil {
		return err
	}
	return route.call(h, x)
}

// refuse writes the refusal that err is or stands for.
func (h *Handler) refuse(x *exchange, err error) {
	refusal, ok := errors.AsType[*holdfast.Error](err)
	if !ok {
		if x.request.Context().Err() != nil {
			// The client has gone. Returning would send it an empty 200, which
			// one that has only closed its side of the connection would read.
			panic(http.ErrAbortHandler)
		}
		refusal = h.failure(x.nameIt(), x.request.Method, x.request.URL.Path, err)
	}
	x.refuse(refusal)
}

// failure is the refusal for something that nobody has foreseen. The id is that
// of the request; empty if it has none.
func (h *Handler) failure(id, method, path string, err error) *holdfast.Error {
	h.options.Logger.Error("a request failed", "request_id", id, "method", method, "path", path, "error", err)
	return unexpected(err)
}

// panicked is the refusal for a request that has panicked.
func (h *Handler) panicked(id, method, path string, value any) *holdfast.Error {
	h.options.Logger.Error("a request panicked",
		"request_id", id, "method", method, "path", path, "panic", value, "stack", string(debug.Stack()))
	return unexpected(nil)
}

func unexpected(cause error) *holdfast.Error {
	refusal := holdfast.Unavailable(cause, "an unexpected failure; the log of the server has more")
	refusal.OutcomeUnknown = true
	return refusal
}

// rescue turns a panic into an answer, and what was going on into a log line.
func (h *Handler) rescue(x *exchange) {
	value := recover()
	if value == nil {
		return
	}
	if value == http.ErrAbortHandler {
		panic(value)
	}
	refusal := h.panicked(x.nameIt(), x.request.Method, x.request.URL.Path, value)
	if x.answered() {
		x.outcome = outcomeGone
		panic(http.ErrAbortHandler) // half an answer cannot be taken back
	}
	x.refuse(refusal)
}
