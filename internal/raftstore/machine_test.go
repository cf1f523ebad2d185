package raftstore

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
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
