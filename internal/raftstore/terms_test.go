package raftstore

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// A heartbeat never changes the term: it is taken beside raft's other work only
// in the present one, which nobody changes meanwhile.
func TestAHeartbeatDoesNotSetTheTermBack(t *testing.T) {
	const slow = time.Hour
	for name, c := range map[string]struct {
		sent    uint64
		writing bool // term 4 is on its way to the disk
		beside  bool
	}{
		"of the present term":                 {sent: 3, beside: true},
		"of a newer one":                      {sent: 4},
		"of an older one":                     {sent: 2},
		"of the one before, which was slower": {sent: 3, writing: true},
		"of the one that is being written":    {sent: 4, writing: true, beside: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := newSimDisk(rand.New(rand.NewPCG(1, 1)))
				memory.SetUint64(keyCurrentTerm, 3)
				terms, err := newTerms(memory)
				if err != nil {
					t.Fatal(err)
				}
				d := &disk{storage: storage{stable: terms, logs: memory, snapshots: memory}, terms: terms}
				m := mend(newSimTransport(newSimNetwork(1, 1), 0, "n0@"), d, isAdmitted, nil)
				defer m.Close()
				beside := make(chan raft.RPC, 1)
				m.SetHeartbeatHandler(func(rpc raft.RPC) {
					if err := terms.SetUint64(keyCurrentTerm, c.sent); err != nil { // as raft does if it thinks itself a candidate
						t.Error(err)
					}
					beside <- rpc
				})
				began := time.Now()
				if c.writing {
					memory.set(func(d *simDisk) { d.slowest = slow })
					go terms.SetUint64(keyCurrentTerm, 4)
					synctest.Wait()
				}
				go m.transport.(*simTransport).take(&raft.AppendEntriesRequest{Term: c.sent}, nil)
				select {
				case <-beside:
					if !c.beside {
						t.Error("it is taken beside the others")
					}
				case <-m.Consumer():
					if c.beside {
						t.Error("it is taken with the others")
					}
				}
				if waited := time.Since(began) > time.Millisecond; waited != c.writing {
					t.Errorf("it was taken after %v", time.Since(began))
				}
			})
		})
	}
}

// A term that cannot be read is not taken for none.
func TestATermThatCannotBeReadIsAnError(t *testing.T) {
	if terms, err := newTerms(unread{errors.New("not found")}); err != nil || terms.term.Load() != 0 {
		t.Errorf("on an empty disk: %v", err)
	}
	if _, err := newTerms(unread{io.ErrUnexpectedEOF}); err != io.ErrUnexpectedEOF {
		t.Errorf("on a broken disk: %v", err)
	}
}

// unread is where nothing can be read.
type unread struct{ err error }

func (u unread) Set([]byte, []byte) error         { return u.err }
func (u unread) Get([]byte) ([]byte, error)       { return nil, u.err }
func (u unread) SetUint64([]byte, uint64) error   { return u.err }
func (u unread) GetUint64([]byte) (uint64, error) { return 0, u.err }

// What raft does not answer, as when it has been shut down, holds up nobody.
func TestNobodyWaitsForWhatRaftDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		silent := make(unanswered)
		defer close(silent)
		if err := within(ctx, func() unanswered { return silent }); err != context.DeadlineExceeded {
			t.Error(err)
		}
	})
}

type unanswered chan error

func (u unanswered) Error() error { return <-u }

// A term that could not be written is not there: who tries again writes it.
func TestATermThatWasNotWrittenIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newSimDisk(rand.New(rand.NewPCG(1, 1)))
		terms, err := newTerms(memory)
		if err != nil {
			t.Fatal(err)
		}
		for _, full := range []bool{true, false} {
			memory.set(func(d *simDisk) { d.full = full })
			if err := terms.SetUint64(keyCurrentTerm, 4); (err != nil) != full {
				t.Errorf("a full disk: %v: %v", full, err)
			}
		}
		if term, err := memory.GetUint64(keyCurrentTerm); term != 4 || err != nil {
			t.Errorf("on disk: %d, %v", term, err)
		}
	})
}
