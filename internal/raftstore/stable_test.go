package raftstore

import (
	"context"
	"log/slog"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// fullFor is a disk that is full until a moment.
type fullFor struct {
	raft.StableStore
	until time.Time
}

func (f fullFor) SetUint64(key []byte, value uint64) error {
	if time.Now().Before(f.until) {
		return syscall.ENOSPC
	}
	return f.StableStore.SetUint64(key, value)
}

func TestATermIsWrittenOnceThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := raft.NewInmemStore()
		s := stable{fullFor{inner, time.Now().Add(time.Minute)}, t.Context(), slog.New(slog.DiscardHandler)}
		if err := s.SetUint64([]byte("CurrentTerm"), 7); err != nil {
			t.Fatal(err)
		}
		if got, err := inner.GetUint64([]byte("CurrentTerm")); err != nil || got != 7 {
			t.Fatal(got, err)
		}
	})
}

// A store over a full disk can still be closed.
func TestWritingATermEndsWithTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := stable{fullFor{raft.NewInmemStore(), time.Now().Add(time.Hour)}, ctx, slog.New(slog.DiscardHandler)}
		done := make(chan struct{})
		go func() {
			defer close(done) // as raft does
			s.SetUint64([]byte("CurrentTerm"), 7)
			t.Error("it came back without having written")
		}()
		time.AfterFunc(time.Minute, cancel)
		<-done
	})
}
