package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"sync"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/api"
	"holdfast/internal/memory"
)

// start gives a client of a server of its own. In real life it is
// client.New("http://locks-1:3000", "http://locks-2:3000").
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

// Servers that want to know who asks are shown a token, over TLS.
func ExampleOptions_New() {
	store := memory.New()
	defer store.Close()
	server := httptest.NewTLSServer(api.New(store, api.Options{}))
	defer server.Close()

	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate()) // in real life AppendCertsFromPEM, of their ca.pem
	options := client.Options{
		Token:    os.Getenv("HOLDFAST_TOKEN"),
		TLS:      &tls.Config{RootCAs: roots},
		Patience: 5 * time.Second,
	}
	locks, err := options.New(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close()
	fmt.Println(locks.Check(context.Background(), []string{"invoice/2031"}))
	// Output: false <nil>
}

func ExampleClient_Do() {
	locks, stop := start()
	defer stop()

	// Eight goroutines add to a counter that knows no atomic addition.
	counter := 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			err := locks.Do(context.Background(), holdfast.Keys("counter"),
				func(ctx context.Context, tokens []holdfast.Token) error {
					seen := counter
					time.Sleep(time.Millisecond)
					counter = seen + 1
					return nil
				})
			if err != nil {
				log.Print(err)
			}
		})
	}
	all.Wait()
	fmt.Println(counter)
	// Output: 8
}

// Who does not want to wait is told who holds the key, and why.
func ExampleWait() {
	locks, stop := start()
	defer stop()
	ctx := context.Background()

	first, err := locks.Hold(ctx, holdfast.Keys("nightly"), client.UID("machine-1"), client.Note("report of Monday"))
	if err != nil {
		log.Fatal(err)
	}
	defer first.Unlock(ctx)

	_, err = locks.Hold(ctx, holdfast.Keys("nightly"), client.Wait(0))
	if refusal, ok := errors.AsType[*holdfast.Error](err); ok && refusal.Code == holdfast.CodeLocked {
		fmt.Println(refusal.Blockers[0].UID, "is at it:", refusal.Blockers[0].Note)
	}
	// Output: machine-1 is at it: report of Monday
}

func ExampleClient_Hold() {
	locks, stop := start()
	defer stop()
	ctx := context.Background()

	held, err := locks.Hold(ctx, holdfast.Keys("shard/7"), client.Exp(300*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	defer held.Unlock(ctx)

	// An operator releases the key by force; the next extension hears of it.
	if _, err := locks.Force(ctx, holdfast.ForceRequest{Key: "shard/7", Reason: "stuck"}); err != nil {
		log.Fatal(err)
	}
	<-held.Context().Done()
	fmt.Println(errors.Is(held.Err(), client.ErrLost))
	// Output: true
}

// A key that at most two may hold.
func ExampleClient_Hold_semaphore() {
	locks, stop := start()
	defer stop()
	ctx := context.Background()
	licence := []holdfast.Ask{{Key: "licence", Mode: holdfast.Shared, Limit: 2}}

	for i := range 3 {
		held, err := locks.Hold(ctx, licence, client.Wait(0))
		defer held.Unlock(ctx) // harmless if there is none
		fmt.Println(i, err == nil, holdfast.ErrorCode(err) == holdfast.CodeLocked)
	}
	// Output:
	// 0 true false
	// 1 true false
	// 2 false true
}

func ExampleElection_Campaign() {
	locks, stop := start()
	defer stop()
	ctx := context.Background()

	one := locks.Election("scheduler", client.Note("machine 1"))
	two := locks.Election("scheduler", client.Note("machine 2"))

	first, err := one.Campaign(ctx)
	if err != nil {
		log.Fatal(err)
	}
	elected := make(chan *client.Held)
	go func() {
		second, err := two.Campaign(ctx) // waits until the first one resigns
		if err != nil {
			log.Print(err)
		}
		elected <- second
	}()
	if err := one.Resign(ctx); err != nil {
		log.Fatal(err)
	}
	second := <-elected
	fmt.Println("the first is over:", first.Context().Err() != nil)
	fmt.Println("the second has a higher version:", second.Token("scheduler").Version > first.Token("scheduler").Version)
	if err := two.Resign(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// the first is over: true
	// the second has a higher version: true
}

func ExampleElection_Observe() {
	locks, stop := start()
	defer stop()
	ctx := context.Background()

	election := locks.Election("scheduler", client.Note("machine 1"))
	for leader, err := range election.Observe(ctx) {
		switch {
		case err != nil:
			log.Fatal(err)
		case leader.Version == 0:
			fmt.Println("nobody leads")
			if _, err := election.Campaign(ctx); err != nil {
				log.Fatal(err)
			}
		default:
			fmt.Println(leader.Note, "leads")
			if err := election.Resign(ctx); err != nil {
				log.Fatal(err)
			}
			return
		}
	}
	// Output:
	// nobody leads
	// machine 1 leads
}

// The calls themselves, for those who keep tokens on their own.
func ExampleClient_Lock() {
	locks, stop := start()
	defer stop()
	ctx := context.Background()

	grant, err := locks.Lock(ctx, holdfast.LockRequest{
		UID:  "billing-7",
		Keys: holdfast.Keys("invoice/2031", "invoice/2032"),
		Exp:  10 * time.Second,
		Wait: time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	released, err := locks.Unlock(ctx, holdfast.UnlockRequest{UID: "billing-7", Tokens: grant.Tokens})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(released)
	// Output: [invoice/2031 invoice/2032]
}
