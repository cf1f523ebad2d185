// Package docs_test has the Go code of the documentation. What stands in a
// page stands here word for word; TestGoIsCompiled in cmd/holdfast compares
// them.
package docs_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"sync"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/fence"
	"holdfast/internal/api"
	"holdfast/internal/memory"
)

// readme is the code of README.md, and the beginning of go.md.
func readme(ctx context.Context, work func(context.Context, []holdfast.Token) error) error {
	locks, err := client.New("http://localhost:3000")
	if err != nil {
		return err
	}
	defer locks.Close()
	return locks.Do(ctx, holdfast.Keys("invoice/2031"), func(ctx context.Context, tokens []holdfast.Token) error {
		return work(ctx, tokens)
	})
}

var _ = readme // compiled; nobody listens on port 3000 here

// start gives a client of a server of its own.
func start() (locks *client.Client, stop func()) {
	store := memory.New()
	server := httptest.NewServer(api.New(store, api.Options{}))
	locks, err := client.New(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	return locks, func() {
		locks.Close()
		server.Close()
		store.Close()
	}
}

// One of many machines does the nightly work, and the others do not wait.
func Example_oneOfMany() {
	locks, stop := start()
	defer stop()
	ctx := context.Background()
	report := func(ctx context.Context, tokens []holdfast.Token) error {
		fmt.Println("at work")
		return nil
	}

	other, err := locks.Hold(ctx, holdfast.Keys("nightly"), client.Note("report of Monday"))
	if err != nil {
		log.Fatal(err)
	}

	err = locks.Do(ctx, holdfast.Keys("nightly"), report, client.Wait(0), client.Note("report of Tuesday"))
	if refusal, ok := errors.AsType[*holdfast.Error](err); ok && refusal.Code == holdfast.CodeLocked {
		fmt.Println("another one is at it:", refusal.Blockers[0].Note)
	}

	if err := other.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(locks.Do(ctx, holdfast.Keys("nightly"), report, client.Wait(0)))
	// Output:
	// another one is at it: report of Monday
	// at work
	// <nil>
}

// Leadership is a hold that is kept until it is lost.
func Example_leader() {
	locks, stop := start()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	schedule := func(ctx context.Context, version uint64) {
		fmt.Println("leading:", version > 0)
		cancel() // in real life it goes on until ctx ends
		<-ctx.Done()
	}

	lead := func() error {
		election := locks.Election("scheduler", client.Note("machine 1"))
		for {
			held, err := election.Campaign(ctx) // waits until it is elected
			if err != nil {
				return err
			}
			schedule(held.Context(), held.Token("scheduler").Version) // until the leadership is over
			held.Unlock(context.WithoutCancel(ctx))
		}
	}
	fmt.Println(lead())
	// Output:
	// leading: true
	// context canceled
}

// At most three callers at once.
func Example_quota() {
	locks, stop := start()
	defer stop()
	ctx := context.Background()
	var mu sync.Mutex
	running, most := 0, 0
	call := func(ctx context.Context, tokens []holdfast.Token) error {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		running--
		mu.Unlock()
		return nil
	}

	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			quota := []holdfast.Ask{{Key: "api/maps", Mode: holdfast.Shared, Limit: 3}}
			if err := locks.Do(ctx, quota, call); err != nil {
				log.Print(err)
			}
		})
	}
	all.Wait()
	fmt.Println(most <= 3)
	// Output: true
}

// Readers share, a writer is alone, and both are written as one request.
func Example_readersAndWriters() {
	locks, stop := start()
	defer stop()
	ctx := context.Background()
	work := func(context.Context, []holdfast.Token) error { return nil }

	read := []holdfast.Ask{{Key: "prices.csv", Mode: holdfast.Shared}}
	write := holdfast.Keys("prices.csv")
	copying := []holdfast.Ask{{Key: "prices.csv", Mode: holdfast.Shared}, {Key: "copy.csv"}}

	for _, keys := range [][]holdfast.Ask{read, write, copying} {
		fmt.Println(locks.Do(ctx, keys, work))
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
}

// A hold that is kept by hand.
func Example_hold() {
	locks, stop := start()
	defer stop()
	ctx := context.Background()
	pieces := 0
	piece := func(ctx context.Context, version uint64) error {
		pieces++
		return nil
	}

	work := func() error {
		held, err := locks.Hold(ctx, holdfast.Keys("shard/7"), client.Exp(30*time.Second))
		if err != nil {
			return err
		}
		defer held.Unlock(ctx)
		for range 3 {
			if err := held.Err(); err != nil {
				return err // the hold is over; somebody else may have the key
			}
			if err := piece(held.Context(), held.Token("shard/7").Version); err != nil {
				return err
			}
		}
		return nil
	}
	fmt.Println(work(), pieces)
	// Output: <nil> 3
}

// The resource refuses one who comes late.
func Example_fence() {
	ctx := context.Background()
	text := ""

	var guard fence.Guard // beside the resource, one for all who write to it
	write := func(token holdfast.Token, words string) error {
		return guard.Do(ctx, []holdfast.Token{token}, func() error {
			text = words
			return nil
		})
	}

	fmt.Println(write(holdfast.Token{Key: "report.txt", Version: 18}, "written by Ben"))
	fmt.Println(write(holdfast.Token{Key: "report.txt", Version: 17}, "written by Anna, too late"))
	fmt.Println(text)
	// Output:
	// <nil>
	// key "report.txt": version 17 is older than the newest seen, 18
	// written by Ben
}
