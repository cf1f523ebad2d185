package auth

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestWhoFailsOftenIsSlowed(t *testing.T) {
	var a Attempts
	now := time.Unix(0, 0)
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range freeAttempts {
		if delay, first := a.Failed(here, now); delay != 0 || first {
			t.Fatalf("failure %d is slowed", i+1)
		}
	}
	if delay, first := a.Failed(here, now); delay != attemptDelay || !first {
		t.Errorf("one beyond: %v, %v", delay, first)
	}
	if delay, first := a.Failed(here, now); delay != attemptDelay || first {
		t.Errorf("two beyond: %v, %v", delay, first)
	}
	if delay, _ := a.Failed(there, now); delay != 0 {
		t.Error("its neighbour is slowed")
	}
	for range freeAttempts {
		if delay, _ := a.Failed(here, now.Add(attemptsWindow)); delay == 0 {
			t.Error("forgotten after one window")
		}
	}
	if delay, _ := a.Failed(here, now.Add(3*attemptsWindow)); delay != 0 {
		t.Error("never forgotten")
	}
}

func TestAnIPv6NetworkIsOneAddress(t *testing.T) {
	var a Attempts
	for i := range freeAttempts {
		a.Failed(netip.MustParseAddr(fmt.Sprintf("2001:db8:1:2:%x::1%%eth0", i)), time.Unix(0, 0))
	}
	if delay, _ := a.Failed(netip.MustParseAddr("2001:db8:1:2:8000::9"), time.Unix(0, 0)); delay == 0 {
		t.Error("another address of the network is not slowed")
	}
	if delay, _ := a.Failed(netip.MustParseAddr("2001:db8:1:3::9"), time.Unix(0, 0)); delay != 0 {
		t.Error("another network is slowed")
	}
	for range freeAttempts {
		a.Failed(netip.MustParseAddr("::ffff:192.0.2.1"), time.Unix(0, 0))
	}
	if delay, _ := a.Failed(netip.MustParseAddr("192.0.2.1"), time.Unix(0, 0)); delay == 0 {
		t.Error("the same IPv4 address is not slowed")
	}
}

func TestFailuresOfManyAddressesNeedLittleMemory(t *testing.T) {
	var a Attempts
	for i := range 3 * maxAddresses {
		address := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		delay, _ := a.Failed(address, time.Unix(0, 0))
		if beyond := i >= maxAddresses+freeAttempts; (delay != 0) != beyond {
			t.Fatalf("address %d: %v", i, delay)
		}
	}
	if delay, _ := a.Failed(netip.AddrFrom4([4]byte{10, 0, 0, 0}), time.Unix(0, 0)); delay != 0 {
		t.Error("one that was there before is slowed with the others")
	}
	if len(a.now) > maxAddresses+1 {
		t.Errorf("%d addresses are kept", len(a.now))
	}
}
