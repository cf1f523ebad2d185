package ui_test

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// get asks the site for a file, as a browser does unless header says
// otherwise.
func (s *site) get(path string, header ...string) (*http.Response, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url(path), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response, string(body)
}

func TestABrowserGetsThePageAndOthersDoNot(t *testing.T) {
	s := serve(t)
	response, body := s.get("/")
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.HasPrefix(body, "<!doctype html>") {
		t.Errorf("%d %s %.40s", response.StatusCode, response.Header.Get("Content-Type"), body)
	}
	if got := response.Header.Get("Vary"); got != "Accept" {
		t.Errorf("Vary %q", got)
	}
	for _, accept := range []string{"", "*/*", "application/json"} {
		response, body := s.get("/", "Accept", accept)
		if response.StatusCode != 404 || !strings.HasPrefix(body, `{"error":"not_found"`) || response.Header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: %d %.80s", accept, response.StatusCode, body)
		}
	}
	if response, body := s.get("/ui/none.js"); response.StatusCode != 404 || !strings.HasPrefix(body, `{"error":"not_found"`) {
		t.Errorf("a file that is not there: %d %.80s", response.StatusCode, body)
	}
}

// file is what the page asks for, in HTML, CSS and JavaScript.
var file = regexp.MustCompile(`(?:href|src)="(/[^"#]+)"|from "\./([^"]+)"`)

// walk gives every file that the page leads to, by its path.
func walk(s *site) map[string]*http.Response {
	found := map[string]*http.Response{}
	for next := []string{"/"}; len(next) > 0; {
		path := next[0]
		next = next[1:]
		if found[path] != nil {
			continue
		}
		response, body := s.get(path)
		found[path] = response
		for _, match := range file.FindAllStringSubmatch(body, -1) {
			if match[2] != "" {
				match[1] = "/ui/" + match[2]
			}
			next = append(next, match[1])
		}
	}
	return found
}

func TestEveryFileIsThereWithAllItsHeaders(t *testing.T) {
	s := serve(t)
	types := map[string]string{"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
	files := walk(s)
	if len(files) < 10 {
		t.Errorf("only %d files", len(files))
	}
	for path, response := range files {
		if response.StatusCode != 200 {
			t.Errorf("%s: %s", path, response.Status)
		}
		_, ending, _ := strings.Cut(path, ".")
		if ending == "" {
			ending = "html"
		}
		for name, want := range map[string]string{
			"Content-Type":           types[ending],
			"X-Content-Type-Options": "nosniff",
			"X-Frame-Options":        "DENY",
			"Referrer-Policy":        "no-referrer",
			"Cache-Control":          "no-cache",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s %q, want %q", path, name, got, want)
			}
		}
		policy := strings.Split(response.Header.Get("Content-Security-Policy"), "; ")
		for _, want := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
			"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'",
		} {
			if !strings.Contains(strings.Join(policy, ";")+";", want+";") {
				t.Errorf("%s: the policy has no %q: %q", path, want, policy)
			}
		}
		if strings.Contains(strings.Join(policy, " "), "unsafe") {
			t.Errorf("%s: the policy allows too much: %q", path, policy)
		}
	}
}

func TestWhatHasNotChangedIsNotSentAgain(t *testing.T) {
	s := serve(t)
	for path, first := range walk(s) {
		tag := first.Header.Get("ETag")
		if !strings.HasPrefix(tag, `"`) {
			t.Errorf("%s: ETag %s", path, tag)
		}
		for _, known := range []string{tag, "W/" + tag, `"other", ` + tag} {
			again, body := s.get(path, "If-None-Match", known)
			if again.StatusCode != 304 || body != "" || again.Header.Get("ETag") != tag || again.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("%s: known as %s: %d, %d bytes", path, known, again.StatusCode, len(body))
			}
		}
		if other, body := s.get(path, "If-None-Match", `"other"`); other.StatusCode != 200 || body == "" {
			t.Errorf("%s: known as something else: %d", path, other.StatusCode)
		}
	}
}

// The policy forbids it all; this says where.
func TestThePageHasNothingInlineAndNothingFromElsewhere(t *testing.T) {
	wrong := regexp.MustCompile(`(?i)<script(>| [^>]*>[^<])|<style| style=| on[a-z]+=|javascript:|https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|url\(`)
	s := serve(t)
	for path := range walk(s) {
		_, body := s.get(path)
		body = strings.ReplaceAll(body, "http://www.w3.org/2000/svg", "")
		if found := wrong.FindString(body); found != "" {
			t.Errorf("%s has %q", path, found)
		}
	}
}

func TestEmbeddedFilesAreReachedFromThePage(t *testing.T) {
	s := serve(t)
	reached := walk(s)
	files, err := os.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := file.Name(); name != "index.html" && reached["/ui/"+name] == nil {
			t.Errorf("nothing leads to %s", name)
		}
	}
}
