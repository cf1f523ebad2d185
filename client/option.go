package client

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"holdfast"
)

// defaultExp is the life of a hold that is extended in the background: how
// long the others wait when its owner has died, and how long the owner can do
// without a server.
const defaultExp = 10 * time.Second

// Option changes how [Client.Hold], [Client.Do] and [Client.Election] ask.
type Option func(*asked)

// asked is a request for a hold that is kept.
type asked struct {
	holdfast.LockRequest
	endless bool // Wait is no more than what may be asked for at once
	bind    bool
}

// Exp is how long the hold lives on when its owner has died or lost sight of
// the servers; 10 s if it is not given. It is extended each time that a third
// of it has passed.
func Exp(d time.Duration) Option { return func(r *asked) { r.Exp = d } }

// Wait is how long to stand in line; zero means not at all, and
// [holdfast.MaxWait] is the most. If it is not given, it is as long as ctx
// allows; who has stood in line for MaxWait then begins anew at its end.
func Wait(d time.Duration) Option { return func(r *asked) { r.Wait, r.endless = d, false } }

// Note tells others what the hold is for. Whoever is refused sees it.
func Note(text string) Option { return func(r *asked) { r.Note = text } }

// UID is the owner of the hold. If it is not given, each hold has one of its
// own, made of the host, the process and chance, so that two goroutines
// exclude each other as two machines do. All holds with one uid have the same
// owner: they do not exclude each other, and the first one that is unlocked
// gives the key back for all.
func UID(uid string) Option { return func(r *asked) { r.UID = uid } }

// Bind ties the hold to the connection to the server: when the process dies,
// the keys are free after the server's grace for those who come back (5 s if
// nothing else is set), however long their Exp is. The hold is extended each
// time that a third of the grace has passed, and lost when that fails for so
// long. Where no stream is to be had when the keys are granted, Bind does
// nothing.
func Bind() Option { return func(r *asked) { r.bind = true } }

// asking makes the request for a hold.
func asking(keys []holdfast.Ask, options []Option) asked {
	req := asked{LockRequest: holdfast.LockRequest{Keys: keys, Exp: defaultExp, Wait: holdfast.MaxWait}, endless: true}
	for _, option := range options {
		option(&req)
	}
	if req.UID == "" {
		req.UID = newUID()
	}
	return req
}

// newUID makes a uid that nobody else has, and from which a person can tell
// where its owner runs.
func newUID() string {
	const longest = 128 // bytes of a host's name to keep
	host, err := os.Hostname()
	if err != nil || holdfast.ValidUID(host) != nil {
		host = "unknown"
	}
	host = strings.ToValidUTF8(host[:min(len(host), longest)], "")
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:16])
}
