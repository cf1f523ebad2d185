package client_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/client"
)

// Of five servers two may die at once. That is noticed soon enough not to end
// what is done with the hold: see run of the command line.
func TestAHoldOutlastsAMinorityThatFallsSilent(t *testing.T) {
	for _, hosts := range [][]string{
		{"one", "two", "three"}, {"one", "two", "three", "four", "five"},
		{"one", "two", "three", "four", "five", "six", "seven"},
	} {
		within(t, func(t *testing.T, w *world) {
			for _, host := range hosts[1:] {
				w.network.serve(t, host, w.store)
			}
			var silent atomic.Int32 // so many servers, from the first on
			reach := w.network.transport(t)
			w.client = connectWith(t, client.Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if slices.Index(hosts, r.URL.Host) < int(silent.Load()) {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return reach.RoundTrip(r)
			})}, hosts...)
			const exp = 10 * time.Second
			held := w.hold(client.Exp(exp))
			time.Sleep(time.Minute)
			silent.Store(int32(len(hosts) / 2))
			w.network.sever()
			for range 1000 {
				time.Sleep(exp / 100)
				if left := held.Left(); left < exp*7/30 {
					t.Fatalf("%d servers: %v are left", len(hosts), left)
				}
			}
			w.live(held)
		})
	}
}
