package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/auth"
	"holdfast/internal/certs"
)

// secured is a site over TLS.
type secured struct {
	*site
	authority certs.Pair
	source    *certs.Source
	dir       string
	trusted   *x509.CertPool
}

func openSecured(t testing.TB, auth tls.ClientAuthType, options Options, change ...func(*Server)) *secured {
	t.Helper()
	authority, err := certs.NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s := &secured{authority: authority, dir: t.TempDir(), trusted: x509.NewCertPool()}
	s.trusted.AppendCertsFromPEM(authority.Cert)
	s.site = &site{t: t, service: openStore(t)}
	s.renew()
	files := certs.Files{Cert: filepath.Join(s.dir, "cert"), Key: filepath.Join(s.dir, "key")}
	if auth != tls.NoClientCert {
		files.CA = filepath.Join(s.dir, "ca")
	}
	if s.source, err = certs.OpenServer(files, auth, Protocols...); err != nil {
		t.Fatal(err)
	}
	s.site = openWith(t, s.service, options, func(server *Server, l net.Listener) error {
		return server.ServeTLS(l, s.source.Server())
	}, change...)
	s.site.client, s.site.scheme = s.as("", true), "https://"
	return s
}

// renew gives the server another certificate.
func (s *secured) renew() {
	s.t.Helper()
	pair, err := s.authority.New(certs.ForServer, "server", []string{"127.0.0.1"}, time.Now(), time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, text := range map[string][]byte{"cert": pair.Cert, "key": pair.Key, "ca": s.authority.Cert} {
		if err := os.WriteFile(filepath.Join(s.dir, name), text, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// config is that of a client; with a name, one with a certificate.
func (s *secured) config(name string, protocols ...string) *tls.Config {
	s.t.Helper()
	config := &tls.Config{RootCAs: s.trusted, ServerName: "127.0.0.1", NextProtos: protocols}
	if name != "" {
		pair, err := s.authority.New(certs.ForClient, name, nil, time.Now(), time.Hour)
		if err != nil {
			s.t.Fatal(err)
		}
		certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			s.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config
}

// as gives a client, with a certificate if there is a name.
func (s *secured) as(name string, http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{TLSClientConfig: s.config(name), Protocols: protocols}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (s *secured) get(client *http.Client, path string) (*http.Response, string, error) {
	response, err := client.Get("https://" + s.address + path)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

func TestBothProtocolsAreServedOverTLS(t *testing.T) {
	s := openSecured(t, tls.NoClientCert, Options{})
	for _, http2 := range []bool{false, true} {
		response, body, err := s.get(s.as("", http2), "/ping")
		if err != nil || body != "pong" || (response.ProtoMajor == 2) != http2 || response.TLS.Version != tls.VersionTLS13 {
			t.Errorf("HTTP/2 %v: %v %q, %v", http2, response, body, err)
		}
	}
}

// Over HTTP/2 it is net/http that refuses a header, and not in JSON, as
// openapi.yaml says. What is allowed gets in.
func TestHeadersAreLimitedOverHTTP2(t *testing.T) {
	s := openSecured(t, tls.NoClientCert, Options{Limits: Limits{Header: 8 << 10}})
	status := func(headers int) int { // of some 130 bytes each, as HTTP/2 counts
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address+"/ping", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range headers {
			request.Header.Set(fmt.Sprint("X-", i), strings.Repeat("~", 100))
		}
		response, err := s.as("", true).Do(request)
		if err != nil {
			t.Log(err)
			return 0 // the connection is gone, or its limit was known before
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := status(30); got != 200 {
		t.Errorf("half of what is allowed: %d", got)
	}
	if got := status(65); got != 431 && got != 0 {
		t.Errorf("more than is allowed: %d", got)
	}
}

// HTTP/2 has no upgrades, and many clients take an answer for broken that names
// one.
func TestTheStreamIsRefusedOverHTTP2(t *testing.T) {
	s := openSecured(t, tls.NoClientCert, Options{})
	for _, http2 := range []bool{false, true} {
		response, body, err := s.get(s.as("", http2), "/stream")
		if err != nil {
			t.Fatal(err)
		}
		answer{t, response.StatusCode, response.Header, body}.refuses(400, "invalid", "Upgrade: ")
		if upgrade := response.Header.Get("Upgrade"); (upgrade == "") != http2 {
			t.Errorf("HTTP/2 %v: Upgrade %q", http2, upgrade)
		}
	}
}

// HTTP over TLS keeps what HTTP without it promises.
func TestWhatIsNoHTTPIsRefusedInJSONOverTLS(t *testing.T) {
	s := openSecured(t, tls.NoClientCert, Options{})
	conn, err := tls.Dial("tcp", s.address, s.config(""))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "hello\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer{t, response.StatusCode, response.Header, string(body)}.refuses(400, "invalid", "malformed HTTP request")
}

func TestHTTPToAPortForTLSIsToldSo(t *testing.T) {
	s := openSecured(t, tls.NoClientCert, Options{})
	for _, sent := range []string{post("/lock", `{"uid":"u","keys":"a"}`), "GET /locks HTTP/1.1\r\nHost: localhost\r\n\r\n", "DELETE /locks/a HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
		conn := s.dial()
		conn.send(sent)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, response.ContentLength)
		if _, err := io.ReadFull(response.Body, body); err != nil {
			t.Fatal(err)
		}
		answer{t, response.StatusCode, response.Header, string(body)}.refuses(400, "invalid", "this port speaks TLS")
	}
}

// Who goes while in line is taken out of it, over both protocols.
func TestWhoGoesLeavesTheLineOverTLS(t *testing.T) {
	s := openSecured(t, tls.NoClientCert, Options{})
	if _, err := s.service.Lock(t.Context(), lockRequest("holder", "a", 0)); err != nil {
		t.Fatal(err)
	}
	for _, http2 := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		client := s.as("", http2)
		done := make(chan error, 1)
		go func() {
			request, _ := http.NewRequestWithContext(ctx, "POST", "https://"+s.address+"/lock", strings.NewReader(`{"uid":"w","keys":"a","wait":3600000}`))
			_, err := client.Do(request)
			done <- err
		}()
		s.inLine("a", "w")
		cancel()
		s.inLine("a")
		if err := soon(t, done); err == nil {
			t.Error("it was answered")
		}
	}
}

func TestACertificateStandsForAToken(t *testing.T) {
	file := new(auth.File)
	if err := file.Add(auth.Entry{Name: "app", Certificate: "app-1", Grants: []auth.Grant{{Prefix: "a/", Verbs: auth.List}}}); err != nil {
		t.Fatal(err)
	}
	for _, required := range []tls.ClientAuthType{tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert} {
		s := openSecured(t, required, Options{Keyring: auth.NewKeyring(file)})
		for _, http2 := range []bool{false, true} {
			for _, test := range []struct {
				name, path string
				status     int
			}{
				{"app-1", "/locks/a%2Fx", 200},
				{"app-1", "/locks/b%2Fx", 403},
				{"app-2", "/locks/a%2Fx", 401},
				{"", "/locks/a%2Fx", 401},
			} {
				response, _, err := s.get(s.as(test.name, http2), test.path)
				if test.name == "" && required == tls.RequireAndVerifyClientCert {
					if err == nil {
						t.Errorf("without a certificate: %v", response.Status)
					}
					continue
				}
				if err != nil || response.StatusCode != test.status {
					t.Errorf("%+v, HTTP/2 %v: %v, %v", test, http2, response, err)
				}
			}
		}
	}
}

// A new certificate is shown to new connections; those that are there go on.
func TestACertificateIsChangedUnderWay(t *testing.T) {
	s := openSecured(t, tls.NoClientCert, Options{})
	client := s.as("", false)
	first, _, err := s.get(client, "/ping")
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	if _, err := s.service.Lock(t.Context(), lockRequest("holder", "a", 0)); err != nil {
		t.Fatal(err)
	}
	go func() {
		response, err := s.as("", false).Post("https://"+s.address+"/lock", "", strings.NewReader(`{"uid":"w","keys":"a","wait":60000,"exp":60000}`))
		if err == nil {
			response.Body.Close()
			if response.StatusCode != 200 {
				err = fmt.Errorf("%s", response.Status)
			}
		}
		waiting <- err
	}()
	s.inLine("a", "w")
	s.renew()
	if err := s.source.Reload(); err != nil {
		t.Fatal(err)
	}
	again, _, err := s.get(client, "/ping")
	if err != nil || !again.TLS.PeerCertificates[0].Equal(first.TLS.PeerCertificates[0]) {
		t.Errorf("the connection was dropped: %v", err)
	}
	fresh, _, err := s.get(s.as("", false), "/ping")
	if err != nil || fresh.TLS.PeerCertificates[0].Equal(first.TLS.PeerCertificates[0]) {
		t.Errorf("the certificate is the one before: %v", err)
	}
	if _, err := s.service.Force(t.Context(), forceRequest("a")); err != nil {
		t.Fatal(err)
	}
	if err := soon(t, waiting); err != nil {
		t.Errorf("who stood in line: %v", err)
	}
}

// Who does not shake hands keeps nobody waiting, nor the server from its end.
func TestSlowHandshakesKeepNobodyWaiting(t *testing.T) {
	s := openSecured(t, tls.NoClientCert, Options{})
	for range 50 {
		s.dial().send("\x16\x03\x01") // the beginning of a handshake
	}
	if _, body, err := s.get(s.as("", false), "/ping"); err != nil || body != "pong" {
		t.Errorf("%q, %v", body, err)
	}
	s.stop()
}

func TestAHandshakeMustEndInTime(t *testing.T) {
	const most = 300 * time.Millisecond
	s := openSecured(t, tls.NoClientCert, Options{Limits: Limits{HeaderTime: most}})
	began := time.Now()
	conn := s.dial()
	conn.send("\x16\x03\x01")
	if got := conn.rest(); got != "" {
		t.Errorf("got %q", got)
	}
	if took := time.Since(began); took < most || took > readTimeout {
		t.Errorf("cut off after %v", took)
	}
}

// Whoever agrees on HTTP/2 and then speaks something else makes net/http say so.
func TestConnectionsThatGoWrongDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		s := NewServer(New(openStore(t), Options{Logger: log.logger()}))
		for range 10 {
			s.http.ErrorLog.Print("http2: server: error reading preface")
		}
		if lines := log.lines(t, "http2: server: error reading preface"); len(lines) != 1 || lines[0]["level"] != "WARN" {
			t.Errorf("got %v", lines)
		}
		time.Sleep(time.Second)
		s.http.ErrorLog.Print("later")
		if lines := log.lines(t, "later"); len(lines) != 1 {
			t.Errorf("later: got %v", lines)
		}
	})
}
