package main

import (
	"fmt"
	"math"
	"time"

	"holdfast"
	"holdfast/internal/api"
	locktable "holdfast/internal/table"
)

// limitSettings say how much there may be. Zero is no limit, or the default
// that the help names.
type limitSettings struct {
	MaxHolds         count `group:"limits" placeholder:"N" variable:"MAX_HOLDS" help:"Holds, and keys that are waited for, of everybody."`
	MaxHoldsPerUID   count `group:"limits" name:"max-holds-per-uid" placeholder:"N" variable:"MAX_HOLDS_PER_UID" help:"Holds, and keys that are waited for, of one uid."`
	MaxWaitersPerUID count `group:"limits" name:"max-waiters-per-uid" placeholder:"N" variable:"MAX_WAITERS_PER_UID" help:"Requests in line of one uid."`
	MaxWaitersPerKey count `group:"limits" placeholder:"N" variable:"MAX_WAITERS_PER_KEY" help:"Requests in line for one key."`

	MaxBody                  count         `group:"limits" placeholder:"BYTES" variable:"MAX_BODY" help:"Bytes in the body of a request, and in a message of a stream; without it 1048576, which is also the most."`
	MaxKeys                  count         `group:"limits" placeholder:"N" variable:"MAX_KEYS" help:"Keys in one request to lock or check; without it 256, which is also the most."`
	MaxKeyLength             count         `group:"limits" placeholder:"BYTES" variable:"MAX_KEY_LENGTH" help:"Bytes in a key that is locked or checked; without it 512, which is also the most."`
	MaxHeader                count         `group:"limits" placeholder:"BYTES" variable:"MAX_HEADER" help:"Bytes in the header of a request; without it 65536, the least is 8192."`
	HeaderTimeout            time.Duration `group:"limits" default:"10s" placeholder:"DURATION" variable:"HEADER_TIMEOUT" help:"For a client to send a header, and to agree on TLS; without it 10s."`
	RequestTimeout           time.Duration `group:"limits" default:"10s" placeholder:"DURATION" variable:"REQUEST_TIMEOUT" help:"For a client to send a whole request; without it 10s."`
	MaxConnections           count         `group:"limits" placeholder:"N" variable:"MAX_CONNECTIONS" help:"Connections; without it, what the limit on open files leaves beside the files of the store."`
	MaxConnectionsPerAddress count         `group:"limits" placeholder:"N" variable:"MAX_CONNECTIONS_PER_ADDRESS" help:"Connections from one address, or from one IPv6 network of 64 bits."`
	MaxStreamsPerAddress     count         `group:"limits" placeholder:"N" variable:"MAX_STREAMS_PER_ADDRESS" help:"Connections of /stream and /events from one address, or from one IPv6 network of 64 bits."`
	MaxStreamRate            count         `group:"limits" placeholder:"N" variable:"MAX_STREAM_RATE" help:"Requests a second on one connection of /stream."`
	MaxUnderWay              count         `group:"limits" placeholder:"N" variable:"MAX_UNDER_WAY" help:"Requests under way, standing in line included. New ones that would wait are turned away from three quarters of it on, extensions and unlocks last."`
}

// ofStore gives the limits that the store keeps.
func (l *limitSettings) ofStore() locktable.Limits {
	return locktable.Limits{
		Holds: int(l.MaxHolds), HoldsOfUID: int(l.MaxHoldsPerUID),
		WaitersOfUID: int(l.MaxWaitersPerUID), WaitersOfKey: int(l.MaxWaitersPerKey),
	}
}

// ofServer gives the limits that the interface keeps.
func (l *limitSettings) ofServer() (api.Limits, error) {
	limits := api.Limits{
		Body: int(l.MaxBody), Keys: int(l.MaxKeys), Key: int(l.MaxKeyLength),
		Connections: int(l.MaxConnections), ConnectionsOfAddress: int(l.MaxConnectionsPerAddress),
		StreamsOfAddress: int(l.MaxStreamsPerAddress), RequestsPerSecond: int(l.MaxStreamRate), UnderWay: int(l.MaxUnderWay),
		Header: int(l.MaxHeader), HeaderTime: l.HeaderTimeout, RequestTime: l.RequestTimeout,
	}
	if limits.Connections == 0 {
		limits.Connections = connectionsWithin(openFiles())
	}
	for _, most := range []struct {
		name        string
		value, most int
	}{
		{"--max-body (MAX_BODY)", limits.Body, api.MaxBody},
		{"--max-keys (MAX_KEYS)", limits.Keys, holdfast.MaxKeys},
		{"--max-key-length (MAX_KEY_LENGTH)", limits.Key, holdfast.MaxKey},
	} {
		if most.value > most.most {
			return limits, usageError(fmt.Sprintf("%s: must be at most %d, not %d", most.name, most.most, most.value))
		}
	}
	if limits.Header != 0 && limits.Header < minHeader {
		return limits, usageError(fmt.Sprintf("--max-header (MAX_HEADER): must be at least %d, not %d", minHeader, limits.Header))
	}
	for _, timeout := range []struct {
		name  string
		value time.Duration
	}{{"--header-timeout (HEADER_TIMEOUT)", l.HeaderTimeout}, {"--request-timeout (REQUEST_TIMEOUT)", l.RequestTimeout}} {
		if timeout.value < 100*time.Millisecond || timeout.value > time.Hour {
			return limits, usageError(fmt.Sprintf("%s: must be between 100ms and 1h, not %s", timeout.name, timeout.value))
		}
	}
	return limits, nil
}

// connectionsWithin is for how many connections there is room when so many files
// may be open; zero is no limit. Idle connections must not take from the store
// the files without which it cannot go on, nor from the nodes their connections.
func connectionsWithin(files uint64) int {
	const kept = 256
	if files > math.MaxInt32 {
		return 0
	}
	return int(files - min(kept, files/2))
}

// minHeader is what proxies and browsers may well need.
const minHeader = 8 << 10

// count is a number of things; zero stands for any number.
type count int

// UnmarshalText reads a number from 1 on.
func (c *count) UnmarshalText(text []byte) error {
	n, err := whole(text, 1, math.MaxInt32)
	*c = count(n)
	return err
}
