package raftstore

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A node takes only what is meant for itself, in its own cluster.
func TestTheFirstLineOfAConnection(t *testing.T) {
	p := &peers{identity: &identity{Cluster: "C", ID: "n1"}}
	for line, refusal := range map[string]string{
		"holdfast/1 raft C n2 n1": "",
		"holdfast/1 api C n2 n1":  "",
		"holdfast/1 ask C n2 n1":  "",
		"holdfast/1 ask C n1 n1":  "", // it joins, and takes an ID that is taken: the leader refuses it
		"holdfast/1 raft D n2 n1": "node n1 is of cluster C, not of D",
		"holdfast/1 raft C n2 n3": "here is node n1, not n3",
		"holdfast/1 raft C n2 -":  "here is node n1, not -",
		"holdfast/1 x C n2 n1":    `nothing here is for "x"`,
		"holdfast/1 raft C n1":    "this port is for nodes of a cluster that speak holdfast/1",
		"holdfast/2 raft C n2 n1": "this port is for nodes of a cluster that speak holdfast/1",
		"GET / HTTP/1.1":          "this port is for nodes of a cluster that speak holdfast/1",
		"":                        "this port is for nodes of a cluster that speak holdfast/1",
	} {
		if _, got := p.understand(line); got != refusal {
			t.Errorf("%q: %q, not %q", line, got, refusal)
		}
	}
}

// Whoever reaches the port can be refused as often as he likes.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		p := &peers{identity: &identity{Cluster: "C", ID: "n1"}, logger: slog.New(slog.NewTextHandler(&text, nil)), closing: t.Context()}
		knock := func(secured bool) {
			here, there := net.Pipe()
			go io.Copy(io.Discard, there)
			go io.WriteString(there, "GET / HTTP/1.1\r\n\r\n")
			if secured {
				here = tls.Server(here, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }})
			}
			p.receive(here)
			there.Close()
		}
		for _, secured := range []bool{true, false} {
			text.Reset()
			for range 10 {
				knock(secured)
			}
			if lines := strings.Count(text.String(), "\n"); lines != 1 {
				t.Errorf("secured %v: %d lines\n%s", secured, lines, text.String())
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
	})
}
