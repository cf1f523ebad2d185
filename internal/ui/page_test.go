package ui_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"holdfast"
)

// row is the expression for the row of a key.
func row(key string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#rows tr")].find((row) => row.querySelector(".key").textContent === %s)`, quote(key))
}

// quote writes a text for JavaScript.
func quote(text string) string {
	quoted, _ := json.Marshal(text) // which every string can be
	return string(quoted)
}

// holds waits until a key is shown with its owner.
func (p *tab) holds(key, uid string) {
	p.t.Helper()
	p.text(row(key)+`?.querySelector(".holder .uid")?.textContent`, uid)
}

// gone waits until a key is not shown.
func (p *tab) gone(key string) {
	p.t.Helper()
	p.is(row(key)+" === undefined", "true")
}

// lined waits until exactly these stand in the line of a key.
func (p *tab) lined(key string, uids ...string) {
	p.t.Helper()
	p.text(fmt.Sprintf(`[...(%s?.querySelectorAll(".line .uid") ?? [])].map((uid) => uid.textContent).join(" ")`, row(key)), strings.Join(uids, " "))
}

func TestALockIsShownWithAllThatIsKnownOfIt(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := s.browse(desktop).live()
	p.shows("empty", "Nobody holds anything", "/lock -d")
	p.shows("waits", "Nobody waits")

	unlock := s.lock("billing-7", "monthly run", "invoice/2031")
	p.holds("invoice/2031", "billing-7")
	p.is(row("invoice/2031")+`.querySelector(".note").textContent`, `"monthly run"`)
	p.is(row("invoice/2031")+`.querySelector(".mode").textContent`, `"exclusive"`)
	p.is(`/^9 min 5\d s$/.test(`+row("invoice/2031")+`.querySelector(".left").textContent)`, "true")
	p.is(`/^for \d s$/.test(`+row("invoice/2031")+`.querySelector(".since").textContent)`, "true")
	p.shows("tiles", "Holds\n1")
	p.shows("latest", "granted", "invoice/2031", "billing-7")

	s.waits("web-3", "refund", "invoice/2031")
	p.lined("invoice/2031", "web-3")
	s.waits("web-9", "", "invoice/2031")
	p.lined("invoice/2031", "web-3", "web-9")
	p.is(row("invoice/2031")+`.querySelector(".line .note").textContent`, `"refund"`)
	p.shows("tiles", "In line\n2")

	unlock()
	p.holds("invoice/2031", "web-3")
	p.lined("invoice/2031", "web-9")
	p.shows("latest", "given back")
}

// From the answer to what is seen. Without events it would take the five
// seconds until the page looks again.
func TestWhatHappensIsShownWithinASecond(t *testing.T) {
	s := serve(t)
	p := s.browse(desktop).live()
	p.shows("empty", "Nobody holds anything")
	granted, released, lined := time.Hour, time.Hour, time.Hour
	for i := range 5 { // a busy machine may be slow once
		key := fmt.Sprint("job/", i)
		begun := time.Now()
		unlock := s.lock("me", "", key)
		p.holds(key, "me")
		granted = min(granted, time.Since(begun))

		begun = time.Now()
		s.waits("you", "", key)
		p.lined(key, "you")
		lined = min(lined, time.Since(begun))

		begun = time.Now()
		unlock()
		p.holds(key, "you")
		released = min(released, time.Since(begun))
	}
	if max(granted, lined, released) > time.Second {
		t.Errorf("a lock was shown after %v, a waiter after %v, a release after %v", granted, lined, released)
	}
}

func TestWhatEndsGoesAway(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := s.browse(desktop).live()
	s.lock("a", "", "kept")
	unlock := s.lock("a", "", "given-back")
	s.lockFor(2*time.Second, "a", "", "run-out")
	leave := s.waits("b", "", "kept")
	p.holds("run-out", "a")
	p.lined("kept", "b")
	unlock()
	p.gone("given-back")
	p.gone("run-out")
	p.shows("latest", "ran out")
	leave()
	p.lined("kept")
	p.shows("waits", "Nobody waits")
}

func TestTheBarRunsByItselfAndBeginsAnewWithAnExtension(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := s.browse(desktop).live()
	s.lockFor(20*time.Second, "a", "", "k")
	p.holds("k", "a")
	// What there is of the bar, of 1.
	bar := `new DOMMatrix(getComputedStyle(` + row("k") + `.querySelector(".bar i")).transform).a`
	asked := len(p.requests("GET /locks?"))
	p.is(bar+" > 0.9", "true")
	p.is(bar+" < 0.9", "true")
	if more := len(p.requests("GET /locks?")) - asked; more > 2 {
		t.Errorf("the bar ran with %d requests", more)
	}
	if err := s.post(t.Context(), "/extend", fields{"uid": "a", "exp": 40_000}, nil); err != nil {
		t.Fatal(err)
	}
	p.is(bar+" > 0.97", "true")
	p.is(`/^3\d s$/.test(`+row("k")+`.querySelector(".left").textContent)`, "true")
}

func TestWhoWantsNoMotionGetsNone(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.lockFor(20*time.Second, "a", "", "k")
	l := desktop
	l.still = true
	p := s.browse(l).live()
	p.holds("k", "a")
	p.is(`document.getAnimations().length`, "0")
	p.is(`new DOMMatrix(getComputedStyle(`+row("k")+`.querySelector(".bar i")).transform).a < 0.95`, "true")
}

func TestModesAndLimitsAreShown(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for i := range 9 {
		s.share(fmt.Sprint("reader-", i), "table", 12, time.Minute)
	}
	p := s.browse(desktop).live()
	p.is(row("table")+`?.querySelector(".mode").textContent`, `"shared by 9 of 12"`)
	p.is(row("table")+`.querySelectorAll(".holder").length`, "6")
	p.is(row("table")+`.querySelector(".holding .more").textContent`, `"and 3 more owners"`)
}

func TestWhoWaitsForWhomIsDrawnTheLongestChainFirst(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.lock("z1", "", "other")
	s.waits("z2", "", "other")
	for i := range 4 {
		s.lock(fmt.Sprint("owner-", i), "", fmt.Sprint("key-", i))
	}
	for i := range 3 {
		s.waits(fmt.Sprint("owner-", i+1), "", fmt.Sprint("key-", i))
	}
	s.waits("leaf", "", "key-0")
	p := s.browse(desktop).live()
	names := `[...document.querySelectorAll("#waits text:not(.why)")].map((text) => text.firstChild.data).join(" ")`
	p.is(names, `"owner-0 owner-1 owner-2 owner-3 leaf z1 z2"`)
	p.shows("waits-facts", "5 owners in 2 chains")
	p.is(`document.querySelectorAll("#waits .edge.longest").length`, "3")
	p.is(`document.querySelector("#waits svg").getAttribute("aria-label")`,
		`"2 chains. The longest: owner-3 waits for owner-2 because of key-2; owner-2 waits for owner-1 because of key-1; owner-1 waits for owner-0 because of key-0."`)
	// Each stop stands to the right of the one for whom it waits.
	p.is(`[...document.querySelectorAll("#waits circle")].map((c) => (c.getAttribute("cx") - 9) / 20).join("")`, `"0123101"`)
}

func TestWhoWaitsForSeveralOwnersIsToldApart(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.lock("one", "", "k")
	s.lock("two", "", "l")
	s.waits("both", "", "k", "l")
	p := s.browse(desktop).live()
	p.shows("waits-facts", "1 owner in 1 chain")
	p.shows("waits", "and 1 other owner · ")
}

// A line of thousands is drawn in part, and not by recursion.
func TestManyWaitersAreDrawnInPart(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.lock("holder", "", "k")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 300 {
		go s.store.Lock(ctx, holdfast.LockRequest{UID: fmt.Sprint("w-", i), Keys: holdfast.Keys("k"), Wait: time.Hour})
	}
	p := s.browse(desktop).live()
	p.shows("tiles", "In line\n300")
	p.holds("k", "holder")
	p.is(row("k")+`.querySelectorAll(".line li").length`, "6")
	p.is(row("k")+`.querySelector(".waiters .more").textContent`, `"and 294 more"`)
	p.shows("waits", "more")
	p.is(`document.querySelectorAll("#waits circle").length < 40`, "true")
	p.shows("waits-facts", "at least 50 owners in 1 chain") // of those that were looked at
	p.text(`document.querySelector("#waits .why").textContent`, "at least 50 owners behind")
	p.text(`[...document.querySelectorAll("#waits .why")].at(-1).textContent`, "and at least 46 more")
}

// nasty are names and notes that have broken pages before.
var nasty = []string{
	`<script>ran("script")</script>`,
	`<img src=x onerror=ran("img")>`,
	`"><svg/onload=ran("svg")>`,
	`'-ran("quote")-'`,
	`</bdi></td></table><iframe src=javascript:ran("iframe")>`,
	`javascript:ran("link")`,
	`{{constructor.constructor('ran("template")')()}}`,
	`${ran("literal")}`,
	`&lt;b&gt;&amp;&quot;&#39;&#x202e;`,
	`<style>*{display:none}</style>`,
	`<!--`, `]]>`, `%3Cscript%3E`, `\u003cscript\u003e`,
	"abc\u202egnp.exe", "\u2066\u2067\u2068left open", "\u200b\ufeff invisible",
	"שלום/עולם", "مفتاح/١", "ไทย/กขค", "Z̴̢̛͓͝a̸l̵g̶o̷",
	"__proto__", "constructor", "toString", "hasOwnProperty", "null", "undefined", "NaN", "0", "-1", "[object Object]",
	"  spaces  ", "\u00a0", "a\u2028b\u2029c", "a\\nb", "tab\\t",
	"👩‍👩‍👧‍👦🏴‍☠️", strings.Repeat("W", 240), strings.Repeat("😀", 60), "#uid=other", "?a=b&c=d", "http://elsewhere.example/x.js", "//elsewhere.example",
}

// Whatever users put into names and notes is text: it is shown as it is,
// nothing runs, and nothing else comes into the page. That nothing was asked
// from elsewhere, thrown or run is what every tab looks at when it closes.
func TestHostileTextIsText(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for i, text := range nasty {
		s.lock(text, "note: "+text+"\n<b>second</b> line", fmt.Sprintf("%02d", i)+text)
	}
	for _, text := range nasty {
		s.waits("w "+text, text, fmt.Sprintf("%02d", 0)+nasty[0], fmt.Sprintf("%02d", 1)+nasty[1])
	}
	p := s.browse(desktop).live()
	for i, text := range nasty {
		key := fmt.Sprintf("%02d", i) + text
		p.holds(key, text)
		p.text(row(key)+`.querySelector(".note").textContent`, "note: "+text+"\n<b>second</b> line")
		p.text(row(key)+`.querySelector(".holder .uid bdi").textContent`, text)
	}
	p.is(`document.querySelectorAll("#waits circle").length > 3`, "true")
	// Events of all of them, a forced release with such a reason, and a filter by such a name.
	reason := nasty[1]
	p.js(row("00"+nasty[0]) + `.querySelector(".release").click()`)
	p.text(`document.getElementById("force-key").textContent`, "00"+nasty[0])
	p.press(reason, kb.Enter)
	p.text(`document.querySelector("#latest .reason:not(:empty)")?.textContent`, reason)
	p.js(fmt.Sprintf(`location.hash = "uid=" + encodeURIComponent(%s)`, quote(nasty[1])))
	p.text(`document.getElementById("uid").value`, nasty[1])
	p.is(`document.querySelectorAll("#rows tr").length`, "1")
	// Nothing is in the page that was not there, and nothing turns the text around it.
	p.is(`document.querySelectorAll("script").length + "/" + document.querySelectorAll("img, iframe, style, object, embed, b").length`, `"1/0"`)
	p.is(`[...document.querySelectorAll("bdi, .note, #waits text, #waits tspan")].every((e) => getComputedStyle(e).unicodeBidi === "isolate")`, "true")
	p.is(`document.documentElement.scrollWidth <= innerWidth`, "true")
}

func TestTheFilterIsTheServers(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.lock("a", "", "x/1", "x/2", "y/1")
	s.lock("b", "", "x/3")
	s.waits("b", "", "y/1")
	p := s.browse(desktop).live()
	keys := `[...document.querySelectorAll("#rows .key")].map((key) => key.textContent).join(" ")`
	p.is(keys, `"x/1 x/2 x/3 y/1"`)
	p.slash()
	p.press("x/")
	p.is(keys, `"x/1 x/2 x/3"`)
	p.is("location.hash", `"#prefix=x%2F"`)
	p.press(kb.Tab, "b")
	p.is(keys, `"x/3"`)
	p.js(`location.hash = "uid=b"`)
	p.is(keys, `"x/3 y/1"`)
	p.is(`document.getElementById("prefix").value`, `""`)
	p.js(`document.getElementById("waited").click()`)
	p.is(keys, `"y/1"`)
	p.js(`location.hash = "prefix=none"`)
	p.shows("empty", "No lock is like that")
	// What comes afterwards is filtered too.
	s.lock("c", "", "other", "none/1")
	p.is(keys, `"none/1"`)
}

func TestTheAddressHoldsTheFilter(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.lock("a", "", "x", "y")
	l := desktop
	l.hash = "#prefix=y"
	p := s.browse(l).live()
	p.holds("y", "a")
	p.gone("x")
	p.is(`document.getElementById("prefix").value`, `"y"`)
}

func TestEverythingWorksByKeyboard(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.lock("a", "", "k1")
	s.lock("b", "", "k2")
	p := s.browse(desktop).live()
	p.holds("k2", "b")
	focused := `(document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.textContent)`
	var way []string
	for range 12 {
		p.press(kb.Tab)
		way = append(way, p.js(focused))
		// Whatever has the focus shows it.
		p.is(`document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== "none"`, "true")
	}
	want := `"Skip to the locks" "prefix" "uid" "waited" "a" "Release k1 by force" "b" "Release k2 by force"`
	if got := strings.Join(way, " "); !strings.HasPrefix(got, want) {
		t.Errorf("the way is %s\nwant        %s", got, want)
	}
	p.js(`document.activeElement.blur()`)
	p.js(row("k2") + `.querySelector(".release").focus()`)
	// The list goes on under the focus.
	s.lock("c", "", "k0")
	p.holds("k0", "c")
	p.is(focused, `"Release k2 by force"`)
	p.press(kb.Enter)
	p.is(`document.getElementById("force").open`, "true")
	p.is(focused, `"force-reason"`)
	p.press(kb.Escape)
	p.is(`document.getElementById("force").open`, "false")
	p.is(focused, `"Release k2 by force"`)
	p.press(kb.Enter, "no need", kb.Tab, kb.Tab, kb.Enter)
	p.gone("k2")
	// All that can be used has a name.
	p.is(`[...document.querySelectorAll("input")].every((input) => input.labels.length === 1)`, "true")
	p.is(`[...document.querySelectorAll("button, a")].every((e) => (e.ariaLabel ?? e.textContent).trim() !== "")`, "true")
}

func TestAPhoneScrollsInOneDirectionOnly(t *testing.T) {
	t.Parallel()
	s := serve(t, withCluster)
	scene(s)
	s.lock(strings.Repeat("u", 256), strings.Repeat("n", 1024), strings.Repeat("k", 512))
	s.waits(strings.Repeat("w", 256), strings.Repeat("m", 1024), strings.Repeat("k", 512))
	for _, width := range []int64{320, 390, 768} {
		p := s.browse(look{width: width, height: 800}).live()
		p.holds("invoice/2031", "billing-7")
		p.shows("waits", "billing-7")
		p.shows("nodes", "n3")
		p.is("document.documentElement.scrollWidth + 0 <= "+fmt.Sprint(width), "true")
		p.js(row("invoice/2031") + `.querySelector(".release").click()`)
		p.is(`document.getElementById("force").getBoundingClientRect().right <= innerWidth`, "true")
		if width < 700 { // a card: the holder below the key, with all the room
			p.is(row("invoice/2031")+`.querySelector(".holding").clientWidth > innerWidth * 0.7`, "true")
			p.is(`Math.min(...[...document.querySelectorAll(".release")].map((b) => b.getBoundingClientRect().height)) >= 40`, "true")
		}
	}
}

// Contrast is that of WCAG 2: (lighter + 0.05) / (darker + 0.05).
const contrast = `(() => {
  const channels = (c) => c.match(/[\d.]+/g).map(Number);
  const light = (c) => channels(c).slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if ((channels(c)[3] ?? 1) > 0) return c; } return "rgb(255, 255, 255)"; };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const e = node.parentElement;
    if (!node.data.trim() || !e.checkVisibility() || e.closest(":disabled, noscript, script")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(e.namespaceURI.endsWith("svg") ? style.fill : style.color), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(node.data + " " + ratio.toFixed(2));
  }
  return poor.join("; ");
})()`

func TestLightAndDarkCanBeRead(t *testing.T) {
	t.Parallel()
	s := serve(t, withCluster)
	scene(s)
	s.lockFor(500*time.Millisecond, "short", "", "runs/out")
	grounds := map[string]bool{}
	for _, dark := range []bool{false, true} {
		l := desktop
		l.dark = dark
		p := s.browse(l).live()
		p.holds("invoice/2031", "billing-7")
		p.shows("waits", "billing-7")
		p.shows("nodes", "n3")
		p.is(contrast, `""`)
		p.js(row("invoice/2031") + `.querySelector(".release").click()`)
		p.is(contrast, `""`)
		grounds[p.js(`getComputedStyle(document.documentElement).backgroundColor`)] = true
	}
	if len(grounds) != 2 {
		t.Errorf("light and dark look the same: %v", grounds)
	}
}

func TestThePageSaysWhenItIsStaleAndRecovers(t *testing.T) {
	t.Parallel()
	var resumed atomic.Int32
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/events" && r.Header.Get("Last-Event-ID") != "" {
				resumed.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	s.lock("a", "", "before")
	p := s.browse(desktop).live()
	p.holds("before", "a")
	unlock := s.lock("a", "", "seen") // an event to go on from
	p.holds("seen", "a")

	s.down()
	p.is(`document.getElementById("state").dataset.state`, `"stale"`)
	p.shows("banner", "What you see is from ", "the server cannot be reached", "Trying again")
	p.is(`document.getElementById("banner").hidden`, "false")
	bar := row("before") + `.querySelector(".bar i").getAnimations().every((a) => a.playState === "paused")`
	p.is(bar, "true")

	if _, err := s.store.Lock(t.Context(), holdfast.LockRequest{UID: "b", Keys: holdfast.Keys("meanwhile"), Exp: time.Hour}); err != nil {
		t.Fatal(err)
	}
	s.up()
	p.live()
	p.holds("meanwhile", "b")
	p.is(`document.getElementById("banner").hidden`, "true")
	p.is(bar, "false")
	p.shows("latest", "meanwhile") // missed, and sent again
	if resumed.Load() == 0 {
		t.Error("went on without Last-Event-ID")
	}
	unlock()
	p.gone("seen")
}

func TestThePageSaysWhatTheServerSaysIsWrong(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() && r.URL.Path == "/locks" {
				refuse(w, http.StatusServiceUnavailable, `{"error":"unavailable","message":"there is no leader <b>now</b>"}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	p := s.browse(desktop).live()
	broken.Store(true)
	s.lock("a", "", "k")
	p.shows("banner", "there is no leader <b>now</b>. Trying again")
	broken.Store(false)
	p.live()
	p.holds("k", "a")
}

func TestTheTokenIsAskedForAndSent(t *testing.T) {
	t.Parallel()
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			open := r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/ui/") || r.Method == http.MethodPost
			if !open && r.Header.Get("Authorization") != "Bearer s3cret" {
				refuse(w, http.StatusUnauthorized, `{"error":"unauthenticated","message":"a token is needed"}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	s.lock("a", "", "k")
	p := s.browse(desktop)
	p.is(`document.activeElement.id`, `"token-text"`) // the text of what is closed can be read, too
	p.press(kb.Escape, kb.Escape)
	p.is(`document.activeElement.id`, `"token-text"`)
	p.shows("token", "who you are")
	p.press("wrong", kb.Enter)
	p.shows("token-wrong", "does not take this token")
	p.press("s3cret€", kb.Enter) // no header can carry it, and so no server refuse it
	p.shows("token-wrong", "not all of the token")
	p.press(" s3cret ", kb.Enter)
	p.live().holds("k", "a")
	p.is(`document.getElementById("token").open`, "false")
	p.is(`document.cookie + localStorage.length`, `"0"`)
	for _, asked := range p.requests("") {
		if strings.Contains(asked, "s3cret") {
			t.Errorf("the token is in an address: %s", asked)
		}
	}
}

func TestTheClusterIsShownWhereThereIsOne(t *testing.T) {
	t.Parallel()
	alone := serve(t).browse(desktop).live()
	alone.is(`performance.getEntriesByType("resource").some((e) => e.name.endsWith("/cluster"))`, "true")
	alone.is(`document.getElementById("cluster").hidden`, "true")
	p := serve(t, withCluster).browse(desktop).live()
	p.shows("cluster", "led by n1, term 3, 128,420 applied", "n3", "12 entries behind")
	p.is(`document.querySelector(".node[data-role=leader]").textContent.startsWith("n1leader")`, "true")
	lame := serve(t, answering(`{"cluster":"c","id":"<b>n1</b>","term":4,"applied":7,"nodes":[
		{"id":"<b>n1</b>","api":"http://a","peer":"a:1","role":"follower","lag":0},{"id":"n2","peer":"b:1","role":"away","lag":0}]}`)).browse(desktop).live()
	lame.shows("cluster", "without a leader", "you see <b>n1</b>", "away", "b:1")
	lame.is(`document.querySelector(".node[data-role=away] .lag").textContent`, `""`)
	if n := len(alone.requests("GET /cluster")); n != 1 {
		t.Errorf("a store that is no cluster was asked %d times", n)
	}
}

// Ten thousand locks, all of which are extended and some of which come and go:
// a page of them is what there is in the browser, and what it is asked for.
func TestTenThousandLocksAreSmooth(t *testing.T) {
	s := serve(t)
	for i := range 100 {
		var keys []string
		for j := range 100 {
			keys = append(keys, fmt.Sprintf("k%05d", i*100+j))
		}
		s.lock(fmt.Sprint("owner-", i), "", keys...)
	}
	p := s.browse(desktop).live()
	p.shows("tiles", "Holds\n10,000")
	p.is(`document.querySelectorAll("#rows tr").length`, "50")
	p.shows("range", "1 to 50")
	p.js(`document.getElementById("next").click()`)
	p.holds("k00050", "owner-0")
	p.shows("range", "51 to 100")

	before := len(p.requests("GET /locks?"))
	p.js(`window.worst = 0; window.frames_ = 0; (() => { let last = performance.now(); const next = (now) => {
		worst = Math.max(worst, now - last); last = now; frames_++; requestAnimationFrame(next); }; requestAnimationFrame(next); })()`)
	begun := time.Now()
	for time.Since(begun) < 2*time.Second {
		for i := range 100 { // 10,000 events
			if _, err := s.store.Extend(t.Context(), holdfast.ExtendRequest{UID: fmt.Sprint("owner-", i), Exp: 10 * time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
		s.lock("come-and-go", "", "k00055+")()
	}
	took := time.Since(begun)
	p.is(`document.querySelectorAll("#rows tr").length`, "50")
	asked := len(p.requests("GET /locks?")) - before
	if most := int(took/(400*time.Millisecond)) + 4; asked > most {
		t.Errorf("%d requests for the list in %v, want %d at most", asked, took, most)
	}
	p.is(`document.querySelectorAll("*").length < 2000`, "true")
	t.Logf("in %v: %d requests, %s frames, the longest %s ms", took, asked, p.js("frames_"), p.js("Math.round(worst)"))
	p.is(`worst < 2000`, "true")
	for _, asked := range p.requests("GET /locks?") {
		query, err := url.ParseQuery(strings.TrimPrefix(asked, "GET /locks?"))
		if limit := query.Get("limit"); err != nil || limit != "50" && limit != "100" {
			t.Errorf("asked for too much: %s", asked)
		}
	}
	p.js(`document.getElementById("back").click()`)
	p.holds("k00000", "owner-0")
}

// What happens elsewhere than on the page costs the server nothing.
func TestWhatIsNotShownAsksForNothing(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for i := range 60 {
		s.lock("a", "", fmt.Sprintf("k%02d", i))
	}
	for _, test := range []struct{ hash, outside string }{
		{"", "z"},           // behind the last on the first page, which is full
		{"#prefix=k1", "j"}, // not what is asked for
		{"#uid=a", "z"},
	} {
		l := desktop
		l.hash = test.hash
		p := s.browse(l).live()
		p.holds("k10", "a")
		begun := time.Now()
		before := len(p.requests("GET /locks?"))
		for i := range 20 {
			s.lock("b", "", fmt.Sprint(test.outside, i))()
			time.Sleep(50 * time.Millisecond) // more often would be one request anyway
		}
		p.shows("latest", fmt.Sprint(test.outside, 19))    // all have come
		most := 2 + int(time.Since(begun)/(5*time.Second)) // a look every five seconds; on a busy machine one comes late
		if asked := p.requests("GET /locks?")[before:]; len(asked) > most {
			t.Errorf("with %q: %d requests, want %d at most: %q", test.hash, len(asked), most, asked)
		}
	}
}
