package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/internal/redistest"
)

// serverVariable makes the test binary a server over the Redis that it names.
const serverVariable = "HOLDFAST_TEST_SERVER"

func TestMain(m *testing.M) {
	if url := os.Getenv(serverVariable); url != "" {
		serve(url)
		return
	}
	m.Run()
}

// counter is what the lock guards: it finds out when two are there at once, or
// come in another order than they were let in.
type counter struct {
	inside  atomic.Int32
	value   int
	version uint64
	last    map[string]map[string]int // how often the others came since an owner did
}

func (c *counter) enter(uid string, version uint64) error {
	if !c.inside.CompareAndSwap(0, 1) {
		return fmt.Errorf("%s is not alone", uid)
	}
	if version <= c.version {
		return fmt.Errorf("%s comes with version %d after %d", uid, version, c.version)
	}
	c.value++
	c.version = version
	return nil
}

// turn says how often at most somebody else came since uid was here.
func (c *counter) turn(uid string) int {
	most := 0
	for _, n := range c.last[uid] {
		most = max(most, n)
	}
	c.last[uid] = map[string]int{}
	for other, since := range c.last {
		if other != uid {
			since[uid]++
		}
	}
	return most
}

const owners = 64

// TestLoad lets 64 owners change a counter behind one lock through three
// stores.
func TestLoad(t *testing.T) {
	server := redistest.Start(t)
	stores := []*Store{openOver(t, server.URL()), openOver(t, server.URL()), openOver(t, server.URL())}
	const rounds = 40
	c := counter{last: map[string]map[string]int{}}
	var all sync.WaitGroup
	for i := range owners {
		all.Go(func() {
			uid := fmt.Sprint("owner-", i)
			for round := range rounds {
				store := stores[(i+round)%len(stores)]
				grant, err := store.Lock(t.Context(), holdfast.LockRequest{UID: uid, Keys: holdfast.Keys("counter"), Exp: time.Minute, Wait: time.Minute})
				if err == nil {
					err = c.enter(uid, grant.Tokens[0].Version)
				}
				if err != nil {
					t.Error(err)
					return
				}
				// All stand in line all the time but for a moment, so nobody comes much more often.
				if most := c.turn(uid); round > 0 && round < rounds/2 && most > 3 {
					t.Errorf("somebody came %d times while %s waited", most, uid)
				}
				c.inside.Store(0)
				keys, err := stores[(i+2*round)%len(stores)].Unlock(t.Context(), holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens})
				if err != nil || len(keys) != 1 {
					t.Errorf("unlock: %v %v", keys, err)
					return
				}
			}
		})
	}
	all.Wait()
	if c.value != owners*rounds {
		t.Errorf("the counter is %d after %d rounds", c.value, owners*rounds)
	}
	nothingLeft(t, server)
}

func nothingLeft(t *testing.T, server *redistest.Server) {
	t.Helper()
	var left string
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if left = server.Do("KEYS", "*"); left == "{holdfast}:last" {
			return
		}
	}
	t.Errorf("left behind:\n%s", left)
}

// TestLoadWhileServersAreKilled is the same with three server processes, of
// which one is ended with SIGKILL every second.
func TestLoadWhileServersAreKilled(t *testing.T) {
	redis := redistest.Start(t)
	servers := make([]*process, 3)
	for i := range servers {
		servers[i] = &process{t: t, url: redis.URL()}
		servers[i].start()
	}
	duration := 5 * time.Second
	if testing.Short() {
		duration = 3 * time.Second
	}
	c := counter{last: map[string]map[string]int{}}
	var rounds atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range owners {
		all.Go(func() {
			uid := fmt.Sprint("owner-", i)
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				req := holdfast.LockRequest{UID: uid, Keys: holdfast.Keys("counter"), Exp: time.Minute, Wait: time.Minute}
				var reply Reply
				// Whatever goes wrong, the same request again is harmless.
				if err := servers[n%3].call("Remote.Lock", req, &reply); err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				if reply.Refused != "" {
					t.Errorf("%s: %s", uid, reply.Refused)
					return
				}
				if err := c.enter(uid, reply.Tokens[0].Version); err != nil {
					t.Error(err)
					return
				}
				rounds.Add(1)
				c.inside.Store(0)
				for ; ; n++ {
					if servers[n%3].call("Remote.Unlock", holdfast.UnlockRequest{UID: uid, Tokens: reply.Tokens}, &reply) == nil {
						break
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for began, n := time.Now(), 0; time.Since(began) < duration; n++ {
		time.Sleep(time.Second)
		servers[n%3].kill()
		servers[n%3].start()
	}
	close(stop)
	all.Wait()
	if int64(c.value) != rounds.Load() {
		t.Errorf("the counter is %d after %d rounds", c.value, rounds.Load())
	}
	if c.value < 100 {
		t.Errorf("only %d rounds", c.value)
	}
	t.Logf("%d rounds", c.value)
	nothingLeft(t, redis)
}

// process is a server in a process of its own.
type process struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	client  *rpc.Client
	command *exec.Cmd
}

func (p *process) start() {
	p.t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), serverVariable+"="+p.url)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := command.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	client, err := rpc.Dial("tcp", strings.TrimSpace(line))
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client, p.command = client, command
	p.t.Cleanup(func() { command.Process.Kill(); command.Wait() })
}

func (p *process) kill() {
	p.mu.Lock()
	client, command := p.client, p.command
	p.client = nil
	p.mu.Unlock()
	command.Process.Kill()
	command.Wait()
	client.Close()
}

func (p *process) call(method string, args, reply any) error {
	p.mu.Lock()
	client := p.client
	p.mu.Unlock()
	if client == nil {
		return errors.New("killed")
	}
	return client.Call(method, args, reply)
}

// Remote is what a server process offers.
type Remote struct{ store *Store }

// Reply is an answer of Remote: a refusal that is no error of the way there.
type Reply struct {
	Tokens  []holdfast.Token
	Refused string
}

// Lock is Store.Lock.
func (r *Remote) Lock(req holdfast.LockRequest, reply *Reply) error {
	grant, err := r.store.Lock(context.Background(), req)
	if holdfast.ErrorCode(err) == holdfast.CodeUnavailable {
		return err
	}
	if err != nil {
		reply.Refused = err.Error()
	}
	reply.Tokens = grant.Tokens
	return nil
}

// Unlock is Store.Unlock.
func (r *Remote) Unlock(req holdfast.UnlockRequest, _ *Reply) error {
	_, err := r.store.Unlock(context.Background(), req)
	return err
}

// serve is the server process. It says on standard output where it listens.
func serve(url string) {
	store, err := New(context.Background(), Options{URL: url, DeadAfter: 2 * time.Second})
	if err != nil {
		panic(err)
	}
	server := rpc.NewServer()
	if err := server.Register(&Remote{store}); err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	server.Accept(listener)
}
