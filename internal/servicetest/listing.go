package servicetest

import (
	"fmt"
	"slices"

	"holdfast"
)

// List gives the keys that are held or waited for, page by page.
var listing = []proof{
	{"keys stand in the order of their bytes", listOrder},
	{"only keys with the prefix are listed", listPrefix},
	{"a prefix has no wildcards", listNoWildcards},
	{"only keys on which the uid holds or waits are listed", listUID},
	{"only keys that somebody waits for are listed", listWaitedFor},
	{"each key shows as get shows it", listLikeGet},
	{"a key that is only waited for is listed, one that is free is not", listWaited},
	{"pages follow each other without a gap or a repetition", listPages},
	{"pages are counted after the filters", listPagesFiltered},
	{"after may be any key", listAfter},
	{"a list goes on where the last key has gone", listAfterGone},
	{"a page has 100 locks if it is not said, and at most 1000", listSizes},
}

// list lists locks. Prefix, uid and after are short names; so are the keys in
// the answer.
func (c *scene) list(req holdfast.ListRequest) holdfast.Page {
	c.t.Helper()
	req.Prefix = c.name(req.Prefix)
	if req.UID != "" {
		req.UID = c.name(req.UID)
	}
	if req.After != "" {
		req.After = c.name(req.After)
	}
	ctx, cancel := c.soon()
	defer cancel()
	page, err := c.service().List(ctx, req)
	c.must(err, "list %+v", req)
	for i := range page.Locks {
		page.Locks[i].Key = c.short(page.Locks[i].Key)
	}
	page.Next = c.short(page.Next)
	return page
}

// listed lists locks and gives their keys.
func (c *scene) listed(req holdfast.ListRequest) []string {
	c.t.Helper()
	var keys []string
	for _, lock := range c.list(req).Locks {
		keys = append(keys, lock.Key)
	}
	return keys
}

// lockMany locks n keys, k000000 and so on, as few requests as may be.
func (c *scene) lockMany(uid string, n int) []string {
	c.t.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%06d", i)
	}
	for some := range slices.Chunk(keys, holdfast.MaxKeys) {
		c.lock(uid, some...)
	}
	return keys
}

func listOrder(c *scene) {
	want := []string{"!", "-", "/", "0", "10", "9", "A", "B", "Z", "_", "a", "a!", "a/", "a/b", "a0", "aa", "ab", "b",
		"z", "~", "é", "鍵", "\uffee", "😀"}
	slices.Sort(want)
	for i := range want {
		c.lock(fmt.Sprint("a", i%3), want[(i*7)%len(want)])
	}
	equal(c, "keys", c.listed(holdfast.ListRequest{}), want)
}

func listPrefix(c *scene) {
	inside := "p0" + c.name("p/") // the prefix p/, but not at the beginning
	c.lock("a", "x", "x/", "x/1", "x/2", "x0", "X/1", "w", "y", "p/1", inside)
	for prefix, want := range map[string][]string{
		"":     {"X/1", "p/1", inside, "w", "x", "x/", "x/1", "x/2", "x0", "y"},
		"x":    {"x", "x/", "x/1", "x/2", "x0"},
		"p/":   {"p/1"},
		"x/":   {"x/", "x/1", "x/2"},
		"x/1":  {"x/1"},
		"x/11": nil,
		"xy":   nil,
		"z":    nil,
	} {
		equal(c, "keys with "+prefix, c.listed(holdfast.ListRequest{Prefix: prefix}), want)
	}
}

func listNoWildcards(c *scene) {
	prefixes := []string{"*", "?", "[a-z]", "%", "_", "\\", ".*", "{x}", "$", "^a"}
	c.lock("a", "axb", "xyz", "b%c")
	for _, prefix := range prefixes {
		equal(c, "keys with "+prefix, c.listed(holdfast.ListRequest{Prefix: prefix}), nil)
	}
	for i, prefix := range prefixes {
		c.lock(fmt.Sprint("b", i), prefix+"/1", prefix)
	}
	for _, prefix := range prefixes {
		equal(c, "keys with "+prefix, c.listed(holdfast.ListRequest{Prefix: prefix}), []string{prefix, prefix + "/1"})
	}
}

func listUID(c *scene) {
	c.lock("a", "x", "p/x")
	c.lock("b", "y", "z shared")
	c.lock("a", "z shared")
	c.waits("b", "x", "w")
	c.waits("d", "x")
	for uid, want := range map[string][]string{
		"":  {"p/x", "w", "x", "y", "z"},
		"a": {"p/x", "x", "z"},
		"b": {"w", "x", "y", "z"},
		"d": {"x"},
		"A": nil,
		"e": nil,
	} {
		equal(c, "keys of "+uid, c.listed(holdfast.ListRequest{UID: uid}), want)
	}
	equal(c, "keys of a under p/", c.listed(holdfast.ListRequest{UID: "a", Prefix: "p/"}), []string{"p/x"})
	equal(c, "keys of b under p/", c.listed(holdfast.ListRequest{UID: "b", Prefix: "p/"}), nil)
}

func listWaitedFor(c *scene) {
	c.lock("a", "u", "v", "p/x", "p/y", "p/z", "w")
	c.waits("b", "v", "p/x", "free")
	c.waits("d", "v", "p/z")
	all := []string{"free", "p/x", "p/z", "v"}
	for _, test := range []struct {
		req  holdfast.ListRequest
		want []string
	}{
		{holdfast.ListRequest{}, all},
		{holdfast.ListRequest{Prefix: "p/"}, []string{"p/x", "p/z"}},
		{holdfast.ListRequest{After: "p/x"}, []string{"p/z", "v"}},
		{holdfast.ListRequest{UID: "a"}, []string{"p/x", "p/z", "v"}},
		{holdfast.ListRequest{UID: "b"}, []string{"free", "p/x", "v"}},
		{holdfast.ListRequest{UID: "nobody"}, nil},
	} {
		test.req.Waited = true
		equal(c, fmt.Sprintf("keys of %+v", test.req), c.listed(test.req), test.want)
	}
	page := c.list(holdfast.ListRequest{Waited: true, Limit: 3})
	if len(page.Locks) != 3 || page.Next != "p/z" {
		c.t.Errorf("a page of %d, next %q", len(page.Locks), page.Next)
	}
	if page = c.list(holdfast.ListRequest{Waited: true, Limit: 4}); len(page.Locks) != 4 || page.Next != "" {
		c.t.Errorf("the last page has %d, next %q", len(page.Locks), page.Next)
	}
	c.unlock("a", "u", "v", "p/x", "p/y", "p/z", "w")
	equal(c, "keys afterwards", c.listed(holdfast.ListRequest{Waited: true}), []string{"p/z", "v"})
}

func listLikeGet(c *scene) {
	c.note("one").lock("b", "x shared 3")
	c.note("two").lock("a", "x shared")
	c.note("three").waits("d", "x", "y")
	c.waits("e", "x shared")
	for _, lock := range c.list(holdfast.ListRequest{UID: "d"}).Locks {
		got := c.get(lock.Key)
		for _, l := range []*holdfast.Lock{&got, &lock} {
			for i := range l.Holders {
				l.Holders[i].Exp, l.Holders[i].Held = 0, 0
			}
			for i := range l.Waiters {
				l.Waiters[i].Waited = 0
			}
		}
		equal(c, "holders of "+lock.Key, lock.Holders, got.Holders)
		equal(c, "waiters for "+lock.Key, lock.Waiters, got.Waiters)
	}
}

func listWaited(c *scene) {
	c.lock("a", "x")
	c.lock("a", "free")
	c.unlock("a", "free")
	b := c.waits("b", "x", "waited", "z")
	equal(c, "keys", c.listed(holdfast.ListRequest{}), []string{"waited", "x", "z"})
	c.unlock("a", "x")
	b.granted()
	c.unlock("b", "x", "waited", "z")
	equal(c, "keys", c.listed(holdfast.ListRequest{}), nil)
}

// pages lists all, page by page, and sees that only the last page may be
// short, and that it alone has no next.
func (c *scene) pages(req holdfast.ListRequest) []string {
	c.t.Helper()
	var all []string
	for {
		page := c.list(req)
		for _, lock := range page.Locks {
			all = append(all, lock.Key)
		}
		if page.Next == "" {
			return all
		}
		if len(page.Locks) != req.Limit || page.Next != all[len(all)-1] {
			c.t.Fatalf("a page of %d locks, of %d asked, ends with %q and its next is %q",
				len(page.Locks), req.Limit, all[len(all)-1], page.Next)
		}
		req.After = page.Next
	}
}

func listPages(c *scene) {
	keys := c.lockMany("a", 24)
	for _, limit := range []int{1, 2, 5, 8, 23, 24, 25, 1000} {
		equal(c, fmt.Sprint("pages of ", limit), c.pages(holdfast.ListRequest{Limit: limit}), keys)
	}
	// The last page has no next, even if it is full.
	for _, limit := range []int{24, 12} {
		page := c.list(holdfast.ListRequest{Limit: limit, After: map[int]string{24: "", 12: keys[11]}[limit]})
		if len(page.Locks) != limit || page.Next != "" {
			c.t.Fatalf("the last page, full with %d locks, has %d and a next of %q", limit, len(page.Locks), page.Next)
		}
	}
}

func listPagesFiltered(c *scene) {
	c.lockMany("a", 30)
	var mine []string
	for i := range 10 {
		key := fmt.Sprintf("k%06dm", 3*i)
		mine = append(mine, key)
		c.lock("b", key)
	}
	for _, limit := range []int{1, 3, 10} {
		equal(c, "b's keys", c.pages(holdfast.ListRequest{Limit: limit, UID: "b"}), mine)
	}
	equal(c, "keys under a prefix", c.pages(holdfast.ListRequest{Limit: 4, Prefix: "k00001"}),
		slices.DeleteFunc(c.listed(holdfast.ListRequest{}), func(key string) bool { return key < "k00001" || key >= "k00002" }))
}

func listAfter(c *scene) {
	c.lock("a", "b", "d", "f", "f/1", "f/2")
	for after, want := range map[string][]string{
		"a":   {"b", "d", "f", "f/1", "f/2"},
		"b":   {"d", "f", "f/1", "f/2"},
		"c":   {"d", "f", "f/1", "f/2"},
		"f":   {"f/1", "f/2"},
		"f/1": {"f/2"},
		"f/2": nil,
		"z":   nil,
	} {
		equal(c, "keys after "+after, c.listed(holdfast.ListRequest{After: after}), want)
	}
	equal(c, "keys under f after b", c.listed(holdfast.ListRequest{Prefix: "f/", After: "b"}), []string{"f/1", "f/2"})
	equal(c, "keys under f after f/1", c.listed(holdfast.ListRequest{Prefix: "f", After: "f/1"}), []string{"f/2"})
	equal(c, "keys under f after g", c.listed(holdfast.ListRequest{Prefix: "f", After: "g"}), nil)
}

func listAfterGone(c *scene) {
	c.lock("a", "k1", "k2", "k3", "k4")
	page := c.list(holdfast.ListRequest{Limit: 2})
	c.unlock("a", "k2", "k3")
	equal(c, "the rest", c.listed(holdfast.ListRequest{After: page.Next}), []string{"k4"})
}

func listSizes(c *scene) {
	keys := c.lockMany("a", holdfast.MaxPage+1)
	page := c.list(holdfast.ListRequest{})
	if len(page.Locks) != holdfast.DefaultPage || page.Next != keys[holdfast.DefaultPage-1] {
		c.t.Fatalf("a page of no given size has %d locks and a next of %q", len(page.Locks), page.Next)
	}
	page = c.list(holdfast.ListRequest{Limit: holdfast.MaxPage})
	if len(page.Locks) != holdfast.MaxPage || page.Next != keys[holdfast.MaxPage-1] {
		c.t.Fatalf("the largest page has %d locks and a next of %q", len(page.Locks), page.Next)
	}
	equal(c, "the last page", c.listed(holdfast.ListRequest{Limit: holdfast.MaxPage, After: page.Next}), keys[holdfast.MaxPage:])
}
