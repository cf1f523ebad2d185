package servicetest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"holdfast"
)

// A malformed request is refused as invalid, with a message that names the
// field, and changes nothing.
var invalid = []proof{
	{"a malformed lock", invalidLock},
	{"a malformed unlock", invalidUnlock},
	{"a malformed extend", invalidExtend},
	{"a malformed check or get", invalidLook},
	{"a malformed list", invalidList},
	{"a malformed force", invalidForce},
	{"it is refused even if it could not be granted", invalidBeforeLocked},
}

// badNames are neither keys nor uids.
var badNames = map[string]string{
	"empty":                  "",
	"too long":               strings.Repeat("k", holdfast.MaxKey+1),
	"too long in bytes":      strings.Repeat("ü", holdfast.MaxKey/2) + "ü",
	"not UTF-8":              "k\xff",
	"half a character":       "k\xc3",
	"half a surrogate":       "k\xed\xa0\x80",
	"with NUL":               "k\x00k",
	"with a newline":         "k\n",
	"with a tab":             "\tk",
	"with DEL":               "k\x7fk",
	"with a control of C1":   "k\u0085",
	"with a carriage return": "k\rk",
}

// nothingChanges does something and sees that all keys of the scene are as
// they were.
func (c *scene) nothingChanges(do func()) {
	c.t.Helper()
	state := func() holdfast.Page {
		page := c.list(holdfast.ListRequest{})
		for _, lock := range page.Locks {
			for i := range lock.Holders {
				// The times go on; but a change of the exp would show.
				if lock.Holders[i].Exp <= time.Minute {
					lock.Holders[i].Exp = 0
				}
				lock.Holders[i].Held = 0
			}
			for i := range lock.Waiters {
				lock.Waiters[i].Waited = 0
			}
		}
		return page
	}
	before := state()
	do()
	if after := state(); !reflect.DeepEqual(before, after) {
		c.t.Fatalf("invalid requests changed\n%+v\nto\n%+v", before, after)
	}
}

// isInvalid sees that the request was refused, with a message that begins
// with the field.
func (c *scene) isInvalid(what, field string, err error) {
	c.t.Helper()
	if holdfast.ErrorCode(err) != holdfast.CodeInvalid {
		c.t.Errorf("%s: got %v; want %s", what, err, holdfast.CodeInvalid)
	} else if !strings.Contains(err.Error(), field) {
		c.t.Errorf("%s: the message %q does not name %q", what, err, field)
	}
}

// someState is a hold and a waiter that must not change.
func (c *scene) someState() {
	c.t.Helper()
	c.lock("a", "x", "y shared 3")
	c.waits("b", "x")
}

func invalidLock(c *scene) {
	c.someState()
	good := func() holdfast.LockRequest {
		req := c.asking("a", []string{"x", "new"})
		req.Exp = time.Hour
		return req
	}
	type change func(*holdfast.LockRequest)
	cases := map[string]change{
		"uid: empty":          func(r *holdfast.LockRequest) { r.UID = "" },
		"uid: too long":       func(r *holdfast.LockRequest) { r.UID = strings.Repeat("u", holdfast.MaxUID+1) },
		"uid: not UTF-8":      func(r *holdfast.LockRequest) { r.UID += "\xff" },
		"uid: with a newline": func(r *holdfast.LockRequest) { r.UID += "\n" },
		"keys: nil":           func(r *holdfast.LockRequest) { r.Keys = nil },
		"keys: none":          func(r *holdfast.LockRequest) { r.Keys = []holdfast.Ask{} },
		"keys: 257":           func(r *holdfast.LockRequest) { r.Keys = holdfast.Keys(c.manyNames(holdfast.MaxKeys + 1)...) },
		"keys: twice, other mode": func(r *holdfast.LockRequest) {
			r.Keys = append(r.Keys, holdfast.Ask{Key: c.name("new"), Mode: holdfast.Shared})
		},
		"keys: twice, other limit":      func(r *holdfast.LockRequest) { r.Keys = c.asking("a", []string{"new shared 1", "new shared 2"}).Keys },
		"mode: unknown":                 func(r *holdfast.LockRequest) { r.Keys[1].Mode = 2 },
		"limit: with exclusive":         func(r *holdfast.LockRequest) { r.Keys[1].Limit = 3 },
		"limit: negative":               func(r *holdfast.LockRequest) { r.Keys[1].Mode, r.Keys[1].Limit = holdfast.Shared, -1 },
		"limit: too large":              func(r *holdfast.LockRequest) { r.Keys[1].Mode, r.Keys[1].Limit = holdfast.Shared, holdfast.MaxLimit+1 },
		"exp: negative":                 func(r *holdfast.LockRequest) { r.Exp = -time.Second },
		"exp: a nanosecond less than 0": func(r *holdfast.LockRequest) { r.Exp = -time.Nanosecond },
		"exp: too long":                 func(r *holdfast.LockRequest) { r.Exp = holdfast.MaxExp + time.Nanosecond },
		"wait: negative":                func(r *holdfast.LockRequest) { r.Wait = -time.Second },
		"wait: too long":                func(r *holdfast.LockRequest) { r.Wait = holdfast.MaxWait + time.Nanosecond },
		"note: too long":                func(r *holdfast.LockRequest) { r.Note = strings.Repeat("n", holdfast.MaxNote+1) },
		"note: not UTF-8":               func(r *holdfast.LockRequest) { r.Note = "n\xff" },
	}
	for what, name := range badNames {
		cases["keys: "+what] = func(r *holdfast.LockRequest) { r.Keys[1].Key = name }
	}
	c.nothingChanges(func() {
		for what, change := range cases {
			req := good()
			change(&req)
			ctx, cancel := c.soon()
			_, err := c.service().Lock(ctx, req)
			cancel()
			field, _, _ := strings.Cut(what, ":")
			c.isInvalid("lock with "+what, field, err)
		}
	})
}

// manyNames gives n different names.
func (c *scene) manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = c.name(fmt.Sprint("k", i))
	}
	return names
}

// manyTokens gives n different tokens, the first of which is a's on x.
func (c *scene) manyTokens(n int) []holdfast.Token {
	tokens := []holdfast.Token{c.token("a", "x")}
	for _, name := range c.manyNames(n - 1) {
		tokens = append(tokens, holdfast.Token{Key: name, Version: 1})
	}
	return tokens
}

func invalidUnlock(c *scene) {
	c.someState()
	x := c.token("a", "x")
	cases := map[string]holdfast.UnlockRequest{
		"uid: empty":       {Tokens: []holdfast.Token{x}},
		"uid: too long":    {UID: strings.Repeat("u", holdfast.MaxUID+1), Tokens: []holdfast.Token{x}},
		"uid: not UTF-8":   {UID: c.name("a\xff"), Tokens: []holdfast.Token{x}},
		"uid: with a NUL":  {UID: c.name("a\x00"), Tokens: []holdfast.Token{x}},
		"tokens: nil":      {UID: c.name("a")},
		"tokens: none":     {UID: c.name("a"), Tokens: []holdfast.Token{}},
		"tokens: too many": {UID: c.name("a"), Tokens: c.manyTokens(holdfast.MaxKeys + 1)},
	}
	for what, name := range badNames {
		cases["tokens: "+what] = holdfast.UnlockRequest{UID: c.name("a"), Tokens: []holdfast.Token{x, {Key: name, Version: x.Version}}}
	}
	c.nothingChanges(func() {
		for what, req := range cases {
			ctx, cancel := c.soon()
			_, err := c.service().Unlock(ctx, req)
			cancel()
			field, _, _ := strings.Cut(what, ":")
			c.isInvalid("unlock with "+what, field, err)
		}
	})
}

func invalidExtend(c *scene) {
	c.someState()
	x := c.token("a", "x")
	cases := map[string]holdfast.ExtendRequest{
		"uid: empty":       {Exp: time.Hour},
		"uid: too long":    {Exp: time.Hour, UID: strings.Repeat("u", holdfast.MaxUID+1)},
		"uid: not UTF-8":   {Exp: time.Hour, UID: c.name("a\xff")},
		"exp: negative":    {Exp: -time.Millisecond, UID: c.name("a")},
		"exp: too long":    {Exp: holdfast.MaxExp + time.Millisecond, UID: c.name("a"), Tokens: []holdfast.Token{x}},
		"tokens: too many": {Exp: time.Hour, UID: c.name("a"), Tokens: c.manyTokens(holdfast.MaxKeys + 1)},
	}
	for what, name := range badNames {
		cases["tokens: "+what] = holdfast.ExtendRequest{
			Exp: time.Hour, UID: c.name("a"), Tokens: []holdfast.Token{x, {Key: name, Version: x.Version}},
		}
	}
	c.nothingChanges(func() {
		for what, req := range cases {
			ctx, cancel := c.soon()
			_, err := c.service().Extend(ctx, req)
			cancel()
			field, _, _ := strings.Cut(what, ":")
			c.isInvalid("extend with "+what, field, err)
		}
	})
}

func invalidLook(c *scene) {
	c.someState()
	ctx, cancel := c.soon()
	defer cancel()
	for what, keys := range map[string][]string{"nil": nil, "none": {}, "257": c.manyNames(holdfast.MaxKeys + 1)} {
		_, err := c.service().Check(ctx, keys)
		c.isInvalid("check of keys: "+what, "key", err)
	}
	for what, name := range badNames {
		_, err := c.service().Check(ctx, []string{c.name("x"), name})
		c.isInvalid("check of a key that is "+what, "key", err)
		_, err = c.service().Get(ctx, name)
		c.isInvalid("get of a key that is "+what, "key", err)
	}
}

func invalidList(c *scene) {
	c.someState()
	ctx, cancel := c.soon()
	defer cancel()
	for what, req := range map[string]holdfast.ListRequest{
		"prefix: too long":    {Prefix: strings.Repeat("p", holdfast.MaxKey+1)},
		"after: too long":     {After: strings.Repeat("p", holdfast.MaxKey+1)},
		"uid: too long":       {UID: strings.Repeat("p", holdfast.MaxUID+1)},
		"uid: with a newline": {UID: "u\n"},
		"limit: negative":     {Limit: -1},
		"limit: too large":    {Limit: holdfast.MaxPage + 1},
	} {
		_, err := c.service().List(ctx, req)
		field, _, _ := strings.Cut(what, ":")
		c.isInvalid("list with "+what, field, err)
	}
	for what, req := range map[string]holdfast.WatchRequest{
		"prefix: too long":    {Prefix: strings.Repeat("p", holdfast.MaxKey+1)},
		"uid: too long":       {UID: strings.Repeat("p", holdfast.MaxUID+1)},
		"uid: with a newline": {UID: "u\n"},
	} {
		_, err := c.service().Watch(ctx, req)
		field, _, _ := strings.Cut(what, ":")
		c.isInvalid("watch with "+what, field, err)
	}
}

func invalidForce(c *scene) {
	c.someState()
	c.nothingChanges(func() {
		ctx, cancel := c.soon()
		defer cancel()
		for what, name := range badNames {
			_, err := c.service().Force(ctx, holdfast.ForceRequest{Key: name})
			c.isInvalid("force of a key that is "+what, "key", err)
		}
		for what, reason := range map[string]string{
			"too long": strings.Repeat("r", holdfast.MaxNote+1), "not UTF-8": "r\xff",
		} {
			_, err := c.service().Force(ctx, holdfast.ForceRequest{Key: c.name("x"), Reason: reason})
			c.isInvalid("force with a reason that is "+what, "reason", err)
		}
	})
}

func invalidBeforeLocked(c *scene) {
	c.someState()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	req := c.wait(-time.Second).asking("d", []string{"x"})
	_, err := c.service().Lock(ctx, req)
	c.isInvalid("a lock that would be refused", "wait", err)
}
