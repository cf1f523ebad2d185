package raftstore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/keeper"
	"holdfast/internal/table"
)

// slowSink takes a second for each piece of a snapshot.
type slowSink struct {
	bytes.Buffer
	pieces int
}

func (s *slowSink) Write(piece []byte) (int, error) {
	time.Sleep(time.Second)
	s.pieces++
	return s.Buffer.Write(piece)
}

func (*slowSink) ID() string    { return "slow" }
func (*slowSink) Cancel() error { return nil }
func (*slowSink) Close() error  { return nil }

// A snapshot takes the disk and a processor for half of the time at most.
func TestASnapshotIsWrittenWithoutHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := table.New(0)
		for i := range 5000 {
			held.Apply(&table.Command{Op: table.Lock, UID: "u", Keys: holdfast.Keys(fmt.Sprint("key-", i)), Exp: time.Hour})
		}
		began := time.Now()
		sink := &slowSink{}
		if err := (snapshot{held.Snapshot(), func() {}}).Persist(sink); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); sink.pieces < 2 || took != time.Duration(2*sink.pieces)*time.Second {
			t.Errorf("%d pieces took %v", sink.pieces, took)
		}
		if read, err := table.Read(&sink.Buffer); err != nil || read.Holds() != 5000 {
			t.Errorf("it reads as %v, %v", read.Holds(), err)
		}
	})
}

// fullSink has no room for the end of a snapshot.
type fullSink struct{ slowSink }

func (*fullSink) Close() error { return syscall.ENOSPC }

// A snapshot that did not get to the disk is none: raft would drop the log behind it.
func TestASnapshotThatCannotBeFinishedIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		covered := false
		err := (snapshot{table.New(0).Snapshot(), func() { covered = true }}).Persist(&fullSink{})
		if err != syscall.ENOSPC || covered {
			t.Errorf("%v, and it counts: %v", err, covered)
		}
	})
}

// An entry of another process is carried out as it is written, also when this one
// has an entry of the same number under way.
func TestAnEntryIsThatOfItsWriter(t *testing.T) {
	asking := func(uid string) []*proposal {
		cmd := table.Command{Op: table.Lock, UID: uid, Keys: holdfast.Keys("x"), Exp: time.Hour}
		return []*proposal{{cmd: cmd, answer: make(chan answer, 1)}}
	}
	s := &Store{keeper: keeper.New(0), disk: &disk{life: 1}}
	own := newBatch(7, asking("own"), func() {})
	s.batches.Store(own.number, own)
	another := &Store{disk: &disk{life: 2}}
	machine{s}.Apply(&raft.Log{Data: another.encode(newBatch(7, asking("another"), nil))})
	if own.claimed.Load() {
		t.Error("its own was answered")
	}
	var kept bytes.Buffer
	s.keeper.Snapshot().WriteTo(&kept)
	if after, err := table.Read(&kept); err != nil || after.Holds() != 1 || !after.Held([]string{"x"}) {
		t.Error("the other one was not carried out:", err)
	} else {
		after.EachHold(func(h *holdfast.Hold) {
			if h.UID != "another" {
				t.Errorf("%s was granted it", h.UID)
			}
		})
	}
}

// A byte that is not as it was written is noticed, and so is a newer format.
func TestADamagedEntryIsRefused(t *testing.T) {
	s := &Store{disk: &disk{life: 1}}
	entry := s.encode(newBatch(300, []*proposal{{cmd: table.Command{Op: table.Raise, Floor: 9}}}, nil))
	if life, number, _, err := header(entry); err != nil || life != 1 || number != 300 {
		t.Fatal(life, number, err)
	}
	for i := range entry {
		entry[i] ^= 0x40
		if _, _, _, err := header(entry); err == nil {
			t.Errorf("byte %d of %d was changed", i, len(entry))
		}
		entry[i] ^= 0x40
	}
	entry[0] = entryVersion + 1
	if _, _, _, err := header(entry); err == nil || !strings.Contains(err.Error(), "a newer version of holdfast") {
		t.Errorf("a newer format: %v", err)
	}
}

// What cannot be carried out stops the start, not the process.
func TestAnEntryThatCannotBeReadStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	kept, err := openDir(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	last, err := kept.logs.LastIndex()
	if err == nil {
		err = kept.logs.StoreLogs([]*raft.Log{{Index: last + 1, Term: 2, Type: raft.LogCommand, Data: []byte{entryVersion + 1}}})
	}
	if err = errors.Join(err, kept.close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "a newer version of holdfast") {
		t.Errorf("opened: %v", err)
	}
}
