package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/wire"
)

// healthTime is how long an answer may take. Those who ask give up after some
// seconds themselves.
const healthTime = 2 * time.Second

type healthCommand struct {
	Port   port   `short:"p" default:"3000" placeholder:"PORT" variable:"PORT" help:"Port of the server; without it 3000."`
	Host   host   `short:"H" default:"localhost" placeholder:"HOST" variable:"HOST" help:"Name or address on which it listens; without it localhost."`
	Server string `placeholder:"URL" help:"Ask this server instead."`
	Live   bool   `help:"Ask only whether the process lives."`

	TLSCert nonEmpty `hidden:"" variable:"TLS_CERT"` // the server speaks TLS
}

// Help is what stands between the usage line and the flags.
func (healthCommand) Help() string {
	return `Prints ready, with status 0, if the server can serve. Otherwise it says why not,
and ends with status 1. It takes the port and the host from the same variables
as serve, so that in the environment of a server it asks that one: it is there
for containers that have neither a shell nor curl. With TLS_CERT it speaks TLS,
and takes whatever certificate this machine shows; it has none of its own, so
that a server that wants one of every client cannot be asked.`
}

// Run asks once.
func (c *healthCommand) Run() error {
	path, says, good := "readyz", "ready", "ready"
	if c.Live {
		path, says, good = "healthz", "ok", "alive"
	}
	at, err := url.JoinPath(c.server(), path)
	if err != nil {
		return usageError(fmt.Sprintf("--server: %v", err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return usageError(fmt.Sprintf("--server: %v", err))
	}
	response, err := c.client().Do(request)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%s does not answer within %v", at, healthTime)
	}
	if err != nil {
		return fmt.Errorf("not %s: %w", good, err)
	}
	defer response.Body.Close()
	if err := healthy(response, says); err != nil {
		return fmt.Errorf("not %s: %w", good, err)
	}
	_, err = fmt.Println(good)
	return err
}

// healthy says why an answer is not that of a lock service with this status.
// Anything may listen on a port, and answer every path with 200.
func healthy(response *http.Response, status string) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return err
	}
	var answer struct{ Status string }
	refusal := wire.ReadError(body)
	switch {
	case response.StatusCode == http.StatusOK && json.Unmarshal(body, &answer) == nil && answer.Status == status:
		return nil
	case response.StatusCode == http.StatusOK || refusal.Cause != nil:
		return fmt.Errorf("the answer of %s, status %d, is not that of a lock service", response.Request.URL, response.StatusCode)
	default:
		why, _ := strings.CutPrefix(refusal.Message, "not ready: ")
		return errors.New(why)
	}
}

// server is the URL of the server to ask. One that listens on all addresses
// is asked on this machine's own.
func (c *healthCommand) server() string {
	if c.Server != "" {
		return c.Server
	}
	name := string(c.Host)
	if c.Host.everywhere() {
		name = "localhost"
	}
	scheme := "http://"
	if c.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(name, strconv.Itoa(int(c.Port)))
}

// client gives what asks. The server on this machine is not asked for its
// name: its certificate is for the names by which others know it, and nothing
// is sent or learned but whether it serves.
func (c *healthCommand) client() *http.Client {
	if c.Server != "" {
		return http.DefaultClient
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}
