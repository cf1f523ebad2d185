package api

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"holdfast"
)

// An answer reaches its connection in several writes, each of which may begin
// with what somebody has put into a note.
func TestAnAnswerIsNotTakenForARefusalOfNetHTTP(t *testing.T) {
	t.Run("a list", func(t *testing.T) {
		const line = "HTTP/1.1 417 "
		for shift := range len(line) {
			s := open(t)
			note := strings.Repeat(line, holdfast.MaxNote/len(line))
			for i := range 8 {
				key := fmt.Sprint(i, strings.Repeat("x", shift))
				s.post("/lock", fmt.Sprintf(`{"uid":"u","keys":%q,"exp":3600000,"note":%q}`, key, note)).is(200)
			}
			var list struct{ Locks []any }
			if s.ask("GET", "/locks", "").is(200).into(&list); len(list.Locks) != 8 {
				t.Errorf("%d locks", len(list.Locks))
			}
		}
	})
	t.Run("a backup", func(t *testing.T) {
		line := "HTTP/1.1 400 Bad Request" + string(ownHeader)
		var want string
		s := openOver(t, openStore(t), Options{Backup: func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, want)
			return err
		}})
		for shift := range len(line) {
			want = strings.Repeat("x", shift) + strings.Repeat(line, 2000)
			if got := s.ask("GET", "/backup", "").is(200).body; got != want {
				t.Fatalf("%d bytes instead of %d, shifted by %d", len(got), len(want), shift)
			}
		}
	})
}
