package client_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"holdfast/client"
)

// mute lets no upgrade through, and does not say so.
type mute struct{ http.RoundTripper }

func (m mute) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/stream" {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return m.RoundTripper.RoundTrip(r)
}

// Whether there is a stream by now is found out beside the calls: a hold must
// not be lost since something in between is silent about it.
func TestAHoldOutlastsAProxyThatIsSilentAboutTheStream(t *testing.T) {
	for _, exp := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, time.Minute} {
		t.Run(fmt.Sprint(exp), func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				transport := &http.Transport{DialContext: w.network.dial}
				t.Cleanup(transport.CloseIdleConnections)
				w.client = connectWith(t, client.Options{Transport: mute{transport}}, "one")
				held := w.hold(client.Exp(exp))
				for range 2000 {
					time.Sleep(exp / 20)
					w.live(held)
					if left := held.Left(); left < exp/2 { // with a third of exp left, holdfast run ends its command
						t.Fatalf("only %v left", left)
					}
				}
			})
		})
	}
}
