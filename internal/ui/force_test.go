package ui_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"holdfast"
)

func TestForceAsksForAReasonAndReleases(t *testing.T) {
	t.Parallel()
	s := serve(t)
	// Those with dots are what no browser sends in a path.
	for _, key := range []string{"a/b", ".", "..", "../..", "%2e%2e", "a b?c#d&e=f", "ü/鍵/😀"} {
		s.lock("stuck", "", key)
	}
	p := s.browse(desktop).live()
	for _, key := range []string{"a/b", ".", "..", "../..", "%2e%2e", "a b?c#d&e=f", "ü/鍵/😀"} {
		p.holds(key, "stuck")
		p.js(row(key) + `.querySelector(".release").click()`)
		p.shows("force", key, "Held by", "stuck", "nobody waits")
		p.press(kb.Enter) // no reason yet
		p.is(`document.getElementById("force").open`, "true")
		p.press("stuck since noon: "+key[:1], kb.Enter)
		p.is(`document.getElementById("force").open`, "false")
		p.shows("toast", "Released")
		p.gone(key)
		p.shows("latest", "forced", "stuck since noon: ")
	}
	if len(p.requests("DELETE /locks?key=..&reason=stuck+since+noon")) != 1 {
		t.Errorf("asked %q", p.requests("DELETE"))
	}
}

// Whoever looks for words may look for too long.
func TestForceShowsWhoHoldsTheLockByNow(t *testing.T) {
	t.Parallel()
	s := serve(t)
	unlock := s.lock("first", "", "k")
	s.waits("second", "", "k")
	p := s.browse(desktop).live()
	p.lined("k", "second")
	p.js(row("k") + `.querySelector(".release").click()`)
	p.shows("force", "first", "1 request in line behind")
	unlock()
	p.shows("force", "second", "nobody waits")
	s.store.Force(t.Context(), holdfast.ForceRequest{Key: "k"})
	p.shows("force", "Held by nobody now")
	p.press("too late", kb.Enter)
	p.shows("toast", "Nobody held")
}

func TestForceSaysWhatWentWrong(t *testing.T) {
	t.Parallel()
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodDelete {
				next.ServeHTTP(w, r)
				return
			}
			refuse(w, http.StatusServiceUnavailable, `{"error":"unavailable","message":"no leader"}`)
		})
	})
	s.lock("stuck", "", "k")
	p := s.browse(desktop).live()
	p.holds("k", "stuck")
	p.js(row("k") + `.querySelector(".release").click()`)
	p.press("why", kb.Enter)
	p.shows("force-wrong", "Not released: no leader")
	p.press(kb.Escape)
	p.is(`document.getElementById("force").open`, "false")
}

// The next owner is not one of those that the list is asked for; it is the one
// who would be released.
func TestForceShowsWhoHoldsALockThatLeftTheList(t *testing.T) {
	t.Parallel()
	s := serve(t)
	unlock := s.lock("first", "", "k")
	s.waits("second", "", "k")
	l := desktop
	l.hash = "#uid=first"
	p := s.browse(l).live()
	p.lined("k", "second")
	p.js(row("k") + `.querySelector(".release").click()`)
	p.shows("force", "first", "1 request in line behind")
	unlock()
	p.gone("k")
	p.shows("force", "Held by", "second", "nobody waits")
	s.store.Force(t.Context(), holdfast.ForceRequest{Key: "k"})
	p.shows("force", "Held by nobody now")
	s.lock("third", "", "k2") // is no answer to what becomes of k
	s.lock("fourth", "", "k")
	p.shows("force", "Held by", "fourth")
}

// Who reads that nothing was released tries again, and hits the next owner.
func TestForceSaysWhenItMayHaveHappened(t *testing.T) {
	t.Parallel()
	var way atomic.Int32
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodDelete {
				next.ServeHTTP(w, r)
				return
			}
			switch way.Load() {
			case 0:
				refuse(w, http.StatusServiceUnavailable, `{"error":"unavailable","message":"the leader is gone","outcome":"unknown"}`)
			case 1: // a proxy that has waited for long enough
				w.WriteHeader(http.StatusGatewayTimeout)
			default:
				panic(http.ErrAbortHandler)
			}
		})
	})
	s.lock("stuck", "", "k")
	p := s.browse(desktop).live()
	p.holds("k", "stuck")
	p.js(row("k") + `.querySelector(".release").click()`)
	p.press("why")
	for i, why := range []string{"the leader is gone", "the server answered 504", "the server cannot be reached"} {
		way.Store(int32(i))
		p.press(kb.Enter)
		p.shows("force-wrong", "It may have been released: "+why)
	}
}

// An answer that comes late is about the lock that was asked for then.
func TestForceTellsALateAnswerFromWhatIsAskedNow(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	var fail atomic.Bool
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				<-hold
				if fail.Load() {
					refuse(w, http.StatusServiceUnavailable, `{"error":"unavailable","message":"no leader"}`)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	for i := range 2 {
		s.lock("one", "", fmt.Sprint("late-", i))
	}
	s.lock("two", "", "next")
	p := s.browse(desktop).live()
	p.holds("next", "two")
	for i, said := range []string{"Released \u2068late-0\u2069, held by \u2068one\u2069.", "late-1\u2069: Not released: no leader"} {
		fail.Store(i == 1)
		late := fmt.Sprint("late-", i)
		p.holds(late, "one")
		p.js(row(late) + `.querySelector(".release").click()`)
		p.press("why", kb.Enter, kb.Escape)
		p.is(`document.getElementById("force").open`, "false")
		p.js(row("next") + `.querySelector(".release").click()`)
		p.is(`document.getElementById("force-do").disabled`, "false")
		hold <- struct{}{}
		p.shows("toast", said)
		p.is(`document.getElementById("force").open`, "true")
		p.text(`document.getElementById("force-key").textContent`, "next")
		p.text(`document.getElementById("force-wrong").textContent`, "")
		p.press(kb.Escape)
	}
	p.holds("next", "two")
}

func TestForceWantsWordsForAReason(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.lock("stuck", "", "k")
	p := s.browse(desktop).live()
	p.holds("k", "stuck")
	p.js(row("k") + `.querySelector(".release").click()`)
	p.press("   ", kb.Enter)
	p.shows("force-wrong", "Say a reason")
	if asked := p.requests("DELETE"); len(asked) > 0 {
		t.Errorf("asked %q", asked)
	}
}
