//go:build linux

package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// A block that begins with "→ " is what a client says over /stream of the
// page's server, and, behind "← ", what it hears. Answers come in any order,
// and alone or in an array, so each is looked for by its id.

// converse says what the block says, and compares what it hears.
func (s *shell) converse(b *block) {
	s.t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+s.real("localhost:3000")+"/stream", nil)
	if err != nil {
		s.t.Fatalf("%s:%d: %v", s.path, b.line, err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	want := map[int]string{}
	for i, line := range b.text {
		if request, ok := strings.CutPrefix(line, says); ok {
			if err := conn.WriteMessage(websocket.TextMessage, []byte(s.answers.command(request))); err != nil {
				s.t.Fatalf("%s:%d: %v", s.path, b.line+i, err)
			}
			continue
		}
		message, ok := strings.CutPrefix(line, hears)
		if !ok {
			s.t.Fatalf("%s:%d: neither said nor heard: %s", s.path, b.line+i, line)
		}
		for id, answer := range s.byID([]byte(message)) {
			want[id] = answer
		}
	}
	for heard := 0; heard < len(want); {
		_, message, err := conn.ReadMessage()
		if err != nil {
			s.t.Fatalf("%s:%d: %v after %d of %d answers", s.path, b.line, err, heard, len(want))
		}
		for id, answer := range s.byID(message) {
			heard++
			if err := s.answers.compare(want[id], answer); err != nil {
				s.t.Errorf("%s:%d: %v", s.path, b.line, err)
			}
		}
	}
}

// byID takes a message apart, which is an answer or an array of them.
func (s *shell) byID(message []byte) map[int]string {
	s.t.Helper()
	list := []json.RawMessage{message}
	if strings.HasPrefix(string(message), "[") {
		if err := json.Unmarshal(message, &list); err != nil {
			s.t.Fatalf("%s: %v: %s", s.path, err, message)
		}
	}
	answers := map[int]string{}
	for _, answer := range list {
		var about struct{ ID int }
		if err := json.Unmarshal(answer, &about); err != nil {
			s.t.Fatalf("%s: %v: %s", s.path, err, answer)
		}
		answers[about.ID] = string(answer)
	}
	return answers
}
