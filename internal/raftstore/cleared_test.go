package raftstore

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/internal/table"
)

// fullLog gives a log of entries 4 to 8, on a disk from which none can be dropped.
func fullLog(closing context.Context) (*cleared, *simDisk) {
	memory := newSimDisk(rand.New(rand.NewPCG(1, 1)))
	for index := uint64(4); index <= 8; index++ {
		memory.StoreLog(&raft.Log{Index: index})
	}
	memory.keeps = true
	return &cleared{logWriter: newLogWriter(memory), closing: closing, logger: slog.New(slog.DiscardHandler)}, memory
}

func TestALogIsClearedOnceThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, memory := fullLog(t.Context())
		for _, some := range [][2]uint64{{4, 7}, {5, 8}, {1, 3}} {
			if err := log.DeleteRange(some[0], some[1]); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("entries %d to %d: %v", some[0], some[1], err)
			}
		}
		time.AfterFunc(time.Minute, func() { memory.set(func(d *simDisk) { d.keeps = false }) })
		if err := log.DeleteRange(4, 8); err != nil {
			t.Error(err)
		}
		if last, _ := memory.LastIndex(); last != 0 {
			t.Errorf("it goes on to %d", last)
		}
	})
}

func TestTheEndOfALogIsReplacedOnceThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, memory := fullLog(t.Context())
		memory.keeps, memory.room = false, 5
		if err := log.StoreLogs([]*raft.Log{{Index: 9}}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("behind the end: %v", err)
		}
		if err := log.DeleteRange(6, 8); err != nil {
			t.Error(err)
		}
		began := time.Now()
		time.AfterFunc(time.Minute, func() { memory.set(func(d *simDisk) { d.room = 7 }) })
		if err := log.StoreLogs([]*raft.Log{{Index: 6}, {Index: 7}}); err != nil || time.Since(began) < time.Minute {
			t.Errorf("in the place of others: %v after %v", err, time.Since(began))
		}
		if err := log.StoreLogs([]*raft.Log{{Index: 8}}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("behind the new end: %v", err)
		}
	})
}

// A store over a full disk can still be closed.
func TestClearingALogEndsWithTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		log, _ := fullLog(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done) // as raft does
			log.DeleteRange(4, 8)
			t.Error("it came back without having cleared the log")
		}()
		time.AfterFunc(time.Minute, cancel)
		<-done
	})
}

// A disk is full just when a snapshot of another node is there, and the log that
// ends before it shall go.
func TestANodeThatCouldNotClearItsLogGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		leader := w.leader()
		late := w.nodes[(leader.index+1)%3]
		has := func(n *simNode) uint64 { return n.living().raft.AppliedIndex() }
		write := func() {
			if _, err := leader.living().propose(context.Background(), table.Command{Op: table.Raise, Floor: has(leader)}); err != nil {
				t.Error(err)
			}
		}
		level := func() bool { return has(late) == has(leader) }
		write()
		w.within("all are level", level)
		late.disk.set(func(d *simDisk) { d.keeps = true })
		heal := w.cut(func(from, to int) bool { return from == late.index || to == late.index })
		for range 40 {
			write()
		}
		if err := leader.living().raft.Snapshot().Error(); err != nil {
			t.Error(err)
		}
		heal()
		w.within("the snapshot is there", func() bool {
			newest, err := late.living().disk.newest()
			return err == nil && newest != nil
		})
		write()
		time.Sleep(time.Second)
		last, _ := late.disk.LastIndex()
		if newest, _ := late.living().disk.newest(); last == 0 || last >= newest.Index {
			t.Errorf("the log ends with entry %d, the snapshot with %d", last, newest.Index)
		}
		late.disk.set(func(d *simDisk) { d.keeps = false })
		w.within("it catches up", level)
		write()
		w.within("it keeps up", level)
		w.end()
	})
}

// A leader that was cut off wrote what nobody else has. Its disk is full when it
// is sent what the others wrote instead.
func TestANodeThatCouldNotReplaceTheEndOfItsLogGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, false)
		old := w.leader()
		has := func(n *simNode) uint64 { return n.living().raft.AppliedIndex() }
		write := func(n *simNode) {
			if _, err := n.living().propose(context.Background(), table.Command{Op: table.Raise, Floor: 1}); err != nil {
				t.Error(err)
			}
		}
		write(old)
		heal := w.cut(func(from, to int) bool { return from == old.index || to == old.index })
		last, _ := old.disk.LastIndex()
		go old.living().propose(context.Background(), table.Command{Op: table.Raise, Floor: 2})
		w.within("its log goes on", func() bool { now, _ := old.disk.LastIndex(); return now > last })
		var leader *simNode
		w.within("another one leads", func() bool {
			for _, n := range w.nodes[:3] {
				if n != old && n.living().leading.Load() {
					leader = n
				}
			}
			return leader != nil
		})
		write(leader)
		old.disk.set(func(d *simDisk) { d.room = last })
		heal()
		w.within("the end of its log is dropped", func() bool { now, _ := old.disk.LastIndex(); return now == last })
		write(leader)
		time.Sleep(time.Second)
		old.disk.set(func(d *simDisk) { d.room = 0 })
		level := func() bool { return has(old) == has(leader) }
		w.within("it catches up", level)
		write(leader)
		w.within("it keeps up", level)
		w.end()
	})
}
