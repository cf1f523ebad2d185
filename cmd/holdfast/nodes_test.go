package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/freeport"
)

// process is a node of a cluster as users run it: `holdfast serve` in a
// process of its own, with a link in front of its port for other nodes.
type process struct {
	t    testing.TB
	id   string
	args []string
	url  string
	link *link
	log  string // file to which it logs

	*exec.Cmd
	ended chan struct{}
}

// newProcess gives a node that is not running yet.
func newProcess(t testing.TB, id string, join string) *process {
	t.Helper()
	api, listen, dir := freeport.Address(t), freeport.Address(t), t.TempDir()
	_, port, _ := net.SplitHostPort(api)
	p := &process{t: t, id: id, url: "http://" + api, link: newLink(t, listen), log: filepath.Join(dir, "log")}
	p.args = []string{"serve", "-H", "127.0.0.1", "-p", port, "--data-dir", filepath.Join(dir, "data"),
		"--node-id", id, "--peer-addr", p.link.address(), "--peer-listen", listen}
	if join != "" {
		p.args = append(p.args, "--join", join)
	}
	t.Cleanup(p.kill)
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.Cmd = exec.Command("holdfast", p.args...)
	out, err := p.StderrPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	p.ended = ended
	cmd := p.Cmd
	go func() {
		defer close(ended)
		said, _ := io.ReadAll(out)
		if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "killed") {
			p.t.Logf("node %s: %v\n%s", p.id, err, said)
		}
	}()
}

func (p *process) end(s syscall.Signal) {
	if p.Cmd == nil {
		return
	}
	p.Process.Signal(s)
	<-p.ended
	p.Cmd = nil
}

func (p *process) kill()      { p.end(syscall.SIGKILL) }
func (p *process) terminate() { p.end(syscall.SIGTERM) }

// nodes is a cluster of processes.
type nodes struct {
	t   testing.TB
	all []*process
}

// startNodes gives a cluster of which all nodes vote.
func startNodes(t testing.TB, ids ...string) *nodes {
	t.Helper()
	c := &nodes{t: t}
	for i, id := range ids {
		join := ""
		if i > 0 {
			join = c.all[0].url
		}
		p := newProcess(t, id, join)
		p.start()
		c.all = append(c.all, p)
	}
	c.awaitAll()
	return c
}

// urls gives the servers, beginning with the i-th.
func (c *nodes) urls(i int) []string {
	var urls []string
	for n := range c.all {
		urls = append(urls, c.all[(i+n)%len(c.all)].url)
	}
	return urls
}

// client gives a client of the nodes that asks the i-th first.
func (c *nodes) client(i int, options client.Options) *client.Client {
	c.t.Helper()
	locks, err := options.New(c.urls(i)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(locks.Close)
	return locks
}

// only gives a client of one node, which asks it once.
func (c *nodes) only(p *process) *client.Client {
	c.t.Helper()
	locks, err := client.Options{Patience: -1}.New(p.url)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(locks.Close)
	return locks
}

// awaitAll waits until every node is a voter that sees a leader.
func (c *nodes) awaitAll() {
	c.t.Helper()
	for _, p := range c.all {
		locks := c.only(p)
		c.until(p.id+" sees all nodes", func() bool {
			view, err := locks.Cluster(context.Background())
			if err != nil || view.Leader == "" || len(view.Nodes) != len(c.all) {
				return false
			}
			for _, node := range view.Nodes {
				if node.Role != holdfast.RoleLeader && node.Role != holdfast.RoleFollower {
					return false
				}
			}
			return true
		})
	}
}

// leader gives the node that leads, and the others.
func (c *nodes) leader() (leader *process, others []*process) {
	c.t.Helper()
	locks := c.client(0, client.Options{})
	c.until("there is a leader", func() bool {
		view, err := locks.Cluster(context.Background())
		leader, others = nil, nil
		for _, p := range c.all {
			if p.id == view.Leader {
				leader = p
			} else {
				others = append(others, p)
			}
		}
		return err == nil && leader != nil && leader.Cmd != nil
	})
	return leader, others
}

func (c *nodes) until(what string, condition func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// isolate cuts a node off from the others, in both directions; or heals that.
func (c *nodes) isolate(p *process, cut bool) {
	for _, other := range c.all {
		if other != p {
			other.link.setCut(p.id, cut)
			p.link.setCut(other.id, cut)
		}
	}
}

// load is owners at work: each locks a key that all want, for as long as it
// takes to see that nobody else has it, and a key of its own.
type load struct {
	t       *testing.T
	stop    context.CancelFunc
	done    sync.WaitGroup
	inside  atomic.Int32
	last    atomic.Uint64 // the newest version of the common key
	rounds  atomic.Int64
	failure atomic.Pointer[error]
}

// work lets n owners work until end is called.
func (c *nodes) work(t *testing.T, n int) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{t: t, stop: stop}
	for i := range n {
		locks := c.client(i, client.Options{Patience: patience})
		l.done.Go(func() {
			for ctx.Err() == nil {
				if err := l.round(locks, fmt.Sprint("worker-", i)); err != nil {
					l.failure.CompareAndSwap(nil, &err)
					stop()
				}
			}
		})
	}
	return l
}

func (l *load) round(locks *client.Client, uid string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	own, err := locks.Lock(ctx, holdfast.LockRequest{UID: uid, Keys: holdfast.Keys("own/" + uid), Exp: time.Hour})
	if err != nil {
		return fmt.Errorf("its own key: %w", err)
	}
	common, err := locks.Lock(ctx, holdfast.LockRequest{UID: uid, Keys: holdfast.Keys("common"), Exp: time.Hour, Wait: patience})
	if err != nil {
		return fmt.Errorf("the common key: %w", err)
	}
	if l.inside.Add(1) != 1 {
		return fmt.Errorf("%s is not alone", uid)
	}
	if version := common.Tokens[0].Version; l.last.Swap(version) >= version {
		return fmt.Errorf("version %d is not new", version)
	}
	l.inside.Add(-1)
	for _, tokens := range [][]holdfast.Token{common.Tokens, own.Tokens} {
		if _, err := locks.Unlock(ctx, holdfast.UnlockRequest{UID: uid, Tokens: tokens}); err != nil {
			return fmt.Errorf("unlock: %w", err)
		}
	}
	l.rounds.Add(1)
	return nil
}

// goesOn waits for n more rounds.
func (l *load) goesOn(c *nodes, n int64) {
	l.t.Helper()
	target := l.rounds.Load() + n
	c.until("work goes on", func() bool { return l.rounds.Load() >= target || l.failure.Load() != nil })
}

// end ends the work, in which nothing may have failed.
func (l *load) end() {
	l.t.Helper()
	l.stop()
	l.done.Wait()
	if err := l.failure.Load(); err != nil {
		l.t.Fatal(*err)
	}
}

func TestNodesAreKilledUnderLoad(t *testing.T) {
	c := startNodes(t, "a", "b", "c")
	load := c.work(t, 6)
	load.goesOn(c, 20)
	for range 2 {
		leader, others := c.leader()
		leader.kill()
		load.goesOn(c, 20)
		leader.start()
		c.awaitAll()
		others[0].kill()
		load.goesOn(c, 20)
		others[0].start()
		c.awaitAll()
	}
	for _, p := range c.all {
		p.kill()
	}
	for _, p := range c.all {
		p.start()
	}
	c.awaitAll()
	load.goesOn(c, 20)
	load.end()
}

func TestARollingRestartUnderLoad(t *testing.T) {
	c := startNodes(t, "a", "b", "c")
	load := c.work(t, 6)
	for range 2 {
		for _, p := range c.all {
			load.goesOn(c, 20)
			p.terminate()
			load.goesOn(c, 20)
			p.start()
			c.awaitAll()
		}
	}
	load.end()
}

func TestAMinorityGrantsNothing(t *testing.T) {
	c := startNodes(t, "a", "b", "c")
	leader, others := c.leader()
	minority, majority := c.only(leader), c.only(others[0])
	ask := func(locks *client.Client, uid, key string) error {
		_, err := locks.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(key), Exp: time.Hour})
		return err
	}
	if err := ask(minority, "before", "x"); err != nil {
		t.Fatal(err)
	}
	c.isolate(leader, true)
	if err := ask(minority, "meanwhile", "y"); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Fatalf("one of three answered: %v", err)
	}
	if _, err := minority.Check(t.Context(), []string{"x"}); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
		t.Fatalf("one of three answered: %v", err)
	}
	c.until("two of three go on", func() bool { return ask(majority, "meanwhile", "z") == nil })
	if err := ask(majority, "other", "x"); holdfast.ErrorCode(err) != holdfast.CodeLocked {
		t.Fatalf("what was granted before is lost: %v", err)
	}
	c.isolate(leader, false)
	c.awaitAll()
	for _, p := range c.all {
		for key, held := range map[string]bool{"x": true, "y": false, "z": true} {
			got, err := c.only(p).Check(t.Context(), []string{key})
			if err != nil || got != held {
				t.Errorf("node %s says of %s: %v, %v", p.id, key, got, err)
			}
		}
	}
}

// Rule 9: the place of those whose server is gone is kept, and a client that
// comes back finds it.
func TestPlacesAreKeptWhenANodeIsKilled(t *testing.T) {
	c := startNodes(t, "a", "b", "c")
	for _, which := range []string{"follower", "leader"} {
		leader, others := c.leader()
		victim, witness := others[0], others[1]
		if which == "leader" {
			victim = leader
		}
		key := which + "/x"
		first, err := c.only(witness).Lock(t.Context(), holdfast.LockRequest{UID: "first", Keys: holdfast.Keys(key), Exp: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		granted := make(chan string, 3)
		wait := func(uid string, at *process) {
			i := 0
			for n, p := range c.all {
				if p == at {
					i = n
				}
			}
			locks := c.client(i, client.Options{Patience: patience})
			go func() {
				grant, err := locks.Lock(context.Background(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys(key), Exp: time.Hour, Wait: 2 * patience})
				if err != nil {
					granted <- err.Error()
					return
				}
				granted <- uid
				locks.Unlock(context.Background(), holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens})
			}()
			c.until(uid+" waits", func() bool {
				state, err := c.only(witness).Get(t.Context(), key)
				return err == nil && len(state.Waiters) > 0 && state.Waiters[len(state.Waiters)-1].UID == uid
			})
		}
		wait("one", victim)
		wait("two", witness)
		victim.kill()
		// Those who were served by it come back by themselves, through another
		// node. Until one has, the place is only kept; so wait for longer than
		// that.
		time.Sleep(6 * time.Second)
		if _, err := c.client(0, client.Options{Patience: patience}).Unlock(t.Context(), holdfast.UnlockRequest{UID: "first", Tokens: first.Tokens}); err != nil {
			t.Fatal(err)
		}
		if order := <-granted + " " + <-granted; order != "one two" {
			t.Fatalf("%s killed: granted in the order %s", which, order)
		}
		victim.start()
		c.awaitAll()
	}
}
