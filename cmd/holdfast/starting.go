package main

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"holdfast/internal/api"
)

// answerMeanwhile answers requests until the store is open. A large state takes a
// while to read, and a node may wait for a cluster to join: whoever looks after the
// process shall see that it lives, and a client shall not wait here in vain. The
// listener stays open when stop comes back.
func answerMeanwhile(listener net.Listener, secure *tls.Config, options api.Options) (stop func()) {
	server := api.NewServer(api.New(nil, options))
	lent := lent{listener.(*net.TCPListener)}
	ended := make(chan error, 1)
	go func() { ended <- serveOn(server, lent, secure) }()
	return func() {
		patience, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(patience) // whoever is cut off asks again
		<-ended                       // with an error that the service will have as well, if any
		_ = lent.SetDeadline(time.Time{})
	}
}

// lent is a listener that goes on when whoever had it is done with it.
type lent struct{ *net.TCPListener }

// Close ends an Accept that is under way.
func (l lent) Close() error { return l.SetDeadline(time.Unix(1, 0)) }
