package ui_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"holdfast"
)

// A server that hangs refuses long after the last thing that it told.
func TestAStalePageSaysWhenItLastKnew(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() && r.URL.Path == "/locks" {
				time.Sleep(3 * time.Second)
				refuse(w, http.StatusServiceUnavailable, `{"error":"unavailable","message":"no leader"}`)
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

// forbid refuses what is asked at a path to whoever asks.
func forbid(path, verb string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				refuse(w, http.StatusForbidden, `{"error":"forbidden","message":"you have no grant to `+verb+`"}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestAPageThatNeverKnewSaysSo(t *testing.T) {
	t.Parallel()
	s := serve(t, forbid("/locks", "list any key"))
	s.lock("a", "", "k")
	s.waits("b", "", "k")
	p := s.browse(desktop)
	p.text(`document.getElementById("banner").textContent`, "Nothing is known yet: you have no grant to list any key. Trying again.")
	p.is(`document.getElementById("waits").textContent`, `""`) // not that nobody waits
}

// Without a count, which not everybody may have, the page looks by itself who waits.
func TestWhoWaitsIsKnownWithoutACount(t *testing.T) {
	t.Parallel()
	s := serve(t, forbid("/count", "count"))
	s.browse(desktop).shows("waits", "Nobody waits")
	s.lock("a", "", "k")
	s.waits("b", "", "k")
	s.browse(desktop).shows("waits", "b")
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

// An event does not say when it was, and one that was missed was not now.
func TestWhatWasMissedIsNotOfNow(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := s.browse(desktop).live()
	s.lock("a", "", "seen") // an event to go on from
	when := func(key string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#latest li")].find((li) => li.querySelector(".key")?.textContent === %q)?.firstChild.textContent`, key)
	}
	clock := func(got string) bool { return len(got) == len(`"12:34:56"`) && got[3] == ':' }
	p.until(when("seen"), clock, "a time")
	s.down()
	p.is(`document.getElementById("state").dataset.state`, `"stale"`)
	if _, err := s.store.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("missed"), Exp: time.Hour}); err != nil {
		t.Fatal(err)
	}
	s.up()
	p.live()
	p.text(when("missed"), "earlier")
	for i := range 30 { // for a second the page takes what comes for missed
		key := fmt.Sprint("new-", i)
		s.lock("c", "", key)
		p.until(when(key), func(got string) bool { return got != "null" && got != "" }, "something")
		if clock(p.js(when(key))) {
			return
		}
	}
	t.Error("what comes is still taken for missed")
}

// A slow answer to what is not asked any more says nothing of what is.
func TestALateListIsNotTakenForThatOfAnotherFilter(t *testing.T) {
	t.Parallel()
	come := map[string]chan struct{}{"none": make(chan struct{}), "x": make(chan struct{})}
	free := make(chan struct{})
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c := come[r.URL.Query().Get("prefix")]; c != nil {
				for range 2 { // it has come, and may be answered
					select {
					case c <- struct{}{}:
					case <-free:
					}
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	s.lock("a", "", "x1")
	l := desktop
	l.hash = "#prefix=none"
	p := s.browse(l)
	<-come["none"]
	p.js(`location.hash = "prefix=x"`)
	p.text(`document.getElementById("prefix").value`, "x")
	<-come["none"]
	<-come["x"]
	p.is(`document.getElementById("empty").hidden`, "true")
	close(free)
	p.holds("x1", "a")
}

// A browser that takes no cookies has no storage either.
func TestAPageWithoutStorageWorks(t *testing.T) {
	t.Parallel()
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/locks" && r.Header.Get("Authorization") == "" {
				refuse(w, http.StatusUnauthorized, `{"error":"unauthenticated","message":"a token is needed"}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	s.lock("a", "", "k")
	p := s.browse(desktop)
	const refused = `Object.defineProperty(window, "sessionStorage", { get() { throw new DOMException("", "SecurityError"); } })`
	tell(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: refused})
	run(p, chromedp.Reload())
	p.is(`document.activeElement.id`, `"token-text"`)
	p.press("s3cret", kb.Enter)
	p.live().holds("k", "a")
}

// To look for a token takes longer than a server may take.
func TestATokenCanTakeItsTime(t *testing.T) {
	t.Parallel()
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/count" && r.Header.Get("Authorization") != "Bearer s3cret" {
				refuse(w, http.StatusUnauthorized, `{"error":"unauthenticated","message":"a token is needed"}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	p := s.browse(desktop)
	p.is(`document.activeElement.id`, `"token-text"`)
	p.js(`void import("/ui/ask.js").then(({ ask }) => ask("GET", "/count", {}, { patience: 4000 })).then(
		() => (window.came = "an answer"), (error) => (window.came = String(error)))`)
	time.Sleep(4500 * time.Millisecond)
	p.press("s3cret", kb.Enter)
	p.is(`window.came`, `"an answer"`)
}
