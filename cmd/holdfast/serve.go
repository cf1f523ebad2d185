package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"holdfast/internal/api"
	"holdfast/internal/auth"
)

// stopTime is how long requests that run may take to finish when the service
// stops. Those who stand in line are not among them: they are sent away at
// once. Many supervisors kill ten seconds after they have asked.
const stopTime = 8 * time.Second

// flagGroups are the headings under which help lists flags, in the order in which
// their first flags stand in the commands.
var flagGroups = []kong.Group{
	{Key: "listen", Title: "Where it listens:"},
	{Key: "access", Title: "Who is let in, and how:"},
	{Key: "locks", Title: "Locks:"},
	{Key: "store", Title: "Where the state is kept:"},
	{Key: "limits", Title: "How much there may be, without end if it is not said:"},
	{Key: "cluster", Title: "As a node of a cluster:"},
	{Key: "log", Title: "What it says:"},
}

type serveCommand struct {
	Port port `group:"listen" short:"p" default:"3000" placeholder:"PORT" variable:"PORT" help:"Port to listen on; without it 3000. 0 takes any that is free."`
	Host host `group:"listen" short:"H" default:"localhost" placeholder:"HOST" variable:"HOST" help:"Name or address to listen on; without it localhost."`

	accessSettings

	DefaultExpiry lifetime `group:"locks" short:"E" default:"1000" placeholder:"MS" variable:"DEFAULT_EXPIRY" help:"How long a hold lives, in milliseconds, when the request does not say; without it 1000."`

	BindGrace grace `group:"locks" default:"5s" placeholder:"DURATION" variable:"BIND_GRACE" help:"How long holds that are bound to a connection outlive it; without it 5s."`

	NoRedis     bool          `group:"store" short:"N" help:"In memory only: all locks are gone when the process ends. Wins over the other settings here."`
	RedisHost   host          `group:"store" short:"R" placeholder:"HOST" variable:"REDIS_HOST" help:"In Redis on this host; without it localhost."`
	RedisPort   remotePort    `group:"store" short:"P" placeholder:"PORT" variable:"REDIS_PORT" help:"In Redis on this port; without it 6379."`
	RedisURL    nonEmpty      `group:"store" name:"redis-url" placeholder:"URL" variable:"REDIS_URL" help:"In Redis at this URL: redis://user:password@host:port/database, or rediss:// for TLS; +sentinel and +cluster as docs/redis.md tells. Wins over host and port."`
	RedisPrefix keyPrefix     `group:"store" placeholder:"TEXT" variable:"REDIS_PREFIX" help:"In Redis, under keys that begin so; without it holdfast. Servers with the same prefix share their locks."`
	DataDir     nonEmpty      `group:"store" default:"holdfast-data" placeholder:"DIR" variable:"DATA_DIR" help:"On disk in this directory; without it holdfast-data. This is where the state is kept when neither -N nor anything about Redis is set."`
	KeepPlaces  time.Duration `group:"store" default:"5s" placeholder:"DURATION" variable:"KEEP_PLACES" help:"On disk only: how long the place in line of a client is kept that has lost its server, for it to come back; without it 5s."`

	limitSettings

	nodeSettings
	peerSettings

	logging
}

// Help is what stands between the usage line and the flags.
func (serveCommand) Help() string {
	return `Try it:

    holdfast serve

and in another terminal:

    curl localhost:3000/lock -d '{"uid":"me","keys":"a","exp":60000}'
    curl localhost:3000/lock -d '{"uid":"you","keys":"a"}'

The second is refused, and told who holds the key. Ctrl-C stops the service.

Each setting can be a flag, an environment variable (its name stands in
brackets), or a line NAME=value of the file .env in the working directory. A
flag wins over the environment, and the environment over .env; an empty
variable counts as not set.`
}

// Run serves until SIGINT or SIGTERM, then lets running requests finish. A
// second signal ends the process at once.
func (c *serveCommand) Run(line *kong.Context) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // that nobody reads the log any more is no reason to end
	defer collectLessOften()()

	began := time.Now()
	log := c.logger(os.Stderr)
	limits, err := c.ofServer()
	if err != nil {
		return err
	}
	keyring, err := c.keyring(ctx, log)
	if err != nil {
		return err
	}
	secure, err := c.tls(ctx, log)
	if err != nil {
		return err
	}
	listener, err := c.listen()
	if err != nil {
		return err
	}
	defer listener.Close() // which serving it has done, if it came to that
	if err := c.checkExposure(listener.Addr()); err != nil {
		return err
	}
	options := c.options(limits, keyring, log)
	stopAnswering := answerMeanwhile(listener, secure, options)
	store, err := c.openStore(ctx, log, c.apiURL(listener.Addr()))
	stopAnswering()
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
			return nil // it was told to stop before there was a cluster to join
		}
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	log.Info("listening", "url", c.scheme()+listener.Addr().String(), "store", store.name, "version", buildVersion())
	c.warn(log, listener.Addr())
	if store.kind != "raft" && slices.ContainsFunc(line.Path, isDataDir) {
		log.Warn("--data-dir is not used: -N or a Redis setting says where the state is")
	}
	handler := handlerOf(store, options)
	server := api.NewServer(handler)
	served := make(chan error, 1)
	go func() { served <- serveOn(server, listener, secure) }()
	notify(log, notifyReady)
	var watching sync.WaitGroup
	watching.Go(func() { watchReady(ctx, log, store.ready) })
	select {
	case err := <-served:
		return fmt.Errorf("cannot go on serving: %w", err)
	case err := <-store.failed:
		// Ending in good order would wait for what does not end.
		fmt.Fprintln(os.Stderr, "holdfast: the store cannot go on:", err)
		os.Exit(1)
	case <-ctx.Done():
	}

	stop() // from here on, a signal does what it does by default
	watching.Wait()
	shutDown(log, server, store, context.Cause(ctx))
	log.Info("stopped", "requests", handler.Stats().Count(), "up", time.Since(began).Round(time.Second).String())
	return <-served
}

// isDataDir says whether a part of the command line is --data-dir. That it was
// set in another way says nothing: the image and the systemd unit always do.
func isDataDir(part *kong.Path) bool {
	return part.Flag != nil && part.Flag.Name == "data-dir" && !part.Resolved
}

// shutDown sends away who stands in line, and lets the requests that run come to
// their end.
func shutDown(log *slog.Logger, server *api.Server, store *store, reason error) {
	notify(log, notifyStopping)
	logStopping(log, store, reason)
	store.stop()
	patience, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := server.Shutdown(patience); err != nil {
		log.Warn("requests were cut off", "error", err)
	}
}

// options are those of what answers requests, whatever the store.
func (c *serveCommand) options(limits api.Limits, keyring *auth.Keyring, log *slog.Logger) api.Options {
	return api.Options{
		DefaultExp: time.Duration(c.DefaultExpiry), BindGrace: time.Duration(c.BindGrace),
		Limits: limits, Keyring: keyring, Logger: log, AccessLog: c.AccessLog,
	}
}

// handlerOf gives what answers requests from the store, and adds its figures to
// those of the store.
func handlerOf(store *store, options api.Options) *api.Handler {
	metrics := store.metrics()
	options.Prompt, options.Metrics = store.prompt, metrics
	options.Ready, options.Backup, options.Count, options.Cluster = store.ready, store.backup, store.count, store.cluster
	handler := api.New(store.Service, options)
	metrics.Requests(handler.Stats)
	return handler
}

// address is where the service listens, as settings say it.
func (c *serveCommand) address() string {
	return net.JoinHostPort(string(c.Host), strconv.Itoa(int(c.Port)))
}

// listen takes the port, or says in words what keeps it from doing so.
func (c *serveCommand) listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", c.address())
	if err == nil {
		return listener, nil
	}
	_, unknownHost := errors.AsType[*net.DNSError](err)
	switch {
	case unknownHost:
		err = fmt.Errorf("cannot listen: the host %q is not known; choose another with -H (--host)", c.Host)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		err = fmt.Errorf("cannot listen: %s is not an address of this machine; choose another with -H (--host)", c.Host)
	case errors.Is(err, syscall.EADDRINUSE):
		err = fmt.Errorf("cannot listen: port %d on %s is taken by another process; choose another with -p (--port)", c.Port, c.Host)
	case errors.Is(err, syscall.EACCES):
		err = fmt.Errorf("cannot listen: no permission to use port %d; choose another with -p (--port)", c.Port)
	default:
		err = fmt.Errorf("cannot listen on %s: %w", c.address(), err)
	}
	return nil, err
}
