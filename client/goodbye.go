package client

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// linger is how long a server may take to say what became of a request whose
// client is leaving.
const linger = 2 * time.Second

// goodbye ends a request for a grant in good order when its ctx ends.
//
// Closing the connection would be enough for the server to take the request
// out of the line; but an answer that was on its way would be lost, and with
// it the knowledge of a hold. Therefore the client closes only its own side:
// the server notices that as well, and then either closes the other side
// without a word, and nothing is held, or the grant still arrives.
//
// The transport must not use such a connection again. It does so with any whose
// answer was read to the end: therefore goodbye is only said before that, and
// the answer after it is not read to the end.
type goodbye struct {
	asked context.Context // whose end is the reason to leave

	mu     sync.Mutex
	conn   net.Conn // that carries the request, as soon as there is one
	said   bool
	heard  bool // the answer has begun
	cancel context.CancelFunc
	timer  *time.Timer
}

// instead gives a ctx for the request that does not end with the caller's.
func (g *goodbye) instead(ctx context.Context) context.Context {
	g.asked = ctx
	return httptrace.WithClientTrace(context.WithoutCancel(ctx), &httptrace.ClientTrace{GotConn: g.got})
}

// watch says goodbye when the caller's ctx ends. The function that it returns
// is for the end of the request, which cancel cuts off.
func (g *goodbye) watch(cancel context.CancelFunc) (over func()) {
	g.cancel = cancel
	unhook := context.AfterFunc(g.asked, g.say)
	return func() {
		unhook()
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.timer != nil {
			g.timer.Stop()
		}
		g.said = true // a say that is still to come has nothing to say
	}
}

// got is called before the request is written to the connection.
func (g *goodbye) got(info httptrace.GotConnInfo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conn = info.Conn
	if g.said {
		closeWrite(g.conn) // so that it will not be written
	}
}

// answered is called when the answer has begun. It says whether the client's
// side of its connection is closed; if not, it stays open.
func (g *goodbye) answered() (closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heard = true
	return g.said
}

func (g *goodbye) say() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.said {
		return
	}
	g.said = true
	if !g.heard && (g.conn == nil || !closeWrite(g.conn)) {
		g.cancel()
		return
	}
	g.timer = time.AfterFunc(linger, g.cancel)
}

// closeWrite closes the client's side of a connection, if that is possible and
// the connection carries one request only.
func closeWrite(conn net.Conn) bool {
	if secure, ok := conn.(*tls.Conn); ok && secure.ConnectionState().NegotiatedProtocol == "h2" {
		return false
	}
	half, ok := conn.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}
