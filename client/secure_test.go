package client_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"testing"
	"time"

	"holdfast"
	"holdfast/client"
	"holdfast/internal/api"
	"holdfast/internal/auth"
	"holdfast/internal/certs"
)

func TestATokenIsSentWithEveryCall(t *testing.T) {
	token, hash := auth.NewToken()
	other, _ := auth.NewToken()
	s := guarded(t, hash, nil)
	for name, options := range map[string]client.Options{
		"none": {Patience: -1}, "wrong": {Patience: -1, Token: other}, "no header": {Patience: -1, Token: "a\nb"},
	} {
		c := connectWith(t, options, s)
		_, err := c.Check(t.Context(), []string{"a"})
		_, watch := c.Watch(t.Context(), holdfast.WatchRequest{})
		if name != "no header" && (holdfast.ErrorCode(err) != holdfast.CodeUnauthenticated || holdfast.ErrorCode(watch) != holdfast.CodeUnauthenticated) || err == nil {
			t.Errorf("%s: %v, %v", name, err, watch)
		}
	}
	useAll(t, connectWith(t, client.Options{Token: token}, s))
}

// useAll makes one call of each kind.
func useAll(t *testing.T, c *client.Client) {
	t.Helper()
	ctx := t.Context()
	grant, err := c.Lock(ctx, holdfast.LockRequest{UID: "u", Keys: holdfast.Keys("a"), Exp: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	_, extend := c.Extend(ctx, holdfast.ExtendRequest{UID: "u"})
	_, check := c.Check(ctx, []string{"a"})
	_, list := c.List(ctx, holdfast.ListRequest{})
	_, get := c.Get(ctx, "a")
	_, watch := c.Watch(ctx, holdfast.WatchRequest{})
	_, unlock := c.Unlock(ctx, holdfast.UnlockRequest{UID: "u", Tokens: grant.Tokens})
	_, force := c.Force(ctx, holdfast.ForceRequest{Key: "a"})
	for i, err := range []error{extend, check, list, get, watch, unlock, force} {
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestAClientSpeaksTLS(t *testing.T) {
	authority, err := certs.NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	make := func(kind certs.Kind, name string, hosts ...string) tls.Certificate {
		pair, err := authority.New(kind, name, hosts, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		return certificate
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority.Cert)
	s := guarded(t, [sha256.Size]byte{}, &tls.Config{
		Certificates: []tls.Certificate{make(certs.ForServer, "server", "127.0.0.1")},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    trusted,
		NextProtos:   api.Protocols,
	})
	useAll(t, connectWith(t, client.Options{TLS: &tls.Config{
		RootCAs: trusted, Certificates: []tls.Certificate{make(certs.ForClient, "app")},
	}}, s))
	for name, config := range map[string]*tls.Config{
		"nobody is trusted":        nil,
		"without a certificate":    {RootCAs: trusted},
		"a server as a client":     {RootCAs: trusted, Certificates: []tls.Certificate{make(certs.ForServer, "x", "h")}},
		"another name is expected": {RootCAs: trusted, ServerName: "x", Certificates: []tls.Certificate{make(certs.ForClient, "app")}},
	} {
		c := connectWith(t, client.Options{Patience: -1, TLS: config}, s)
		if _, err := c.Check(t.Context(), []string{"a"}); holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// guarded starts a server that knows the token with this hash, and a
// certificate of "app".
func guarded(t *testing.T, hash [sha256.Size]byte, secure *tls.Config) (url string) {
	t.Helper()
	verbs, err := auth.ParseVerbs(auth.VerbNames())
	if err != nil {
		t.Fatal(err)
	}
	file := &auth.File{Entries: []auth.Entry{
		{Name: "t", SHA256: hash, Grants: []auth.Grant{{Verbs: verbs}}},
		{Name: "c", Certificate: "app", Grants: []auth.Grant{{Verbs: verbs}}},
	}}
	server := api.NewServer(api.New(store(t), api.Options{Keyring: auth.NewKeyring(file), Logger: slog.New(slog.DiscardHandler)}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if secure == nil {
		run(t, server, func() error { return server.Serve(listener) })
		return "http://" + listener.Addr().String()
	}
	run(t, server, func() error { return server.ServeTLS(listener, secure) })
	return "https://" + listener.Addr().String()
}
