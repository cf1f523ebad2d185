package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast"
)

func TestAnEventReadsBackAsItWas(t *testing.T) {
	for _, e := range []holdfast.Event{
		{ID: 7, Type: holdfast.EventGranted, Key: "a\"b/☂", UID: "u", Mode: holdfast.Shared, Limit: 3, Version: 9, Exp: time.Second, Note: "two\nlines"},
		{ID: 8, Type: holdfast.EventWaiting, Key: "x", UID: "u"},
		{ID: 9, Type: holdfast.EventForced, Key: "x", UID: "u", Version: 1, Reason: "stuck"},
		{ID: 10, Type: holdfast.EventGap},
	} {
		frame := string(AppendEvent(nil, e))
		parts := map[string]string{}
		for _, line := range strings.Split(strings.TrimSuffix(frame, "\n\n"), "\n") {
			name, value, ok := strings.Cut(line, ": ")
			if !ok || parts[name] != "" {
				t.Fatalf("not one line a part: %q", frame)
			}
			parts[name] = value
		}
		got, err := ReadEvent(parts["id"], parts["event"], []byte(parts["data"]))
		if err != nil || got != e {
			t.Errorf("%v\nwrote %+v\nread  %+v", err, e, got)
		}
		line := AppendEventLine(nil, e)
		var head struct {
			ID   uint64 `json:"id"`
			Type string `json:"type"`
		}
		if err := json.Unmarshal(line, &head); err != nil || bytes.ContainsRune(line, '\n') {
			t.Errorf("%v: not one line of JSON: %q", err, line)
		}
		data := strings.Replace(string(line), fmt.Sprintf(`"id":%d,"type":%q`, head.ID, head.Type), "", 1)
		got, err = ReadEvent(fmt.Sprint(head.ID), head.Type, []byte(strings.Replace(data, "{,", "{", 1)))
		if err != nil || got != e {
			t.Errorf("%v\nwrote %+v\nas %s", err, e, line)
		}
	}
	if _, err := ReadEvent("x", "granted", []byte("{}")); err == nil {
		t.Error("an id that is no number was read")
	}
	if _, err := ReadEvent("1", "granted", []byte("{")); err == nil {
		t.Error("half an event was read")
	}
}
