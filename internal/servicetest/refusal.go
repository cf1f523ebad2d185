package servicetest

import (
	"errors"
	"strings"
	"time"

	"holdfast"
)

// refusal is a request that was not granted.
type refusal struct {
	*holdfast.Error
	c   *scene
	uid string
}

// refused asks without standing in line, and is told that it is locked.
func (c *scene) refused(uid string, asks ...string) refusal {
	c.t.Helper()
	ctx, cancel := c.soon()
	defer cancel()
	grant, err := c.service().Lock(ctx, c.asking(uid, asks))
	if err == nil {
		c.t.Fatalf("%s asks for %q and should be refused, but was granted %v", uid, asks, grant)
	}
	return c.refusal(uid, asks, err, holdfast.CodeLocked)
}

// deadlock asks, ready to stand in line for a minute, and is told at once that
// this would never end.
func (c *scene) deadlock(uid string, asks ...string) refusal {
	c.t.Helper()
	w := c.start(uid, asks...)
	_, err := w.answer()
	return c.refusal(uid, asks, err, holdfast.CodeDeadlock)
}

// inVain waits for the end of the wait, and sees that the request was refused
// then, and not before.
func (w *call) inVain() refusal {
	w.c.t.Helper()
	_, err := w.answer()
	if waited := w.answered.Sub(w.sent); waited < w.req.Wait || waited > w.req.Wait+lateness {
		w.c.t.Fatalf("%s wanted to wait for %v and waited for %v", w.uid, w.req.Wait, waited)
	}
	return w.c.refusal(w.uid, w.asks, err, holdfast.CodeLocked)
}

func (c *scene) refusal(uid string, asks []string, err error, code holdfast.Code) refusal {
	c.t.Helper()
	e, ok := errors.AsType[*holdfast.Error](err)
	if !ok || e.Code != code {
		c.t.Fatalf("%s asks for %q: got %v; want %s", uid, asks, err, code)
	}
	if e.Message == "" {
		c.t.Fatalf("%s asks for %q: the refusal %+v has no message", uid, asks, e)
	}
	return refusal{Error: e, c: c, uid: uid}
}

// by sees that exactly these were in the way, in this order: "x a" holds,
// "x a shared" holds too, "x a waiting" stands ahead in line.
func (r refusal) by(want ...string) {
	c := r.c
	c.t.Helper()
	var got []string
	for _, b := range r.Blockers {
		uid, key := c.short(b.UID), c.short(b.Key)
		text := key + " " + c.inMode(b.UID, b.Mode, 0)
		if b.Waiting {
			text += " waiting"
		}
		got = append(got, text)
		switch {
		case b.Waiting && (b.Version != 0 || b.Exp != 0):
			c.t.Fatalf("%s was refused by %q, who only waits, with a version or an exp: %+v", r.uid, text, b)
		case !b.Waiting && b.Version != c.version(uid, key):
			c.t.Fatalf("%s was refused by %q with version %d; the hold has %d", r.uid, text, b.Version, c.version(uid, key))
		case !b.Waiting && (b.Exp <= 0 || b.Exp > holdfast.MaxExp):
			c.t.Fatalf("%s was refused by %q with an exp of %v", r.uid, text, b.Exp)
		}
	}
	equal(c, r.uid+" was refused by", got, want)
}

// circle sees that these wait for each other: "a x", "b y" says that a waits
// for x, which b holds, who waits for y, which a holds. It begins with who
// asked.
func (r refusal) circle(want ...string) {
	c := r.c
	c.t.Helper()
	var got []string
	for _, link := range r.Cycle {
		got = append(got, c.short(link.UID)+" "+c.short(link.Key))
	}
	equal(c, "the circle that "+r.uid+" would close", got, want)
	for i, link := range r.Cycle {
		next := r.Cycle[(i+1)%len(r.Cycle)]
		if c.version(c.short(next.UID), c.short(link.Key)) == 0 {
			c.t.Fatalf("in the circle %q, %s never held %s", want, c.short(next.UID), c.short(link.Key))
		}
	}
	if !strings.Contains(r.Message, r.Cycle[0].UID) {
		c.t.Fatalf("the message %q does not name %q", r.Message, r.Cycle[0].UID)
	}
}

// notBefore ends the case if a hold asked at sent with this exp was seen to be
// over at seen: a grant comes after its request was sent, so that no hold may
// end earlier than this. Nor may it end much later.
func (c *scene) notBefore(sent time.Time, exp time.Duration, seen time.Time) {
	c.t.Helper()
	switch lived := seen.Sub(sent); {
	case lived < exp:
		c.t.Fatalf("a hold with an exp of %v was over %v after it was asked", exp, lived)
	case lived > exp+lateness:
		c.t.Fatalf("a hold with an exp of %v was there %v after it was asked", exp, lived)
	}
}
