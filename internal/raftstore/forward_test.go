package raftstore

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/keeper"
	"holdfast/internal/table"
)

// Who stood in line at the leader, and is told that its own node stops, may
// be granted all the same when the leader was not reached any more.
func TestWhatCannotBeWithdrawnMayStillHappen(t *testing.T) {
	nodes := cluster(t, "a", "b", "c")
	leader, others := leaderOf(t, nodes)
	lock(t, leader, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
	ctx, stop := context.WithCancelCause(t.Context())
	answer := make(chan error, 1)
	go func() {
		_, err := others[0].Lock(ctx, holdfast.LockRequest{UID: "v", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: time.Hour})
		answer <- err
	}()
	await(t, leader.Store, "x", func(l holdfast.Lock) bool { return len(l.Waiters) == 1 })
	others[0].options.Node.network.(*cable).cut.Store(true)
	stop(holdfast.Unavailable(nil, "the server is stopping"))
	err := <-answer
	others[0].options.Node.network.(*cable).cut.Store(false)
	refusal, ok := errors.AsType[*holdfast.Error](err)
	if !ok || refusal.Code != holdfast.CodeUnavailable || !refusal.OutcomeUnknown {
		t.Fatalf("answer: %#v", err)
	}
}

// Who stands in line at a leader that falls silent, and does not hang up, goes to
// the next one.
func TestWhoWaitsFollowsTheLeader(t *testing.T) {
	nodes := cluster(t, "a", "b", "c")
	leader, others := leaderOf(t, nodes)
	answers := make(chan error, len(others))
	for _, n := range others { // one of them will lead
		key := n.options.Node.ID
		lock(t, leader, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys(key), Exp: time.Hour})
		go func() {
			_, err := n.Lock(t.Context(), holdfast.LockRequest{UID: "v", Keys: holdfast.Keys(key), Exp: time.Hour, Wait: time.Hour})
			answers <- err
		}()
		await(t, leader.Store, key, func(l holdfast.Lock) bool { return len(l.Waiters) == 1 })
	}
	network := leader.options.Node.network.(*cable)
	network.silent.Store(true)
	network.cut.Store(true)
	next, _ := leaderOf(t, others)
	for _, n := range others {
		if _, err := next.Force(t.Context(), holdfast.ForceRequest{Key: n.options.Node.ID}); err != nil {
			t.Fatal(err)
		}
	}
	for range others {
		select {
		case err := <-answers:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second): // before the server there gives the connection up
			t.Fatal("who waits is still at the old leader")
		}
	}
	leader.stop() // the others wait for its answers otherwise
}

// What a node has proposed, and is carried out when it does not lead any more,
// is no grant that it can tell of: another leader has begun its life, and may
// have ended it.
func TestWhoDoesNotLeadTellsNoGrant(t *testing.T) {
	a := newNode(t, "a", t.TempDir()).start()
	a.options.Node.network.(*cable).cut.Store(true)
	b := newNode(t, "b", t.TempDir(), a)
	b.start() // it does not get in, and so does not lead
	for op, certain := range map[table.Op]bool{table.Lock: false, table.Extend: false, table.Unlock: true} {
		p := &proposal{cmd: table.Command{Op: op, UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour}, answer: make(chan answer, 1)}
		entry := newBatch(uint64(op)+1<<40, []*proposal{p}, func() {})
		b.batches.Store(entry.number, entry)
		machine{b.Store}.Apply(&raft.Log{Data: b.encode(entry)})
		b.batches.Delete(entry.number)
		err := (<-p.answer).err
		refusal, ok := errors.AsType[*holdfast.Error](err)
		if certain && err != nil || !certain && (!ok || !refusal.OutcomeUnknown) {
			t.Errorf("%v: %v", op, err)
		}
	}
	if b.keeper.Version() == 0 {
		t.Error("what is in the log was not carried out")
	}
}

// Nor does it tell those who wait here of a grant that comes with what it has
// proposed: they ask where the lives of their holds are known.
func TestWhoDoesNotLeadTellsNobodyInLineOfAGrant(t *testing.T) {
	a := newNode(t, "a", t.TempDir()).start()
	a.options.Node.network.(*cable).cut.Store(true)
	b := newNode(t, "b", t.TempDir(), a)
	b.start() // it does not get in, and so does not lead
	held := b.keeper.Apply(&table.Command{Op: table.Lock, UID: "u", Keys: holdfast.Keys("x"), Exp: time.Hour})
	b.keeper.Apply(&table.Command{Op: table.Lock, UID: "v", Keys: holdfast.Keys("x"), Exp: time.Hour, Wait: true})
	p := &proposal{cmd: table.Command{Op: table.Unlock, UID: "u", Tokens: held.Tokens}, answer: make(chan answer, 1)}
	entry := newBatch(1<<40, []*proposal{p}, func() {})
	b.batches.Store(entry.number, entry)
	machine{b.Store}.Apply(&raft.Log{Data: b.encode(entry)})
	b.batches.Delete(entry.number)
	if a := <-p.answer; a.err != nil || len(a.result.Tokens) != 1 {
		t.Errorf("answer: %+v", a)
	}
	if told, left := b.Stats().Waited.Read().Count(), b.Stats().Left.Read().Count(); told != 0 || left != 1 {
		t.Errorf("%d were told of a grant, %d are to ask again", told, left)
	}
}

// What was on its way to a node that is asked no more does not arrive later:
// it has been asked elsewhere by then, and answered.
func TestWhatIsAskedElsewhereDoesNotArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newSimNetwork(1, 2)
		from, to := &port{network: network, node: 0, address: "from"}, &port{network: network, node: 1, address: "to"}
		listener, err := to.Listen("to")
		if err != nil {
			t.Fatal(err)
		}
		ours, err := from.Dial(t.Context(), "to")
		if err != nil {
			t.Fatal(err)
		}
		theirs, _ := listener.Accept()
		if _, err := ours.Write([]byte("a request")); err != nil {
			t.Error(err)
		}
		endAbruptly(ours)
		ours.Close()
		if n, err := theirs.Read(make([]byte, 20)); n > 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%d bytes arrive, and %v", n, err)
		}
	})
}

// lingering is a connection that says for how long it is to linger.
type lingering struct {
	net.Conn
	seconds chan int
}

func (l lingering) SetLinger(seconds int) error {
	l.seconds <- seconds
	return nil
}

// only is a network of one connection.
type only struct {
	network
	conn net.Conn
}

func (o only) Dial(context.Context, string) (net.Conn, error) { return o.conn, nil }

// A node that is killed says no goodbye for the clients whose requests it has
// passed on: what its system does with the connections must not look like one.
func TestWhatIsPassedOnEndsAbruptly(t *testing.T) {
	here, there := net.Pipe()
	seconds := make(chan int, 1)
	l := newLink(&peers{identity: &identity{Cluster: "c", ID: "a"}, network: only{conn: lingering{here, seconds}}}, "b@there:1")
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		l.client.Check(t.Context(), []string{"x"})
	}()
	if _, err := readLine(there); err != nil {
		t.Fatal(err)
	}
	there.Write([]byte("ok\n"))
	select {
	case n := <-seconds:
		if n != 0 {
			t.Errorf("it lingers for %d s", n)
		}
	case <-time.After(30 * time.Second):
		t.Error("it lingers")
	}
	there.Close()
	l.close()
	<-answered
}

// A node that was stopped takes calls, and never says that it has. Who is asking it as
// another one begins to lead asks that one, and knows that nothing was asked before.
func TestACallThatIsNotTakenEndsWithTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		l := newLink(&peers{identity: &identity{Cluster: "c", ID: "a"}, network: only{conn: here}}, "b@there:1")
		answer := make(chan error, 1)
		began := time.Now()
		go func() {
			_, err := l.client.Unlock(t.Context(), holdfast.UnlockRequest{UID: "u", Tokens: []holdfast.Token{{Key: "x", Version: 1}}})
			answer <- err
		}()
		if _, err := readLine(there); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.close()
		refusal, ok := errors.AsType[*holdfast.Error](<-answer)
		if took := time.Since(began); !ok || refusal.Code != holdfast.CodeUnavailable || refusal.OutcomeUnknown || took > 0 {
			t.Errorf("after %s: %v", took, refusal)
		}
	})
}

// What may have happened is asked again only where that is harmless; and who waits in
// line does not wait for longer since there was no leader for a while.
func TestWhatIsAskedOfTheLeaderAgain(t *testing.T) {
	tokens := []holdfast.Token{{Key: "x", Version: 1}}
	for name, c := range map[string]struct {
		ask  func(context.Context, *Store) error
		once bool
	}{
		"lock": {func(ctx context.Context, s *Store) error {
			_, err := s.Lock(ctx, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("x"), Wait: 999 * time.Millisecond})
			return err
		}, false},
		"extend": {func(ctx context.Context, s *Store) error {
			_, err := s.Extend(ctx, holdfast.ExtendRequest{UID: "u", Tokens: tokens})
			return err
		}, false},
		"unlock": {func(ctx context.Context, s *Store) error {
			_, err := s.Unlock(ctx, holdfast.UnlockRequest{UID: "u", Tokens: tokens})
			return err
		}, true},
		"force": {func(ctx context.Context, s *Store) error {
			_, err := s.Force(ctx, holdfast.ForceRequest{Key: "x"})
			return err
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := keeper.New(0)
				s := &Store{
					keeper: k, queue: make(chan *proposal, 1), written: make(chan struct{}), ctx: t.Context(), peers: &peers{},
					options: Options{Patience: 3 * time.Second}, route: route{changed: make(chan struct{})},
				}
				s.Service = keeper.NewService(k, log{s}, time.Second)
				s.leading.Store(true)
				asked := 0
				over := make(chan error)
				go func() { over <- c.ask(t.Context(), s) }()
				began := time.Now()
				for {
					select {
					case p := <-s.queue:
						asked++
						if late := time.Since(began) >= time.Second; p.cmd.Op == table.Lock && p.cmd.Wait == late {
							t.Errorf("after %v it waits: %v", time.Since(began), p.cmd.Wait)
						}
						s.reply(p, answer{err: errUnknown(nil, "gone")})
						continue
					case err := <-over:
						if refusal, ok := err.(*holdfast.Error); !ok || !refusal.OutcomeUnknown || (asked == 1) != c.once {
							t.Errorf("asked %d times, and told %v", asked, err)
						}
					}
					return
				}
			})
		})
	}
}

// A leader that is none any more is still heard for a moment, and then cut off.
func TestWhoDoesNotLeadAnyMoreIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(&peers{}, "a@a:1")
		r := route{link: l}
		r.mu.Lock()
		r.retire()
		r.mu.Unlock()
		time.Sleep(answerStillWithin - time.Nanosecond)
		if l.over.Err() != nil {
			t.Error("it was cut off at once")
		}
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		if l.over.Err() == nil || len(r.old) != 0 {
			t.Error("it is still there")
		}
	})
}
