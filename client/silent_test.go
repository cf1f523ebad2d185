package client_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
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

// A large answer over a slow link takes longer than a server may be silent.
func TestAnAnswerMayTakeAsLongAsItNeedsToArrive(t *testing.T) {
	for name, test := range map[string]struct {
		pause time.Duration // behind each byte
		fails bool
	}{"slow": {pause: time.Second}, "at a halt": {pause: time.Hour, fails: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reach := roundTrip(func(r *http.Request) (*http.Response, error) {
					body, text := io.Pipe()
					go func() {
						for _, b := range []byte(`{"locks":[]}`) {
							text.Write([]byte{b})
							select {
							case <-time.After(test.pause):
							case <-r.Context().Done():
								text.CloseWithError(r.Context().Err())
								return
							}
						}
						text.Close()
					}()
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body}, nil
				})
				c := connectWith(t, client.Options{Transport: reach, Patience: -1}, "a")
				began := time.Now()
				_, err := c.List(t.Context(), holdfast.ListRequest{})
				if (err != nil) != test.fails || time.Since(began) > 20*time.Second {
					t.Errorf("%v after %v", err, time.Since(began))
				}
				if err != nil && !strings.Contains(err.Error(), "it takes too long") {
					t.Error(err)
				}
			})
		})
	}
}
