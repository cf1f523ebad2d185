package servicetest

import (
	"fmt"
	"strings"
	"time"

	"holdfast"
)

// What is allowed works up to its limit, and every legal name works as any
// other. (What is beyond, invalid.go asks.)
var sizes = []proof{
	{"256 keys in one request", sizeKeys},
	{"the longest key, uid, note and reason", sizeNames},
	{"256 of the longest keys in one request", sizeAll},
	{"the same key many times is one key", sizeRepeated},
	{"the shortest and the longest exp, wait and limit", sizeNumbers},
	{"a refusal names at most 32 blockers", sizeBlockers},
	{"many holders of one key, and many in line", sizeHolders},
	{"odd keys work as any other", oddKeys},
	{"odd keys work with nothing before them", oddKeysAlone},
	{"odd uids work as any other", oddUIDs},
	{"names are compared byte by byte", namesByByte},
	{"any text may be a note", oddNotes},
}

func sizeKeys(c *scene) {
	asks := make([]string, holdfast.MaxKeys)
	for i := range asks {
		asks[i] = fmt.Sprintf("k%03d", i)
	}
	c.lock("a", asks...)
	equal(c, "keys", c.listed(holdfast.ListRequest{Limit: holdfast.MaxPage}), asks)
	c.locked(true, asks...)
	c.refused("b", asks[255], "other").by(asks[255] + " a")
	b := c.waits("b", asks...)
	equal(c, "extended", c.extend("a").Tokens, c.newest("a", asks...))
	equal(c, "extended", c.extend("a", c.newest("a", asks...)...).Tokens, c.newest("a", asks...))
	c.unlock("a", asks...)
	b.granted()
	c.unlock("b", asks...)
	equal(c, "keys", c.listed(holdfast.ListRequest{}), nil)
}

// padded gives a short name whose long form has this many bytes.
func (c *scene) padded(short string, bytes int) string {
	return short + strings.Repeat("p", bytes-len(c.name(short)))
}

func sizeNames(c *scene) {
	key := c.padded("x", holdfast.MaxKey)
	uid, other := c.padded("a", holdfast.MaxUID), c.padded("b", holdfast.MaxUID)
	c.note(strings.Repeat("n", holdfast.MaxNote)).lock(uid, key)
	c.refused(other, key).by(key + " " + uid)
	if got := c.holder(key, uid).Note; got != strings.Repeat("n", holdfast.MaxNote) {
		c.t.Fatalf("of a note of %d bytes %d were kept", holdfast.MaxNote, len(got))
	}
	b := c.waits(other, key)
	equal(c, "keys", c.listed(holdfast.ListRequest{Prefix: key[:500-len(c.prefix)], UID: other}), []string{key})
	equal(c, "keys", c.listed(holdfast.ListRequest{After: key}), nil)
	ctx, cancel := c.soon()
	defer cancel()
	released, err := c.service().Force(ctx, holdfast.ForceRequest{Key: c.name(key), Reason: strings.Repeat("r", holdfast.MaxNote)})
	c.must(err, "force")
	equal(c, "released", released, []holdfast.Released{{Key: c.name(key), UID: c.name(uid), Version: c.version(uid, key)}})
	b.granted()
	c.unlock(other, key)
	c.free(key)
}

func sizeAll(c *scene) {
	asks := make([]string, holdfast.MaxKeys)
	for i := range asks {
		asks[i] = c.padded(fmt.Sprintf("k%03d-", i), holdfast.MaxKey)
	}
	uid := c.padded("a", holdfast.MaxUID)
	c.lock(uid, asks...)
	b := c.waits("b", asks...)
	c.locked(true, asks...)
	c.unlock(uid, asks...)
	b.granted()
	c.unlock("b", asks...)
}

func sizeRepeated(c *scene) {
	var asks []string
	for range 2 {
		for i := range holdfast.MaxKeys {
			asks = append(asks, fmt.Sprint("k", i))
		}
	}
	if grant := c.lock("a", asks...); len(grant.Tokens) != holdfast.MaxKeys {
		c.t.Fatalf("%d different keys gave %d tokens", holdfast.MaxKeys, len(grant.Tokens))
	}
}

func sizeNumbers(c *scene) {
	if grant := c.exp(holdfast.MaxExp).wait(holdfast.MaxWait).lock("a", "x"); grant.Exp > holdfast.MaxExp || grant.Exp < holdfast.MaxExp-time.Minute {
		c.t.Fatalf("of the longest exp, %v is left", grant.Exp)
	}
	c.left("x", "a", holdfast.MaxExp-time.Minute, holdfast.MaxExp)
	b := c.wait(holdfast.MaxWait).exp(holdfast.MaxExp).waits("b", "x")
	c.exp(holdfast.MaxExp).extend("a")
	c.unlock("a", "x")
	b.granted()

	c.exp(time.Millisecond).lock("a", "y")
	c.freed("y")
	c.exp(time.Nanosecond).lock("a", "y")
	c.freed("y")
	c.wait(time.Nanosecond).start("a", "x").inVain().by("x b")

	limit := fmt.Sprint("z shared ", holdfast.MaxLimit)
	c.lock("a", limit)
	c.heldBy("z", strings.Replace(limit, "z", "a", 1))
}

func sizeBlockers(c *scene) {
	var want []string
	for i := range holdfast.MaxBlockers + 8 {
		uid := fmt.Sprintf("r%02d", i)
		c.lock(uid, "x shared")
		want = append(want, "x "+uid+" shared")
	}
	c.refused("w", "x").by(want[:holdfast.MaxBlockers]...)
	w := c.waits("w", "x")
	c.wait(shortly).start("v", "x").inVain().by(want[:holdfast.MaxBlockers]...)
	w.stillWaits()
}

func sizeHolders(c *scene) {
	const n = 100
	var holders, line []string
	var calls []*call
	for i := range n {
		uid := fmt.Sprintf("r%03d", i)
		c.lock(uid, "x shared")
		holders = append(holders, uid+" shared")
	}
	for i := range n {
		uid := fmt.Sprintf("w%03d", i)
		if i == 0 {
			calls = append(calls, c.waits(uid, "x"))
			line = append(line, uid)
			continue
		}
		calls = append(calls, c.waits(uid, "x shared"))
		line = append(line, uid+" shared")
	}
	c.heldBy("x", holders...)
	c.line("x", line...)
	if released := c.force("x"); len(released) != n {
		c.t.Fatalf("force released %d of %d holds", len(released), n)
	}
	calls[0].granted()
	c.unlock("w000", "x")
	for _, w := range calls[1:] {
		w.granted()
	}
	c.heldBy("x", line[1:]...)
}

// odd names are legal, and have gone wrong somewhere: in paths, in queries, in
// patterns, in JSON, in scripts, in logs.
var odd = []string{
	".", "..", "/", "//", "a//b", "/a", "a/", "../..", "./a", "a/../b", "/../", "a/./b",
	"%", "%%", "%2F", "%2f", "%2e%2e", "%00", "%zz", "a+b", "a b", " ", " a ", "  ",
	"?", "a?b=c&d=e#f", "#", "&", "=", ";", ":", "@", "http://x/y", "a:b:c",
	`"`, `'`, "`", `\`, `\n`, `\u0000`, `a"b'c`, "<b>&amp;</b>", "<script>alert(1)</script>",
	"*", "[a-z]", "{a}", "{}", "}{", "(", ")", "$1", "${a}", "^", "|", "~", "!", ",",
	"null", "true", "-1", "1e9", "NaN", "--", "-k", "undefined", "__proto__", "constructor",
	"ключ", "鍵", "é", "e\u0301", "ﬁ", "ß", "İ", "🔒", "👩‍👩‍👧",
	"\u202eabc", "\u200b", "\u2028", "\ufeff", "\u00a0", "\ufffd", "\U0010ffff",
	"holdfast", "lock", "locks", "events",
}

// useKey does with a key whatever can be done with one.
func (c *scene) useKey(key string) {
	ctx, cancel := c.soon()
	defer cancel()
	lock := func(uid string, wait time.Duration) (holdfast.Grant, error) {
		return c.service().Lock(ctx, holdfast.LockRequest{
			UID: c.name(uid), Keys: holdfast.Keys(key), Exp: c.request.Exp, Wait: wait,
		})
	}
	wrong := func(what string, args ...any) {
		c.t.Helper()
		c.t.Fatalf("key %q: %s: %+v", key, what, args)
	}

	grant, err := lock("a", 0)
	if err != nil || grant.Tokens[0].Key != key {
		wrong("lock", grant, err)
	}
	if locked, err := c.service().Check(ctx, []string{key}); err != nil || !locked {
		wrong("check", locked, err)
	}
	if state, err := c.service().Get(ctx, key); err != nil || state.Key != key ||
		len(state.Holders) != 1 || state.Holders[0].Version != grant.Tokens[0].Version {
		wrong("get", state, err)
	}
	_, err = lock("b", 0)
	if refusal := c.refusal("b", []string{key}, err, holdfast.CodeLocked); len(refusal.Blockers) != 1 || refusal.Blockers[0].Key != key {
		wrong("refused", refusal)
	}
	page, err := c.service().List(ctx, holdfast.ListRequest{Prefix: key, UID: c.name("a"), Limit: 1})
	if err != nil || len(page.Locks) != 1 || page.Locks[0].Key != key {
		wrong("list", page, err)
	}
	page, err = c.service().List(ctx, holdfast.ListRequest{Prefix: key, UID: c.name("a"), After: key})
	if err != nil || len(page.Locks) > 0 && page.Locks[0].Key <= key {
		wrong("list after", page, err)
	}
	extension, err := c.service().Extend(ctx, holdfast.ExtendRequest{UID: c.name("a"), Tokens: grant.Tokens, Exp: time.Minute})
	if err != nil || len(extension.Tokens) != 1 || extension.Tokens[0] != grant.Tokens[0] {
		wrong("extend", extension, err)
	}
	released, err := c.service().Force(ctx, holdfast.ForceRequest{Key: key, Reason: key})
	if err != nil || len(released) != 1 || released[0].Key != key {
		wrong("force", released, err)
	}
	if grant, err = lock("b", 0); err != nil {
		wrong("lock after force", err)
	}
	keys, err := c.service().Unlock(ctx, holdfast.UnlockRequest{UID: c.name("b"), Tokens: grant.Tokens})
	if err != nil || len(keys) != 1 || keys[0] != key {
		wrong("unlock", keys, err)
	}
	if state, err := c.service().Get(ctx, key); err != nil || state.Key != key || len(state.Holders)+len(state.Waiters) > 0 {
		wrong("get after unlock", state, err)
	}
}

func oddKeys(c *scene) {
	for _, name := range odd {
		c.useKey(c.name(name))
	}
}

// oddKeysAlone uses keys that are not under the scene's prefix: useKey looks
// itself that nothing is left of each.
func oddKeysAlone(c *scene) {
	for _, name := range odd {
		c.useKey(name)
	}
}

func oddUIDs(c *scene) {
	for i, uid := range odd {
		key := fmt.Sprint("k", i)
		ctx, cancel := c.soon()
		grant, err := c.service().Lock(ctx, holdfast.LockRequest{UID: c.name(uid), Keys: holdfast.Keys(c.name(key)), Exp: time.Minute})
		c.must(err, "uid %q", uid)
		equal(c, "keys of "+uid, c.listed(holdfast.ListRequest{UID: uid}), []string{key})
		equal(c, "holders", c.holders(key), []string{uid})
		extension, err := c.service().Extend(ctx, holdfast.ExtendRequest{UID: c.name(uid), Exp: time.Minute})
		c.must(err, "uid %q", uid)
		equal(c, "extended by "+uid, extension.Tokens, grant.Tokens)
		equal(c, "unlocked by "+uid, c.giveBack(uid, grant.Tokens...), []string{key})
		cancel()
	}
}

func namesByByte(c *scene) {
	// They look alike, or are the same to those who fold case or normalize.
	for i, names := range [][]string{
		{"é", "e\u0301", "E\u0301", "É"}, {"ﬁ", "fi"}, {"ß", "ss", "SS"}, {"i", "I", "İ", "ı"}, {"K", "\u212a", "k"},
		{"a", "a ", " a", "a\u00a0", "a\u200b"}, {"x%2Fy", "x/y", "x%2fy"}, {"p", "p/", "p//", "p/."}, {"1", "01", "1.0", "１"},
	} {
		for j, name := range names {
			ctx, cancel := c.soon()
			uid, key := fmt.Sprintf("u%d-%s", i, name), fmt.Sprintf("k%d-%s", i, name)
			_, err := c.service().Lock(ctx, holdfast.LockRequest{UID: c.name(uid), Keys: holdfast.Keys(c.name(key)), Exp: time.Minute})
			c.must(err, "%q, which is none of %q", name, names[:j])
			equal(c, "holders of "+key, c.holders(key), []string{uid})
			cancel()
		}
	}
}

func oddNotes(c *scene) {
	notes := append([]string{"two\nlines", "a\ttab", "\x00", "\x1b[31mred", "\u0085", "\r\n"}, odd...)
	for i, note := range notes {
		uid := fmt.Sprintf("a%03d", i)
		c.note(note).lock(uid, "x shared")
		equal(c, "note", []string{c.holder("x", uid).Note}, []string{note})
	}
}
