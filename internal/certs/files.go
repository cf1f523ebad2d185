package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
)

// Files are the PEM files of one side: its certificate, with those that lead
// to its authority; the key of it; and the authorities that it trusts.
type Files struct{ Cert, Key, CA string }

// Names are the files that are given.
func (f Files) Names() []string {
	return slices.DeleteFunc([]string{f.Cert, f.Key, f.CA}, func(name string) bool { return name == "" })
}

// loaded is what stands in files.
type loaded struct {
	certificate *tls.Certificate // nil if there is none
	trusted     *x509.CertPool   // nil if no authority is named
}

func (f Files) load() (*loaded, error) {
	l := new(loaded)
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a certificate and its key go together")
	}
	if f.Cert != "" {
		certificate, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", f.Cert, f.Key, err)
		}
		l.certificate = &certificate
	}
	if f.CA != "" {
		text, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, err
		}
		l.trusted = x509.NewCertPool()
		if !l.trusted.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: there is no certificate in it", f.CA)
		}
	}
	return l, nil
}

// Client gives the configuration with which a client asks; nil if nothing is
// said. Without a CA it trusts those that the machine does.
func Client(f Files) (*tls.Config, error) {
	if f == (Files{}) {
		return nil, nil
	}
	l, err := f.load()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: l.trusted}
	if l.certificate != nil {
		config.Certificates = []tls.Certificate{*l.certificate}
	}
	return config, nil
}

// Source gives the configurations of one side of which the files may change.
// It is safe for concurrent use.
type Source struct {
	files  Files
	auth   tls.ClientAuthType
	protos []string
	peers  bool

	// The configuration of the listening side; between nodes, of both. It is
	// made once for each state of the files, so that sessions can be resumed, but
	// not beyond a change of who is trusted.
	current atomic.Pointer[tls.Config]
}

// OpenServer gives the source for a server, which speaks these protocols
// (ALPN). Whether it wants the certificates of clients, and which, auth says;
// the authorities that it then trusts are those in files, and no others.
func OpenServer(files Files, auth tls.ClientAuthType, protos ...string) (*Source, error) {
	s := &Source{files: files, auth: auth, protos: protos}
	if files.Cert == "" {
		return nil, errors.New("a certificate is missing")
	}
	if (files.CA == "") != (auth == tls.NoClientCert) {
		return nil, errors.New("certificates of clients cannot be verified without an authority, nor an authority used without them")
	}
	return s, s.Reload()
}

// OpenPeer gives the source for a node of a cluster, which is server and
// client to the others. It trusts the authorities in files and no others, and
// only certificates that are good for both sides: one that somebody has as a
// client makes nobody a node.
func OpenPeer(files Files) (*Source, error) {
	s := &Source{files: files, auth: tls.RequireAndVerifyClientCert, peers: true}
	if files.Cert == "" || files.CA == "" {
		return nil, errors.New("a node needs a certificate, its key and an authority")
	}
	return s, s.Reload()
}

// Reload reads the files. If they cannot be used, what was read before goes
// on to count. Connections that exist stay as they are.
func (s *Source) Reload() error {
	l, err := s.files.load()
	if err != nil {
		return err
	}
	next := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{*l.certificate},
		ClientAuth:   s.auth,
		ClientCAs:    l.trusted,
		NextProtos:   s.protos,
	}
	if s.peers {
		next.RootCAs = l.trusted
		next.VerifyConnection = func(state tls.ConnectionState) error { return goodForNodes(state, l.trusted) }
	}
	s.current.Store(next)
	return nil
}

// goodForNodes wants of the other side's certificate that it is good for both
// sides; crypto/tls has looked at one.
func goodForNodes(state tls.ConnectionState, trusted *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		between.AddCert(certificate)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
			Roots:         trusted,
			Intermediates: between,
			KeyUsages:     []x509.ExtKeyUsage{usage},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Server gives a configuration to listen with. It follows the files.
func (s *Source) Server() *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load(), nil }}
}

// Peer gives the configuration for either end of a connection between nodes, as
// the files are now: each connection asks anew. It must not be changed; whoever
// connects fills in, in a copy, the name that the other side must have a
// certificate for, as [tls.Dialer] does by itself.
func (s *Source) Peer() *tls.Config { return s.current.Load() }
