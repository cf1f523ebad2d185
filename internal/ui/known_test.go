package ui_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// A server that hangs refuses long after the last thing that it told.
func TestAStalePageSaysWhenItLastKnew(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() && r.URL.Path == "/locks" {
				time.Sleep(3 * time.Second)
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprint(w, `{"error":"unavailable","message":"no leader"}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	p := s.browse(desktop).live()
	s.lock("a", "", "k1")
	p.holds("k1", "a")
	broken.Store(true)
	s.lock("a", "", "k2")
	p.js(`window.broken = Math.floor(Date.now() / 1000) * 1000`)
	p.shows("banner", "no leader")
	// The time of today, or of yesterday after midnight, at which the page says that it knew.
	said := `new Date().setHours(...document.getElementById("banner").textContent.match(/\d\d:\d\d:\d\d/)[0].split(":"), 0)`
	p.is(`(`+said+`) <= broken || (`+said+`) > Date.now()`, "true")
}

// One owner that comes again is one line on the page, and not one hold.
func TestSinceWhenAHoldIsHeldIsOfThatHold(t *testing.T) {
	t.Parallel()
	s := serve(t)
	unlock := s.lock("a", "", "k")
	p := s.browse(desktop).live()
	p.holds("k", "a")
	since := row("k") + `.querySelector(".since").title`
	first := p.js(since)
	time.Sleep(1100 * time.Millisecond) // so that it is another second
	p.js(`window.element = ` + row("k") + `.querySelector(".holder")`)
	unlock()
	s.lock("a", "", "k")
	p.until(since, func(got string) bool { return got != first }, "another one than "+first)
	p.is(`element.isConnected`, "true")
}
