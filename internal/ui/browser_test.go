package ui_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a test waits for what must happen. It is spent only
// when it does not.
const patience = 30 * time.Second

// browsers are names under which Chromium is installed.
var browsers = []string{"chromium", "chromium-browser", "google-chrome"}

// browser is the one browser of all tests; each has a tab and a profile of its
// own in it.
var browser struct {
	sync.Once
	context.Context
	err  error
	stop []func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, stop := range slices.Backward(browser.stop) {
		stop()
	}
	os.Exit(code)
}

func startBrowser() {
	var path string
	for _, name := range browsers {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		browser.err = fmt.Errorf("this test needs Chromium; install it with: apt-get install chromium")
		return
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true),
		chromedp.WSURLReadTimeout(patience),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	browser.stop = append(browser.stop, stop)
	browser.Context, stop = chromedp.NewContext(allocator)
	browser.stop = append(browser.stop, stop)
	_, browser.err = chromedp.Run(browser.Context, chromedp.Title())
}

// tab is the page in a browser. At the end of its test it complains if the
// page asked another host for anything, ran into its own policy, threw an
// error, or ran what somebody has put into a name.
type tab struct {
	t    testing.TB
	site *site
	ctx  context.Context

	mu       sync.Mutex
	asked    []string // the paths and queries of all requests
	problems []string
}

// look is what a browser is like.
type look struct {
	width, height int64
	dark          bool
	still         bool   // wants no motion
	hash          string // of the address to open
}

var desktop = look{width: 1280, height: 900}

// browse opens the page of a site.
func (s *site) browse(l look) *tab {
	s.t.Helper()
	if browser.Do(startBrowser); browser.err != nil {
		s.t.Fatal(browser.err)
	}
	ctx, cancel := chromedp.NewContext(browser.Context, chromedp.WithNewBrowserContext())
	p := &tab{t: s.t, site: s, ctx: ctx}
	s.t.Cleanup(func() { p.inOrder(); cancel() })
	if err := chromedp.Listen(ctx, p.note); err != nil {
		s.t.Fatal(err)
	}
	scheme, motion := "light", "no-preference"
	if l.dark {
		scheme = "dark"
	}
	if l.still {
		motion = "reduce"
	}
	tell(p, network.Enable, network.EnableParams{})
	tell(p, log.Enable, cdp.Empty{})
	tell(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watchPolicy})
	tell(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
		},
	})
	tell(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 600,
	})
	run(p, chromedp.Navigate(s.url("/"+l.hash)))
	return p
}

// tell gives the browser a command.
func tell[P, R any](p *tab, command cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, command, params); err != nil {
		p.t.Fatal(err)
	}
}

// run does something in the tab, and gives what comes of it.
func run[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

// watchPolicy has violations of the page's policy, and scripts that run
// although they should not, leave a trace.
const watchPolicy = `
addEventListener("securitypolicyviolation", (e) => console.error("policy: " + e.violatedDirective + " " + e.blockedURI));
window.ran = (what) => console.error("ran: " + what);`

// note hears what happens in the tab.
func (p *tab) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		asked, err := url.Parse(e.Request.URL)
		if err != nil || asked.Host != p.site.address {
			p.problems = append(p.problems, "asked elsewhere: "+e.Request.URL)
			return
		}
		p.asked = append(p.asked, e.Request.Method+" "+asked.RequestURI())
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, "threw "+exception(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		for _, arg := range e.Args {
			p.problems = append(p.problems, fmt.Sprintf("console: %s", arg.Value))
		}
	case *log.EventEntryAdded:
		// That a request failed is logged by the browser; many tests mean it.
		if e.Entry.Source != log.EntrySourceNetwork {
			p.problems = append(p.problems, "log: "+e.Entry.Text)
		}
	case *page.EventJavascriptDialogOpening:
		p.problems = append(p.problems, "opened a dialog of the browser: "+e.Message)
	}
}

func exception(details *runtime.ExceptionDetails) string {
	if details.Exception != nil {
		return details.Exception.Description
	}
	return details.Text
}

func (p *tab) inOrder() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		p.t.Error(problem)
	}
}

// requests gives the requests so far that begin so.
func (p *tab) requests(prefix string) (found []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, asked := range p.asked {
		if strings.HasPrefix(asked, prefix) {
			found = append(found, asked)
		}
	}
	return found
}

// js gives what an expression is, as JSON.
func (p *tab) js(expression string) string {
	p.t.Helper()
	return string(run(p, chromedp.Evaluate[[]byte](expression)))
}

// is waits until an expression is what it should be.
func (p *tab) is(expression, want string) {
	p.t.Helper()
	p.until(expression, func(got string) bool { return got == want }, want)
}

// text waits until an expression is this text.
func (p *tab) text(expression, want string) {
	p.t.Helper()
	p.until(expression, func(got string) bool {
		var text string
		return json.Unmarshal([]byte(got), &text) == nil && text == want
	}, want)
}

// shows waits until the text that is seen of an element contains all of these.
func (p *tab) shows(id string, texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.until(fmt.Sprintf("document.getElementById(%q).innerText", id), func(got string) bool {
			var shown string
			return json.Unmarshal([]byte(got), &shown) == nil && strings.Contains(shown, text)
		}, text)
	}
}

func (p *tab) until(expression string, right func(string) bool, want string) {
	p.t.Helper()
	var got string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = p.js(expression); right(got) {
			return
		}
	}
	p.t.Fatalf("%s\n  is %s\nwant %s", expression, got, want)
}

// live waits until the page follows events and has its list.
func (p *tab) live() *tab {
	p.t.Helper()
	p.is(`document.getElementById("state").dataset.state`, `"live"`)
	return p
}

// press presses keys, one after the other.
func (p *tab) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		run(p, chromedp.KeyEvent(key))
	}
}

// slash presses that key as a keyboard does, so that the page can keep the
// character from being typed.
func (p *tab) slash() {
	p.t.Helper()
	tell(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: "keyDown", Key: "/", Text: "/"})
	tell(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: "keyUp", Key: "/"})
}

// picture is the tab as it is seen.
func (p *tab) picture() []byte {
	p.t.Helper()
	return run(p, chromedp.CaptureScreenshot())
}
