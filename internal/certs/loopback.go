package certs

import (
	"net"
	"net/netip"
	"strings"
)

// Loopback says whether a host, a name or an address, is this machine and
// reached from nowhere else. Of names only localhost is.
func Loopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.Unmap().IsLoopback()
}

// OnLoopback says whether what listens at an address is reached from this
// machine only.
func OnLoopback(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
