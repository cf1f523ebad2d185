package api

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"holdfast"
	"holdfast/internal/auth"
	"holdfast/internal/seldom"
)

// Limits bound what clients may use of a server. Zero is no limit, save where
// another default is named; what holdfast bounds in any case can only be
// lowered.
type Limits struct {
	Body int // bytes in the body of a request; at most, and by default, MaxBody
	Keys int // keys in a request; at most holdfast.MaxKeys
	Key  int // bytes in a key; at most holdfast.MaxKey

	Connections          int // open at once
	ConnectionsOfAddress int // of one address; see auth.Neighbourhood
	StreamsOfAddress     int // connections of /stream and /events of one address

	RequestsPerSecond int // on one connection of /stream, and at most so many at once
	UnderWay          int // calls at once, of everybody; see load

	Header      int           // bytes in the header of a request; 64 KiB by default, more than 4 KiB in any case
	HeaderTime  time.Duration // to send it; 10 s by default
	RequestTime time.Duration // to send a request; 10 s by default
}

func (l *Limits) setDefaults() {
	if l.Body == 0 || l.Body > MaxBody {
		l.Body = MaxBody
	}
	l.Header = cmp.Or(l.Header, maxHeader)
	l.HeaderTime = cmp.Or(l.HeaderTime, readTimeout)
	l.RequestTime = cmp.Or(l.RequestTime, readTimeout)
}

// overLimit is the refusal of what is beyond a limit for now.
func overLimit(format string, args ...any) *holdfast.Error {
	return &holdfast.Error{Code: holdfast.CodeLimit, Message: fmt.Sprintf(format, args...), RetryAfter: time.Second}
}

// checkKeys refuses a request for too many keys, or for one that is too long. A
// key that is asked twice counts once.
func (l *Limits) checkKeys(count int, key func(i int) string) error {
	if l.Keys > 0 && count > l.Keys {
		different := map[string]bool{}
		for i := range count {
			different[key(i)] = true
		}
		if n := len(different); n > l.Keys {
			return &holdfast.Error{Code: holdfast.CodeTooLarge, Message: fmt.Sprintf("keys: %d keys; at most %d are allowed here", n, l.Keys)}
		}
	}
	if l.Key == 0 {
		return nil
	}
	for i := range count {
		if n := len(key(i)); n > l.Key {
			return &holdfast.Error{Code: holdfast.CodeTooLarge, Message: fmt.Sprintf("keys: a key of %d bytes; at most %d are allowed here", n, l.Key)}
		}
	}
	return nil
}

// census counts what is open, in all and by address (see auth.Neighbourhood), up
// to limits. A nil census lets everybody in.
type census struct {
	most, mostOfAddress int // zero is no limit

	mu sync.Mutex
	n  int
	of map[netip.Prefix]int
}

// newCensus gives a census; nil if there is nothing to limit.
func newCensus(most, mostOfAddress int) *census {
	if most == 0 && mostOfAddress == 0 {
		return nil
	}
	return &census{most: most, mostOfAddress: mostOfAddress, of: map[netip.Prefix]int{}}
}

// enter counts one more, or gives what it is too much of. The function counts
// it off again.
func (c *census) enter(from string) (leave func(), tooMany string) {
	if c == nil {
		return func() {}, ""
	}
	port, _ := netip.ParseAddrPort(from)
	address := auth.Neighbourhood(port.Addr())
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.most > 0 && c.n >= c.most:
		return nil, fmt.Sprintf("%d are open; more are not allowed", c.n)
	case c.mostOfAddress > 0 && c.of[address] >= c.mostOfAddress:
		return nil, fmt.Sprintf("%d of your address are open; more are not allowed", c.of[address])
	}
	c.n++
	c.of[address]++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.n--
		if c.of[address]--; c.of[address] == 0 {
			delete(c.of, address)
		}
	}), ""
}

// countedListener is a listener that lets in no more than a census does.
type countedListener struct {
	net.Listener
	census *census
	plain  bool // who is refused can be told so without TLS
	log    *slog.Logger

	telling chan struct{} // has room for as many as may be told at once
	logging seldom.Gate   // those who are turned away
}

func newCounted(l net.Listener, census *census, plain bool, log *slog.Logger) net.Listener {
	if census == nil {
		return l
	}
	return &countedListener{
		Listener: l, census: census, plain: plain, log: log,
		telling: make(chan struct{}, 64), logging: seldom.Gate{Every: time.Minute},
	}
}

// Accept waits for the next connection that is let in.
func (l *countedListener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		leave, tooMany := l.census.enter(accepted.RemoteAddr().String())
		if tooMany == "" {
			return &countedConn{accepted, leave}, nil
		}
		l.turnAway(accepted, tooMany)
	}
}

// turnAway closes a connection. As long as they are not too many, it says why,
// and waits for a moment that the client has read it.
func (l *countedListener) turnAway(c net.Conn, tooMany string) {
	if l.logging.Pass() {
		l.log.Warn("connections are turned away", "address", c.RemoteAddr().String(), "reason", tooMany)
	}
	select {
	case l.telling <- struct{}{}:
	default:
		c.Close()
		return
	}
	go func() {
		defer func() { <-l.telling }()
		defer c.Close()
		if !l.plain {
			return
		}
		c.SetDeadline(time.Now().Add(time.Second))
		c.Write(refusalOf(http.StatusTooManyRequests, overLimit("connections: %s", tooMany)))
		if closeWrite(c) == nil {
			c.Read(make([]byte, 4<<10)) // closing with something unread would take the answer back
		}
	}()
}

// countedConn is a connection that is counted.
type countedConn struct {
	net.Conn
	leave func()
}

func (c *countedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite is that of the connection.
func (c *countedConn) CloseWrite() error { return closeWrite(c.Conn) }
