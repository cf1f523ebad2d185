package main

import (
	"errors"
	"log/slog"
	"net"
	"os"
)

// notifySocket is the variable in which systemd, and what does as it does,
// names the socket on which it wants to be told; see sd_notify(3).
const notifySocket = "NOTIFY_SOCKET"

// States to notify of. A line STATUS= and words for people may follow each.
const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1"
	notifyStatus   = "STATUS="
)

// notify tells the supervisor, if it wants to know, about a state. That it
// cannot be told is no reason not to serve.
func notify(log *slog.Logger, state string) {
	path := os.Getenv(notifySocket)
	if path == "" {
		return
	}
	conn, err := net.Dial("unixgram", path) // a leading @ stands for the abstract namespace, here too
	if err == nil {
		_, err = conn.Write([]byte(state))
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		log.Warn("the supervisor cannot be told", "state", state, "error", err)
	}
}
