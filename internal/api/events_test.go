package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"holdfast"
)

// watch opens a stream of events.
func (s *site) watch(query, last string, header ...string) *bufio.Reader {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.address+"/events"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	return bufio.NewReader(resp.Body)
}

// event reads one event: its id, its type and its data.
func (s *site) event(from *bufio.Reader) (id, event, data string) {
	s.t.Helper()
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			s.t.Fatal(err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			event = value
		case "data":
			return id, event, value
		}
	}
}

func TestEventsAreStreamedAndResumed(t *testing.T) {
	s := open(t)
	all := s.watch("", "")
	some := s.watch("?prefix=job/&uid=b", "")
	s.post("/lock", `{"uid":"a","keys":"x","exp":60000,"note":"why"}`).is(200)
	s.post("/lock", `{"uid":"b","keys":"job/1","exp":60000}`).is(200)
	first, event, data := s.event(all)
	if event != "granted" || !strings.HasPrefix(data, `{"key":"x","uid":"a","mode":"exclusive","version":`) || !strings.HasSuffix(data, `"exp":60000,"note":"why"}`) {
		t.Errorf("%s %s", event, data)
	}
	second, event, data := s.event(all)
	if event != "granted" || !strings.Contains(data, `"job/1"`) || second <= first {
		t.Errorf("%s %s %s", second, event, data)
	}
	if _, event, data := s.event(some); event != "granted" || !strings.Contains(data, `"job/1"`) {
		t.Errorf("filtered: %s %s", event, data)
	}
	if id, _, _ := s.event(s.watch("", first)); id != second {
		t.Errorf("resumed after %s with %s, not %s", first, id, second)
	}
	if _, event, _ := s.event(s.watch("", "1")); event != "gap" {
		t.Errorf("resumed with %s after what is gone", event)
	}
	s.ask("GET", "/events?perfix=x", "").refuses(400, "invalid", `unknown query parameter "perfix"`)
	s.ask("GET", "/events?uid="+strings.Repeat("u", 257), "").refuses(400, "invalid", "uid: ")
}

func TestEventsEndWithTheServer(t *testing.T) {
	s := open(t)
	stream := s.watch("", "")
	s.stop()
	if _, err := io.ReadAll(stream); err != nil {
		t.Fatal(err)
	}
}

func TestABackupIsTheStoresOwnBytes(t *testing.T) {
	s := openOver(t, openStore(t), Options{Backup: func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("bytes", 50_000))
		return err
	}})
	answer := s.ask("GET", "/backup", "").is(200)
	if answer.body != strings.Repeat("bytes", 50_000) || answer.header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%d bytes, %v", len(answer.body), answer.header)
	}
	none := open(t)
	none.ask("GET", "/backup", "").refuses(404, "not_found", "path: ")
	away := openOver(t, openStore(t), Options{Backup: func(context.Context, io.Writer) error {
		return holdfast.Unavailable(errors.New("cause"), "no leader")
	}})
	away.ask("GET", "/backup", "").refuses(503, "unavailable", "no leader")
}
