package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/bench"
	"holdfast/internal/redistest"
)

func TestOnlyOneHoldsAKeyAndOnlyItUnlocks(t *testing.T) {
	server := redistest.Start(t)
	db := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer db.Close()
	c := &command{Exp: time.Hour, Poll: time.Millisecond}
	a, b := &owner{c, db, "a"}, &owner{c, db, "b"}
	ctx := t.Context()
	if err := a.Lock(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := b.Lock(short, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("both hold it: %v", err)
	}
	if err := b.Unlock(ctx, "x"); !errors.Is(err, bench.ErrNotHeld) {
		t.Errorf("one unlocked what the other holds: %v", err)
	}
	if left := server.Do("PTTL", "x"); len(left) != len("3600000") {
		t.Errorf("it lives for %s ms", left)
	}
	locked := make(chan error)
	go func() { locked <- b.Lock(ctx, "x") }()
	if err := a.Unlock(ctx, "x"); err != nil {
		t.Error(err)
	}
	if err := <-locked; err != nil {
		t.Error(err)
	}
}
