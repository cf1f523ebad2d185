package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/certs"
	"holdfast/internal/wire"
)

// The variables that count when the flag of that name is not given.
const (
	serverVariable = "HOLDFAST_SERVER"
	tokenVariable  = "HOLDFAST_TOKEN"
	caVariable     = "HOLDFAST_CA"
	certVariable   = "HOLDFAST_CLIENT_CERT"
	keyVariable    = "HOLDFAST_CLIENT_KEY"
)

// asking is what all commands have in common that ask a server. These do not
// read .env: they are run in directories that belong to something else.
type asking struct {
	credentials
	Server   serverList    `placeholder:"URL" help:"Server to ask; several that share one state, separated by commas; without it http://localhost:3000. [HOLDFAST_SERVER]"`
	Patience time.Duration `default:"5s" placeholder:"DURATION" help:"How long to go on asking while no server can serve; without it 5s."`
}

// servers are those that were named; the one that a client asks anyway, if
// none was.
func (a *asking) servers() []string {
	if len(a.Server) > 0 {
		return a.Server
	}
	servers := strings.Split(cmp.Or(os.Getenv(serverVariable), client.DefaultServer), ",")
	for i := range servers {
		servers[i] = strings.TrimSpace(servers[i])
	}
	return servers
}

// serverList is URLs on the command line. That there are none in it must not
// mean another server than was meant.
type serverList []string

// UnmarshalText adds URLs, separated by commas.
func (s *serverList) UnmarshalText(text []byte) error {
	for server := range strings.SplitSeq(string(text), ",") {
		if server = strings.TrimSpace(server); server == "" {
			return errEmpty
		}
		*s = append(*s, server)
	}
	return nil
}

// credentials are what a server is shown, and what it must show.
type credentials struct {
	Token      string `placeholder:"TOKEN" help:"What the server knows you by. Better in the environment, where others on this machine do not see it. [HOLDFAST_TOKEN]"`
	CA         string `name:"ca" placeholder:"FILE" help:"Trust servers with a certificate of this authority (PEM), and no others; without it those that this machine trusts. [HOLDFAST_CA]"`
	ClientCert string `placeholder:"FILE" help:"Certificate (PEM) to show to the server. [HOLDFAST_CLIENT_CERT]"`
	ClientKey  string `placeholder:"FILE" help:"Its key (PEM). [HOLDFAST_CLIENT_KEY]"`
}

// token gives what the servers know the caller by; "" if nothing was said.
func (c *credentials) token() string { return cmp.Or(c.Token, os.Getenv(tokenVariable)) }

// tls gives how to speak to the servers over TLS; nil if nothing was said.
func (c *credentials) tls() (*tls.Config, error) {
	config, err := certs.Client(certs.Files{
		CA:   cmp.Or(c.CA, os.Getenv(caVariable)),
		Cert: cmp.Or(c.ClientCert, os.Getenv(certVariable)),
		Key:  cmp.Or(c.ClientKey, os.Getenv(keyVariable)),
	})
	if err != nil {
		return nil, usageError("--ca, --client-cert, --client-key: " + err.Error())
	}
	return config, nil
}

// client gives a client of the servers that were named.
func (a *asking) client() (*client.Client, error) { return a.clientWith(client.Options{}) }

// clientWith is client with other options beside its own.
func (a *asking) clientWith(options client.Options) (*client.Client, error) {
	secure, err := a.tls()
	if err != nil {
		return nil, err
	}
	options.Token, options.TLS = a.token(), secure
	options.Patience = a.Patience
	if a.Patience == 0 {
		options.Patience = -1 // ask each server once
	}
	locks, err := options.New(a.servers()...)
	if err != nil {
		return nil, usageError(err.Error())
	}
	return locks, nil
}

// call lets work ask the servers, and makes of a refusal the error to end
// with. SIGINT and SIGTERM end the ctx of work; a second one the process.
func (a *asking) call(work func(ctx context.Context, locks *client.Client) error) error {
	locks, err := a.client()
	if err != nil {
		return err
	}
	defer locks.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals) // a second one ends what does not heed ctx: nobody may read stdout
			cancel(endedBy(s.(syscall.Signal)))
		case <-ctx.Done():
		}
	}()
	return refusal(ctx, locks, work(ctx, locks))
}

// scripted is what the commands have in common that print an answer.
type scripted struct {
	asking
	JSON bool `name:"json" help:"Print the server's answer as JSON, a refusal too."`
}

// call is that of asking, and prints what a server refuses as JSON if that is
// wanted.
func (s *scripted) call(work func(ctx context.Context, locks *client.Client) error) error {
	return s.asking.call(func(ctx context.Context, locks *client.Client) error {
		err := work(ctx, locks)
		if e, ok := errors.AsType[*holdfast.Error](err); ok && s.JSON {
			_ = printJSON(wire.AppendError(nil, e)) // the refusal is said on stderr as well
		}
		return err
	})
}

func printJSON(body []byte) error {
	_, err := fmt.Printf("%s\n", bytes.TrimSpace(body))
	return err
}

// refusal makes of what the servers say an error with the status that belongs
// to it. Of those who are in the way it says since when.
func refusal(ctx context.Context, locks *client.Client, err error) error {
	e, ok := errors.AsType[*holdfast.Error](err)
	if !ok {
		return err
	}
	switch e.Code {
	case holdfast.CodeInvalid:
		return usageError(e.Message)
	case holdfast.CodeLocked:
		return &exit{statusNotAcquired, "not acquired: " + blocked(ctx, locks, e)}
	case holdfast.CodeDeadlock:
		return &exit{statusNotAcquired, "not acquired: " + e.Message}
	case holdfast.CodeUnavailable:
		return &exit{statusAway, "no server can serve: " + e.Message}
	case holdfast.CodeUnauthenticated:
		return &exit{statusRefused, e.Message + " (" + tokenVariable + ", --token)"}
	default:
		return &exit{statusRefused, e.Message}
	}
}

// plain is an error without the word that is for machines.
func plain(err error) string {
	if e, ok := errors.AsType[*holdfast.Error](err); ok {
		return e.Message
	}
	return oneLine(err)
}

// shownBlockers is how many of those in the way a message names.
const shownBlockers = 3

// blocked says who holds the keys, since when, and why.
func blocked(ctx context.Context, locks *client.Client, e *holdfast.Error) string {
	if len(e.Blockers) == 0 {
		return e.Message
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second) // what is missing then is left out
	defer cancel()
	var who []string
	for i, blocker := range e.Blockers {
		if i == shownBlockers {
			who = append(who, fmt.Sprintf("and %d more", len(e.Blockers)-i))
			break
		}
		held := time.Duration(-1)
		if lock, err := locks.Get(ctx, blocker.Key); err == nil {
			for _, holder := range lock.Holders {
				if holder.UID == blocker.UID && holder.Version == blocker.Version {
					held = holder.Held
				}
			}
		}
		who = append(who, inTheWay(blocker, held))
	}
	return strings.Join(who, "; ")
}

// inTheWay says who is in the way on one key. A negative held is not known.
func inTheWay(b holdfast.Blocker, held time.Duration) string {
	said := fmt.Sprintf("key %q is held by %q", b.Key, b.UID)
	if b.Waiting {
		said = fmt.Sprintf("%q waits for key %q ahead of you", b.UID, b.Key)
	}
	if held >= 0 {
		said += " since " + since(held)
	}
	if b.Note != "" {
		said += fmt.Sprintf(": %q", b.Note)
	}
	return said
}

// since tells a moment that is so long ago, for people.
func since(ago time.Duration) string {
	return time.Now().Add(-ago).Format(time.DateTime) + " (" + rounded(ago) + " ago)"
}

// rounded writes a duration so that a person can take it in.
func rounded(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// token is KEY@VERSION on the command line.
type token holdfast.Token

// UnmarshalText reads a token. The version stands behind the last @, so that
// a key may contain others.
func (t *token) UnmarshalText(text []byte) error {
	at := bytes.LastIndexByte(text, '@')
	version, err := strconv.ParseUint(string(text[at+1:]), 10, 64)
	if at < 1 || err != nil {
		return fmt.Errorf("must be KEY@VERSION, not %q", text)
	}
	*t = token{string(text[:at]), version}
	return nil
}

func (t token) String() string { return t.Key + "@" + strconv.FormatUint(t.Version, 10) }

func plainTokens(tokens []token) []holdfast.Token {
	var plain []holdfast.Token // nil if there are none
	for _, t := range tokens {
		plain = append(plain, holdfast.Token(t))
	}
	return plain
}

// wanted is how keys are asked for.
type wanted struct {
	Shared bool     `help:"Share the keys with others who ask for them as shared."`
	Limit  holders  `placeholder:"N" help:"With --shared: at most N holders of a key."`
	UID    nonEmpty `name:"uid" placeholder:"UID" help:"Owner of the hold; without it one that nobody else has."`
	Note   string   `placeholder:"TEXT" help:"What it is for; shown to whoever is refused."`
}

// asks gives what is asked of each key.
func (w *wanted) asks(keys []string) ([]holdfast.Ask, error) {
	asks := holdfast.Keys(keys...)
	if w.Limit > 0 && !w.Shared {
		return nil, usageError("--limit: goes with --shared")
	}
	for i := range asks {
		if w.Shared {
			asks[i].Mode, asks[i].Limit = holdfast.Shared, int(w.Limit)
		}
	}
	return asks, nil
}
