package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// shop makes certificates, and keeps them in files.
type shop struct {
	t         testing.TB
	dir       string
	authority Pair
}

func openShop(t testing.TB) *shop {
	t.Helper()
	authority, err := NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t, t.TempDir(), authority}
	s.write("ca", authority)
	return s
}

func (s *shop) write(name string, pair Pair) {
	s.t.Helper()
	write(s.t, filepath.Join(s.dir, name+".pem"), pair.Cert)
	write(s.t, filepath.Join(s.dir, name+"-key.pem"), pair.Key)
}

// files makes a certificate, and gives the files of one who has it and trusts
// the authority.
func (s *shop) files(kind Kind, name string, life time.Duration, hosts ...string) Files {
	s.t.Helper()
	pair, err := s.authority.New(kind, name, hosts, time.Now(), life)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name, pair)
	at := func(file string) string { return filepath.Join(s.dir, file) }
	return Files{at(name + ".pem"), at(name + "-key.pem"), at("ca.pem")}
}

// meet lets two sides shake hands, and say a word each. It gives what the
// client has of the server and the server of the client, or why not.
func meet(t testing.TB, server, client *tls.Config, host string) (ofServer, ofClient tls.ConnectionState, err error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	deadline := time.Now().Add(30 * time.Second)
	done := make(chan error, 1)
	var s *tls.Conn
	go func() {
		raw, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		defer raw.Close()
		raw.SetDeadline(deadline)
		s = tls.Server(raw, server)
		_, err = io.ReadFull(s, make([]byte, 4))
		if err == nil {
			_, err = io.WriteString(s, "pong")
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(deadline)
	client = client.Clone()
	client.ServerName = host
	c := tls.Client(raw, client)
	_, err = io.WriteString(c, "ping")
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 4))
	}
	raw.Close()
	err = errors.Join(err, <-done)
	return c.ConnectionState(), s.ConnectionState(), err
}

func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestWhoTrustsWhom(t *testing.T) {
	s, strange := openShop(t), openShop(t)
	server := s.files(ForServer, "server", time.Hour, "locks.test", "127.0.0.1", "::1")
	good := s.files(ForClient, "app", time.Hour)
	expired := s.files(ForClient, "late", -time.Minute)
	none := Files{CA: good.CA}
	stranger := strange.files(ForClient, "app", time.Hour)
	stranger.CA = good.CA

	for _, test := range []struct {
		name   string
		auth   tls.ClientAuthType
		client Files
		host   string
		want   string // the name that the server knows the client by, or "refused"
	}{
		{"no certificate, none wanted", tls.NoClientCert, none, "locks.test", ""},
		{"a certificate, none wanted", tls.NoClientCert, good, "locks.test", ""},
		{"no certificate, optional", tls.VerifyClientCertIfGiven, none, "locks.test", ""},
		{"a certificate, optional", tls.VerifyClientCertIfGiven, good, "locks.test", "app"},
		{"of a stranger, optional", tls.VerifyClientCertIfGiven, stranger, "locks.test", "refused"},
		{"expired, optional", tls.VerifyClientCertIfGiven, expired, "locks.test", "refused"},
		{"a server's, optional", tls.VerifyClientCertIfGiven, server, "locks.test", "refused"},
		{"no certificate, required", tls.RequireAndVerifyClientCert, none, "locks.test", "refused"},
		{"a certificate, required", tls.RequireAndVerifyClientCert, good, "locks.test", "app"},
		{"of a stranger, required", tls.RequireAndVerifyClientCert, stranger, "locks.test", "refused"},
		{"an address", tls.RequireAndVerifyClientCert, good, "127.0.0.1", "app"},
		{"an address of version 6", tls.RequireAndVerifyClientCert, good, "::1", "app"},
		{"another name", tls.NoClientCert, none, "other.test", "refused"},
		{"another address", tls.NoClientCert, none, "127.0.0.2", "refused"},
		{"a server of a stranger", tls.NoClientCert, Files{CA: strange.files(ForClient, "x", time.Hour).CA}, "locks.test", "refused"},
		{"whom the machine trusts", tls.NoClientCert, Files{Cert: good.Cert, Key: good.Key}, "locks.test", "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := server
			if test.auth == tls.NoClientCert {
				files.CA = ""
			}
			source := must[*Source](t)(OpenServer(files, test.auth, "h2"))
			client := must[*tls.Config](t)(Client(test.client))
			_, state, err := meet(t, source.Server(), client, test.host)
			got := "refused"
			if err == nil {
				got = ""
				if len(state.VerifiedChains) > 0 {
					got = state.VerifiedChains[0][0].Subject.CommonName
				}
			}
			if got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestVersionsBelow12AreRefused(t *testing.T) {
	s := openShop(t)
	files := s.files(ForServer, "server", time.Hour, "locks.test")
	files.CA = ""
	source := must[*Source](t)(OpenServer(files, tls.NoClientCert))
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := must[*tls.Config](t)(Client(Files{CA: filepath.Join(s.dir, "ca.pem")}))
		client.MinVersion, client.MaxVersion = version, version
		if _, _, err := meet(t, source.Server(), client, "locks.test"); (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func TestNodesKnowEachOther(t *testing.T) {
	s, strange := openShop(t), openShop(t)
	one := must[*Source](t)(OpenPeer(s.files(ForPeer, "n1", time.Hour, "n1.test", "10.0.0.1")))
	two := must[*Source](t)(OpenPeer(s.files(ForPeer, "n2", time.Hour, "n2.test")))
	if _, state, err := meet(t, one.Peer(), two.Peer(), "n1.test"); err != nil || state.VerifiedChains[0][0].Subject.CommonName != "n2" {
		t.Errorf("node and node: %v", err)
	}
	if _, _, err := meet(t, one.Peer(), two.Peer(), "10.0.0.1"); err != nil {
		t.Errorf("by address: %v", err)
	}
	api := must[*Source](t)(OpenPeer(s.files(ForServer, "api", time.Hour, "n1.test")))
	refused := map[string]func() error{
		"a node with another name": func() error { _, _, err := meet(t, one.Peer(), two.Peer(), "n2.test"); return err },
		"no certificate": func() error {
			client := two.Peer().Clone()
			client.Certificates = nil
			_, _, err := meet(t, one.Peer(), client, "n1.test")
			return err
		},
		"a client of the same authority": func() error {
			client := must[*tls.Config](t)(Client(s.files(ForClient, "app", time.Hour)))
			_, _, err := meet(t, one.Peer(), client, "n1.test")
			return err
		},
		"a server of the same authority": func() error {
			_, _, err := meet(t, one.Peer(), api.Peer(), "n1.test")
			return err
		},
		"towards a server of the same authority": func() error {
			_, _, err := meet(t, api.Peer(), two.Peer(), "n1.test")
			return err
		},
		"a node of another cluster": func() error {
			files := strange.files(ForPeer, "n3", time.Hour, "n3.test")
			files.CA = filepath.Join(s.dir, "ca.pem")
			_, _, err := meet(t, one.Peer(), must[*Source](t)(OpenPeer(files)).Peer(), "n1.test")
			return err
		},
		"towards a node of another cluster": func() error {
			other := must[*Source](t)(OpenPeer(strange.files(ForPeer, "n1", time.Hour, "n1.test")))
			_, _, err := meet(t, other.Peer(), two.Peer(), "n1.test")
			return err
		},
		"an expired node": func() error {
			late := must[*Source](t)(OpenPeer(s.files(ForPeer, "n4", -time.Minute, "n4.test")))
			_, _, err := meet(t, one.Peer(), late.Peer(), "n1.test")
			return err
		},
	}
	for name, try := range refused {
		if err := try(); err == nil {
			t.Errorf("%s is let in", name)
		}
	}
}

func TestChangedFilesCountForNewConnections(t *testing.T) {
	s := openShop(t)
	files := s.files(ForServer, "server", time.Hour, "locks.test")
	source := must[*Source](t)(OpenServer(files, tls.RequireAndVerifyClientCert))
	config := source.Server() // as it is given away once
	client := must[*tls.Config](t)(Client(s.files(ForClient, "app", time.Hour)))
	serial := func() string {
		t.Helper()
		state, _, err := meet(t, config, client, "locks.test")
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber.String()
	}
	first := serial()

	// The certificate comes before its key: what was there goes on to count.
	renewed := must[Pair](t)(s.authority.New(ForServer, "server", []string{"locks.test"}, time.Now(), time.Hour))
	if err := os.WriteFile(files.Cert, renewed.Cert, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := source.Reload(); err == nil {
		t.Error("half a change is taken")
	}
	if serial() != first {
		t.Error("half a change counts")
	}
	s.write("server", renewed)
	if err := source.Reload(); err != nil || serial() == first {
		t.Errorf("a whole change does not count: %v", err)
	}

	// Another authority: clients of the old one are not let in any more, also
	// if they resume a session.
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	serial()
	if state, _, err := meet(t, config, client, "locks.test"); err != nil || !state.DidResume {
		t.Errorf("no session is resumed: %v", err)
	}
	other := openShop(t)
	s.write("ca", other.authority)
	if err := source.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := meet(t, config, client, "locks.test"); err == nil {
		t.Error("a client of the authority before is let in")
	}
}

// Nodes change their authority one after the other: first all trust both, then
// all have certificates of the new one, then none trusts the old one. At no
// moment is one shut out.
func TestNodesChangeTheirAuthority(t *testing.T) {
	old, next := openShop(t), openShop(t)
	both := slices.Concat(old.authority.Cert, next.authority.Cert)
	var files []Files
	var nodes []*Source
	for _, host := range []string{"n1.test", "n2.test"} {
		f := old.files(ForPeer, host, time.Hour, host)
		f.CA = filepath.Join(t.TempDir(), "ca.pem") // each has its own
		write(t, f.CA, old.authority.Cert)
		files, nodes = append(files, f), append(nodes, must[*Source](t)(OpenPeer(f)))
	}
	before := must[*Source](t)(OpenPeer(old.files(ForPeer, "n3.test", time.Hour, "n3.test")))
	for _, step := range []struct {
		name   string
		change func(i int)
	}{
		{"trust both", func(i int) { write(t, files[i].CA, both) }},
		{"a new certificate", func(i int) {
			host := []string{"n1.test", "n2.test"}[i]
			pair := must[Pair](t)(next.authority.New(ForPeer, host, []string{host}, time.Now(), time.Hour))
			write(t, files[i].Cert, pair.Cert)
			write(t, files[i].Key, pair.Key)
		}},
		{"trust the new one", func(i int) { write(t, files[i].CA, next.authority.Cert) }},
	} {
		for i := range nodes {
			step.change(i)
			if err := nodes[i].Reload(); err != nil {
				t.Fatal(err)
			}
			if _, _, err := meet(t, nodes[0].Peer(), nodes[1].Peer(), "n1.test"); err != nil {
				t.Errorf("%s, node %d: from 2 to 1: %v", step.name, i+1, err)
			}
			if _, _, err := meet(t, nodes[1].Peer(), nodes[0].Peer(), "n2.test"); err != nil {
				t.Errorf("%s, node %d: from 1 to 2: %v", step.name, i+1, err)
			}
		}
	}
	if _, _, err := meet(t, nodes[0].Peer(), before.Peer(), "n1.test"); err == nil {
		t.Error("a node of the old authority is let in")
	}
	if _, _, err := meet(t, before.Peer(), nodes[0].Peer(), "n3.test"); err == nil {
		t.Error("a node of the old authority is connected to")
	}
}

func write(t testing.TB, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	s := openShop(t)
	good := s.files(ForServer, "good", time.Hour, "locks.test")
	other := s.files(ForServer, "other", time.Hour, "locks.test")
	for _, test := range []struct {
		name  string
		files Files
		want  string
	}{
		{"no key", Files{Cert: good.Cert, CA: good.CA}, "go together"},
		{"no certificate", Files{Key: good.Key, CA: good.CA}, "certificate"},
		{"the key of another", Files{good.Cert, other.Key, good.CA}, "private key does not match"},
		{"a file that is not there", Files{good.Cert + "x", good.Key, good.CA}, "no such file"},
		{"an authority that is not there", Files{good.Cert, good.Key, good.CA + "x"}, "no such file"},
		{"an authority that is a key", Files{good.Cert, good.Key, good.Key}, "there is no certificate in it"},
	} {
		_, asServer := OpenServer(test.files, tls.RequireAndVerifyClientCert)
		_, asPeer := OpenPeer(test.files)
		_, asClient := Client(test.files)
		for i, err := range []error{asServer, asPeer, asClient} {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s, %d: %v, want %s", test.name, i, err, test.want)
			}
		}
	}
	if _, err := OpenServer(good, tls.NoClientCert); err == nil {
		t.Error("an authority that nobody uses is taken")
	}
	if _, err := OpenServer(Files{Cert: good.Cert, Key: good.Key}, tls.VerifyClientCertIfGiven); err == nil {
		t.Error("clients are verified by nobody")
	}
	if _, err := OpenPeer(Files{Cert: good.Cert, Key: good.Key}); err == nil {
		t.Error("a node trusts nobody")
	}
	if config, err := Client(Files{}); config != nil || err != nil {
		t.Errorf("from nothing comes %v, %v", config, err)
	}
}

func TestWhatACertificateIsGoodFor(t *testing.T) {
	s := openShop(t)
	authority := must[tls.Certificate](t)(tls.X509KeyPair(s.authority.Cert, s.authority.Key))
	if !authority.Leaf.IsCA || !authority.Leaf.MaxPathLenZero {
		t.Error("an authority that signs nothing, or authorities")
	}
	pair := must[Pair](t)(s.authority.New(ForClient, "app", nil, time.Now(), 24*time.Hour))
	leaf := must[tls.Certificate](t)(tls.X509KeyPair(pair.Cert, pair.Key)).Leaf
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || life != 24*time.Hour+backdated {
		t.Errorf("%v, %v, %v", leaf.IsCA, leaf.KeyUsage, life)
	}
}

func TestWhichHostIsThisMachineAlone(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost":        true,
		"LocalHost.":       true,
		"127.0.0.1":        true,
		"127.8.8.8":        true,
		"::1":              true,
		"[::1]":            true,
		"::ffff:127.0.0.1": true,
		"":                 false,
		"0.0.0.0":          false,
		"::":               false,
		"10.0.0.1":         false,
		"n1.test":          false,
		"localhost.test":   false,
		"127.0.0.1.test":   false,
	} {
		if Loopback(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}

func TestWhatIsReachedFromThisMachineOnly(t *testing.T) {
	for at, want := range map[net.Addr]bool{
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}: true,
		&net.TCPAddr{IP: net.IPv6loopback}:       true,
		&net.TCPAddr{IP: net.IPv4zero}:           false,
		&net.TCPAddr{IP: net.IPv6unspecified}:    false,
		&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}:  false,
		&net.UnixAddr{Name: "127.0.0.1"}:         false,
	} {
		if OnLoopback(at) != want {
			t.Errorf("%v: %v", at, !want)
		}
	}
}
