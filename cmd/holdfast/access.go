package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"holdfast/internal/api"
	"holdfast/internal/auth"
	"holdfast/internal/certs"
	"holdfast/internal/reload"
)

// accessSettings say who is let in, and how.
type accessSettings struct {
	TLSCert       nonEmpty   `group:"access" name:"tls-cert" placeholder:"FILE" variable:"TLS_CERT" help:"Certificate (PEM), with those that lead to its authority. With it the service speaks TLS only. Files that change are read anew."`
	TLSKey        nonEmpty   `group:"access" name:"tls-key" placeholder:"FILE" variable:"TLS_KEY" help:"Key (PEM) of the certificate."`
	TLSClientCA   nonEmpty   `group:"access" name:"tls-client-ca" placeholder:"FILE" variable:"TLS_CLIENT_CA" help:"Authorities (PEM) whose certificates clients may show."`
	TLSClientAuth clientAuth `group:"access" name:"tls-client-auth" default:"required" placeholder:"WORD" complete:"required,optional" variable:"TLS_CLIENT_AUTH" help:"With --tls-client-ca: required lets in nobody without a certificate, optional leaves that to --auth-file; without it required."`

	AuthFile nonEmpty `group:"access" placeholder:"FILE" variable:"AUTH_FILE" help:"File with the tokens that are let in, and what each may do; holdfast token edits it. Without it everybody may do everything."`
	Insecure bool     `group:"access" variable:"INSECURE" help:"Let other machines in without asking who they are."`
}

// keyring gives who may do what, and goes on with a changed file until ctx
// ends. It is nil if there is no file, and everybody may do everything.
func (c *serveCommand) keyring(ctx context.Context, log *slog.Logger) (*auth.Keyring, error) {
	if c.AuthFile == "" {
		return nil, nil
	}
	path := string(c.AuthFile)
	files := reload.Look(path)
	file, err := readAuthFile(path)
	if err != nil {
		return nil, usageError(err.Error())
	}
	ring := auth.NewKeyring(file)
	go files.Watch(ctx, func() error {
		file, err := readAuthFile(path)
		if err != nil {
			return err
		}
		ring.Use(file)
		log.Info("the auth file has changed", "tokens", len(file.Entries))
		return nil
	}, func(err error) {
		log.Error("the changed auth file cannot be used; the one before goes on to count", "error", err)
	})
	return ring, nil
}

// clientAuth says whether clients must have a certificate.
type clientAuth tls.ClientAuthType

// UnmarshalText reads a word.
func (a *clientAuth) UnmarshalText(text []byte) error {
	switch string(text) {
	case "required":
		*a = clientAuth(tls.RequireAndVerifyClientCert)
	case "optional":
		*a = clientAuth(tls.VerifyClientCertIfGiven)
	default:
		return fmt.Errorf("must be required or optional, not %q", text)
	}
	return nil
}

// tls gives how to listen over TLS, and goes on with changed files until ctx
// ends. It is nil if the service speaks plain HTTP.
func (c *serveCommand) tls(ctx context.Context, log *slog.Logger) (*tls.Config, error) {
	files := certs.Files{Cert: string(c.TLSCert), Key: string(c.TLSKey), CA: string(c.TLSClientCA)}
	switch {
	case files == certs.Files{}:
		return nil, nil
	case files.Cert == "" || files.Key == "":
		return nil, usageError("--tls-cert (TLS_CERT) and --tls-key (TLS_KEY) go together, and --tls-client-ca (TLS_CLIENT_CA) with them")
	}
	auth := tls.NoClientCert
	if files.CA != "" {
		auth = tls.ClientAuthType(c.TLSClientAuth)
	}
	seen := reload.Look(files.Names()...)
	source, err := certs.OpenServer(files, auth, api.Protocols...)
	if err != nil {
		return nil, usageError("--tls-cert, --tls-key, --tls-client-ca: " + err.Error())
	}
	follow(ctx, log, "certificates", seen, source)
	return source.Server(), nil
}

// follow lets a source go on with changed files until ctx ends. They were looked
// at before it read them.
func follow(ctx context.Context, log *slog.Logger, what string, files *reload.Files, source *certs.Source) {
	go files.Watch(ctx, func() error {
		if err := source.Reload(); err != nil {
			return err
		}
		log.Info("the " + what + " have changed")
		return nil
	}, func(err error) {
		log.Error("the changed "+what+" cannot be used; those before go on to count", "error", err)
	})
}

// scheme is how URLs of the service begin.
func (c *serveCommand) scheme() string {
	if c.TLSCert != "" {
		return "https://"
	}
	return "http://"
}

func serveOn(server *api.Server, listener net.Listener, secure *tls.Config) error {
	if secure != nil {
		return server.ServeTLS(listener, secure)
	}
	return server.Serve(listener)
}

// exposed says whether other machines are let in at an address, and nothing
// asks who they are.
func (c *serveCommand) exposed(at net.Addr) bool {
	certified := c.TLSClientCA != "" && tls.ClientAuthType(c.TLSClientAuth) == tls.RequireAndVerifyClientCert
	return c.AuthFile == "" && !certified && !certs.OnLoopback(at)
}

// checkExposure refuses to let everybody in from other machines, unless that
// is asked for.
func (c *serveCommand) checkExposure(at net.Addr) error {
	if !c.exposed(at) || c.Insecure {
		return nil
	}
	return usageError(fmt.Sprintf("--host (HOST): at %s other machines are let in, and nothing asks who they are: "+
		"give --auth-file (AUTH_FILE), or --insecure (INSECURE=true) if everybody there may do everything", c.Host))
}

// warn says at each start what is left open.
func (c *serveCommand) warn(log *slog.Logger, at net.Addr) {
	switch {
	case c.exposed(at):
		log.Warn("insecure: whoever reaches this address may do everything", "address", at.String())
	case c.TLSCert == "" && !certs.OnLoopback(at):
		log.Warn("tokens come unencrypted: give --tls-cert and --tls-key, unless something in front speaks TLS", "address", at.String())
	}
}
