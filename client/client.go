package client

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"holdfast"
)

// DefaultServer is the server that a client asks when it is told of none:
// where `holdfast serve` listens when it is told nothing else.
const DefaultServer = "http://localhost:3000"

// Options are what a client can be told beside its servers. The zero Options
// are those of [New].
type Options struct {
	// Patience is how long a call goes on asking while no server can serve;
	// zero means 15 s. If it is negative, each server is asked once.
	Patience time.Duration

	// Plain makes each call an HTTP request of its own. Otherwise most of them
	// share one connection to each server, the stream, if the server and
	// what stands in between let them.
	Plain bool

	// Token is what the servers know this client by, if they want to know: a
	// token that `holdfast token new` has made. It goes to all servers, so
	// their URLs should begin with https://.
	Token string

	// TLS is how to speak to https:// URLs: whom to trust, and the client's
	// certificate, if it has one. Nil means the CAs that this machine trusts.
	// With a Transport it is not used.
	TLS *tls.Config

	// Transport carries the requests; nil means one of the client's own. It
	// should speak HTTP/1.1: over HTTP/2 the end of a ctx at the moment of a
	// grant can leave a hold behind that lives until its exp has passed.
	Transport http.RoundTripper
}

// Client asks one of several servers that share one state. It is a
// [holdfast.Service], and safe for concurrent use.
type Client struct {
	servers   []*url.URL
	current   atomic.Uint32 // the one to ask: it answered last
	transport http.RoundTripper
	own       *http.Transport // transport, if nobody else uses it
	header    http.Header     // of each request; not to be changed
	patience  time.Duration
	plain     bool
	doors     []*door // the streams, one for each server
}

var _ holdfast.Service = (*Client)(nil)

// New gives a client of the servers at these URLs, such as
// "http://10.0.0.7:3000"; with none it is [DefaultServer]. It sends nothing:
// a server need not be there yet.
func New(urls ...string) (*Client, error) { return Options{}.New(urls...) }

// New gives a client with options.
func (o Options) New(urls ...string) (*Client, error) {
	if len(urls) == 0 {
		urls = []string{DefaultServer}
	}
	c := &Client{
		transport: o.Transport,
		header:    http.Header{"User-Agent": {"holdfast-go"}},
		patience:  cmp.Or(o.Patience, defaultPatience),
		plain:     o.Plain,
	}
	if o.Token != "" {
		c.header.Set("Authorization", "Bearer "+o.Token)
	}
	for _, text := range urls {
		server, err := parse(text)
		if err != nil {
			return nil, err
		}
		c.servers = append(c.servers, server)
	}
	if c.transport == nil {
		c.own = newTransport()
		c.own.TLSClientConfig = o.TLS
		c.transport = c.own
	}
	for _, server := range c.servers {
		c.doors = append(c.doors, &door{server: server, header: c.header, transport: c.transport})
	}
	return c, nil
}

// Close closes the connections that are not in use. Calls that are under way
// go on; holds are not given back. Later calls, such as the Unlock of a hold,
// work all the same, but each is a request of its own, and nothing stays open
// for long.
func (c *Client) Close() {
	for _, door := range c.doors {
		door.shut()
	}
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// closeIdle closes the connections on which nothing is asked now, also those
// of a caller's transport: they are made anew when they are needed.
func (c *Client) closeIdle() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// parse reads the URL of a server. Without a scheme it is plain HTTP.
func parse(text string) (*url.URL, error) {
	full := text
	if !strings.Contains(text, "://") {
		full = "http://" + text
	}
	server, err := url.Parse(full)
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		text = "…" + text[at:] // before it there may be a password, of which no error tells
		if err != nil {
			err = errors.New("is no URL")
		}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("server %q: %w", text, err)
	case server.Scheme != "http" && server.Scheme != "https":
		return nil, fmt.Errorf("server %q: must begin with http:// or https://", text)
	case server.Host == "":
		return nil, fmt.Errorf("server %q: names no host", text)
	case server.RawQuery != "" || server.Fragment != "" || server.User != nil:
		return nil, fmt.Errorf("server %q: must be a scheme, a host and a path, and nothing else", text)
	}
	return server.JoinPath("/"), nil
}

// newTransport gives a transport on which many requests may stand in line at
// once, each on a connection of its own.
func newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: answerWithin}).DialContext,
		TLSHandshakeTimeout: answerWithin,
		Protocols:           protocols,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     time.Minute, // less than the server's, which would close them under a request
	}
}
