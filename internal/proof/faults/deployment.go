package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/client"
	"holdfast/internal/freeport"
)

// Deployment is what harm is done to: processes that serve one state, and the
// links between them and to their clients.
type Deployment struct {
	Site

	Processes []*Process // in the order in which they are started
	Links     []*Link
	Servers   []string // the URL of each server, past all links

	ways  [][]*Link // the link from each client to each server
	spare *mesh     // where another node can come in; nil if none can
}

// Site is where deployments stand.
type Site struct {
	Program string // see Build
	Dir     string // for data and logs
	Clients int    // processes with owners
}

// Deployments are all there are, by name.
var Deployments = map[string]func(Site) (*Deployment, error){
	"memory":  memory,
	"durable": durable,
	"redis":   redis,

	"cluster-3": cluster(3),
	"cluster-5": cluster(5),
}

// memory is one server that keeps its state in memory: it must not die.
func memory(s Site) (*Deployment, error) {
	d := &Deployment{Site: s}
	if _, err := d.serve("server", "-N"); err != nil {
		return nil, err
	}
	return d, d.linkClients()
}

// durable is one server that keeps its state on disk.
func durable(s Site) (*Deployment, error) {
	d := &Deployment{Site: s}
	p, err := d.serve("server", "--data-dir", filepath.Join(s.Dir, "data"))
	if err != nil {
		return nil, err
	}
	p.Mortal, p.Disk = true, true
	return d, d.linkClients()
}

// redis is three servers over one Redis that loses nothing when it dies.
func redis(s Site) (*Deployment, error) {
	d := &Deployment{Site: s}
	port, err := freeport.Get()
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	data := filepath.Join(s.Dir, "redis")
	if err := os.Mkdir(data, 0o755); err != nil {
		return nil, err
	}
	d.Processes = append(d.Processes, &Process{Name: "redis", Dir: s.Dir, Mortal: true,
		Command: func() *exec.Cmd {
			return exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", data,
				"--save", "", "--appendonly", "yes", "--appendfsync", "always")
		},
		Ready: func(context.Context) error {
			out, err := exec.Command("redis-cli", "-e", "-p", strconv.Itoa(port), "ping").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		},
	})
	for i := range 3 {
		name := fmt.Sprint("server-", i+1)
		link, err := d.link(name+" to redis", "127.0.0.1:0", address)
		if err != nil {
			return nil, err
		}
		p, err := d.serve(name, "--redis-url", "redis://"+link.Addr())
		if err != nil {
			return nil, err
		}
		p.Mortal = true
	}
	return d, d.linkClients()
}

// serve adds a server with these arguments.
func (d *Deployment) serve(name string, args ...string) (*Process, error) {
	port, err := freeport.Get()
	if err != nil {
		return nil, err
	}
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	clock := filepath.Join(d.Dir, name+".clock")
	p := &Process{Name: name, Dir: d.Dir, Clock: clock,
		Command: func() *exec.Cmd {
			command := exec.Command(d.Program, append([]string{"serve", "-H", "127.0.0.1", "-p", strconv.Itoa(port)}, args...)...)
			command.Dir = d.Dir
			command.Env = append(plainEnvironment(), wallClock+"="+clock)
			return command
		},
		Ready: func(ctx context.Context) error { return ready(ctx, url) },
	}
	d.Processes = append(d.Processes, p)
	d.Servers = append(d.Servers, url)
	return p, p.SetClock(0)
}

// plainEnvironment is what of the environment is no setting of a server.
func plainEnvironment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GORACE"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func ready(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// link adds a link.
func (d *Deployment) link(name, listen, to string) (*Link, error) {
	l, err := NewLink(name, listen, to)
	if err == nil {
		d.Links = append(d.Links, l)
	}
	return l, err
}

// linkClients adds a link from each client process to each server.
func (d *Deployment) linkClients() error {
	for c := range d.Clients {
		var ways []*Link
		for i, url := range d.Servers {
			l, err := d.link(fmt.Sprintf("client %d to server %d", c+1, i+1), "127.0.0.1:0", strings.TrimPrefix(url, "http://"))
			if err != nil {
				return err
			}
			ways = append(ways, l)
		}
		d.ways = append(d.ways, ways)
	}
	return nil
}

// URLs are those of the servers, as a client process reaches them.
func (d *Deployment) URLs(client int) []string {
	var urls []string
	for _, way := range d.ways[client] {
		urls = append(urls, "http://"+way.Addr())
	}
	return urls
}

// Start starts everything.
func (d *Deployment) Start(ctx context.Context) error {
	for _, p := range d.Processes {
		if err := p.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends everything, in good order.
func (d *Deployment) Stop() error {
	var errs []error
	for _, p := range slices.Backward(d.Processes) {
		errs = append(errs, p.Ended(), p.Terminate())
	}
	for _, l := range d.Links {
		l.Close()
	}
	return errors.Join(errs...)
}

// Client is a client of all servers, past all links, that is patient. It is
// to be closed.
func (d *Deployment) Client() *client.Client {
	c, err := client.Options{Patience: 30 * time.Second}.New(d.Servers...)
	if err != nil {
		panic(err) // the URLs are made here
	}
	return c
}
