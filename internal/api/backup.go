package api

import (
	"bufio"
	"errors"
	"log/slog"
	"net/http"

	"holdfast"
)

var typeBytes = []string{"application/octet-stream"}

// backup is GET /backup: the whole state in the store's own form, with a
// checksum at its end, from which a reader knows that it is whole.
func (h *Handler) backup(x *exchange) error {
	if h.options.Backup == nil {
		return &holdfast.Error{Code: holdfast.CodeNotFound, Message: "path: this store keeps nothing that a backup would help"}
	}
	reason, err := x.reason()
	if err != nil {
		return err
	}
	if x.request.Method == http.MethodHead {
		x.stream(typeBytes)
		return nil
	}
	out := bufio.NewWriterSize(late{x}, 1<<16)
	err = h.options.Backup(x.request.Context(), out)
	if err == nil {
		err = out.Flush()
	}
	if x.answered() {
		h.audit(x, "backup", slog.String("reason", reason), slog.Bool("whole", err == nil))
	}
	return err
}

// late is an answer that begins with its first byte, so that what fails
// before can still be refused.
type late struct{ x *exchange }

var errGone = errors.New("the client has gone")

func (l late) Write(b []byte) (int, error) {
	if !l.x.answered() {
		l.x.stream(typeBytes)
	}
	if !endless(l).send(b) {
		return 0, errGone
	}
	return len(b), nil
}
