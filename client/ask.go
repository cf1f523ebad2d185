package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"holdfast"
	"holdfast/internal/wire"
)

const (
	// defaultPatience outlasts the restart of a server and the election of a
	// leader.
	defaultPatience = 15 * time.Second

	// The pause between two rounds over all servers begins with firstPause and
	// doubles up to longestPause.
	firstPause   = 25 * time.Millisecond
	longestPause = 2 * time.Second

	// longestSilence is longer than an attempt can take at a server that says
	// nothing, if it was not asked to wait: the stream, and then the call.
	longestSilence = 3 * answerWithin
)

// call is what one of the methods asks.
type call struct {
	method  string
	path    string
	escaped string // path as it must be sent, if net/url might send it otherwise
	query   url.Values

	// body appends what to send now, and gives how long the server was asked to
	// wait before it answers. Nil means no body.
	body func(dst []byte) ([]byte, time.Duration)

	// stream, if it is not nil, puts the call to a server instead, and keeps
	// the answer, which has no end.
	stream func(server *url.URL) *trouble

	op   wire.Op // what it is on the stream; zero if it does not go there
	bind bool    // on the stream: the holds end with the connection

	tie // of the holds of the answer

	last error // why the last attempt failed, save for the end of ctx; nil if none has

	grants bool // the end of ctx must not leave a grant that nobody hears of
	keeps  bool // it keeps a hold alive: the next attempt does not rely on a stream that is silent
	gives  bool // it gives keys back: a server that is at a limit is asked again
	once   bool // not to be sent again when it may have happened
}

// tie is what is known of holds that shall end with their connection.
type tie struct {
	grace  time.Duration // how much longer they live; zero if they are not tied to one
	unsure bool          // they may be, by an attempt that has no answer
}

// trouble is why an attempt gave no answer.
type trouble struct {
	*holdfast.Error
	again bool // another attempt may do better
}

// ask puts the call to the servers until one answers, and gives the body of
// the answer. It begins with the server that answered last, goes over to the
// next when one is away, and pauses after each round. A refusal is an answer,
// save for CodeUnavailable, and for CodeLimit when keys are given back: what is
// not unlocked stays locked for as long as its exp.
func (c *Client) ask(ctx context.Context, call *call) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	t := trial{patience: c.patience}
	for {
		index := c.current.Load()
		var began instant
		if t.count > 0 {
			began = now() // a system call: the first attempt, mostly the only one, goes without
		}
		body, trouble := c.attempt(ctx, index, call)
		if trouble == nil {
			return body, nil
		}
		if ctx.Err() != nil {
			// One who only did not want to wait in line longer has nothing
			// against the server.
			if ctx.Err() == context.DeadlineExceeded && !call.grants {
				c.leave(index)
			}
			return nil, context.Cause(ctx)
		}
		call.last = trouble.Error
		if call.gives && trouble.Code == holdfast.CodeLimit {
			trouble.again = true
		}
		if trouble.again {
			c.leave(index)
		}
		t.failed(trouble, began)
		if !trouble.again || call.once && trouble.OutcomeUnknown {
			return nil, t.verdict(trouble)
		}
		if t.count%len(c.servers) != 0 {
			continue
		}
		rest, hopeless := t.rest()
		if hopeless {
			return nil, t.verdict(trouble)
		}
		if !pause(ctx, rest) {
			return nil, fmt.Errorf("%w: %v", context.Cause(ctx), call.last) // no server serves; not %w, since ctx decided
		}
	}
}

// leave goes over to the next server, unless somebody else has done so.
func (c *Client) leave(index uint32) {
	c.current.CompareAndSwap(index, (index+1)%uint32(len(c.servers)))
}

// trial is what is known of the attempts so far.
type trial struct {
	patience time.Duration
	began    instant       // of the first attempt since somebody served
	count    int           // attempts
	pause    time.Duration // the last one
	after    time.Duration // when the first server that says so wants to be asked again, in this round
	unknown  bool          // an attempt may have done what was asked
}

// failed notes an attempt that began then; of the first it does not matter.
func (t *trial) failed(trouble *trouble, began instant) {
	// Who stood in line for long was served until just now.
	if t.count == 0 || began.since() > max(t.patience, longestSilence) {
		t.began, t.pause = now(), 0
	}
	t.count++
	t.unknown = t.unknown || trouble.OutcomeUnknown
	if trouble.RetryAfter > 0 && (t.after == 0 || trouble.RetryAfter < t.after) {
		t.after = trouble.RetryAfter
	}
}

// rest is how long to pause before the next round, with jitter, so that those
// who were sent away together do not come back together. It is hopeless if
// the next round would be beyond all patience.
func (t *trial) rest() (_ time.Duration, hopeless bool) {
	t.pause = longer(t.pause)
	rest := max(t.pause/2, t.after)
	rest += rand.N(max(t.pause, t.after) / 2)
	t.after = 0
	return rest, t.began.since()+rest > t.patience
}

// longer is the pause that follows on one.
func longer(pause time.Duration) time.Duration { return min(max(firstPause, 2*pause), longestPause) }

// verdict is the error to return in the end. A refusal of one that has looked
// what is held says what is the case, whatever was unclear before.
func (t *trial) verdict(last *trouble) error {
	switch last.Code {
	case holdfast.CodeUnavailable, holdfast.CodeLimit, holdfast.CodeUnauthenticated, holdfast.CodeForbidden:
		last.OutcomeUnknown = t.unknown
	}
	return last.Error
}
