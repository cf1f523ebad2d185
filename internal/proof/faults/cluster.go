package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/freeport"
)

// cluster gives a deployment of so many nodes, and a spare one that comes and
// goes. Each node knows the others by names that lead to links of its own.
func cluster(nodes int) func(Site) (*Deployment, error) {
	return func(s Site) (*Deployment, error) {
		d := &Deployment{Site: s}
		c := &mesh{d: d}
		for i := range nodes + 1 { // the last one is the spare
			port, err := freeport.Get()
			if err != nil {
				return nil, err
			}
			c.names = append(c.names, fmt.Sprintf("node-%d.proof", i+1))
			c.ports = append(c.ports, port)
		}
		for i := range c.names {
			if err := c.linkFrom(i); err != nil {
				return nil, err
			}
		}
		for i := range nodes {
			p, err := c.node(i, fmt.Sprint("node-", i+1))
			if err != nil {
				return nil, err
			}
			d.Processes = append(d.Processes, p)
			d.Servers = append(d.Servers, c.url(i))
		}
		d.spare = c
		return d, d.linkClients()
	}
}

// mesh is the way from each node to each other one.
type mesh struct {
	d     *Deployment
	names []string
	ports []int
	apis  []string // the URL of each server, of the spare one as well
	came  int      // spare nodes so far
}

func (c *mesh) hosts(i int) string { return filepath.Join(c.d.Dir, fmt.Sprintf("hosts-%d", i+1)) }

// linkFrom makes the links from a node to the others, and the file by which it
// finds them.
func (c *mesh) linkFrom(i int) error {
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n")
	for j, name := range c.names {
		at := "127.0.0.1"
		if i != j {
			at = fmt.Sprintf("127.1.%d.%d", i+1, j+1)
			port := strconv.Itoa(c.ports[j])
			_, err := c.d.link(fmt.Sprintf("node %d to node %d", i+1, j+1), net.JoinHostPort(at, port), net.JoinHostPort("127.0.0.1", port))
			if err != nil {
				return err
			}
		}
		fmt.Fprintln(&hosts, at, name)
	}
	port, err := freeport.Get()
	if err != nil {
		return err
	}
	c.apis = append(c.apis, strconv.Itoa(port))
	return os.WriteFile(c.hosts(i), []byte(hosts.String()), 0o644)
}

func (c *mesh) url(i int) string { return "http://127.0.0.1:" + c.apis[i] }

// node gives the i-th node.
func (c *mesh) node(i int, id string) (*Process, error) {
	args := []string{"-m"}
	if os.Getuid() != 0 {
		args = append(args, "-r")
	}
	args = append(args, "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, c.hosts(i), c.d.Program,
		"serve", "-H", "127.0.0.1", "-p", c.apis[i], "--data-dir", filepath.Join(c.d.Dir, id),
		"--node-id", id, "--peer-insecure", "--peer-addr", net.JoinHostPort(c.names[i], strconv.Itoa(c.ports[i])))
	if i > 0 {
		args = append(args, "--join", strings.Join(c.d.Servers, ","))
	}
	p := &Process{
		Name: id, Dir: c.d.Dir, Mortal: true, Disk: true, Clock: filepath.Join(c.d.Dir, id+".clock"),
		Ready: func(ctx context.Context) error { return ready(ctx, c.url(i)) },
	}
	p.Command = func() *exec.Cmd {
		command := exec.Command("unshare", args...)
		command.Dir = c.d.Dir
		command.Env = append(plainEnvironment(), wallClock+"="+p.Clock)
		return command
	}
	return p, p.SetClock(0)
}

// comeAndGo lets a new node join, and removes it again.
func comeAndGo(r *round, target any, _ *rand.Rand) (func() error, error) {
	c := target.(*mesh)
	c.came++
	spare := len(c.names) - 1
	p, err := c.node(spare, fmt.Sprint("spare-", c.came))
	if err != nil {
		return nil, err
	}
	if err := p.Start(r.ctx); err != nil {
		return nil, err
	}
	return func() error {
		err := r.d.insist(r.ctx, func(ctx context.Context, via *client.Client) error { return via.RemoveNode(ctx, p.Name, "a fault") })
		p.Kill()
		return errors.Join(err, os.RemoveAll(filepath.Join(c.d.Dir, p.Name)))
	}, nil
}

// stepDown makes the leader give way.
func stepDown(r *round, target any, _ *rand.Rand) (func() error, error) {
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	via, err := client.Options{Patience: -1}.New(r.d.url(target.(*Process)))
	if err != nil {
		return nil, err
	}
	defer via.Close()
	via.StepDown(ctx, "a fault") // other harm may be in the way
	return func() error { return nil }, nil
}

// insist asks until it is done: there may be no leader for a while.
func (d *Deployment) insist(ctx context.Context, ask func(context.Context, *client.Client) error) error {
	via, err := client.Options{Patience: 5 * time.Second}.New(d.Servers...)
	if err != nil {
		return err
	}
	defer via.Close()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := ask(ctx, via)
		switch {
		case err == nil, holdfast.ErrorCode(err) == holdfast.CodeNotFound: // it may have been done before
			return nil
		case ctx.Err() != nil:
			return err
		}
		pauseFor(ctx, 200*time.Millisecond)
	}
}
