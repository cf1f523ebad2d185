package servicetest

import (
	"fmt"
	"slices"
	"time"

	"holdfast"
)

// Rule 5. Every grant that creates or upgrades holds takes the next number,
// one for the whole request. Numbers never go back or repeat. A counter is
// born at the wall clock's µs. All stay below 2^53 (every grant of every case
// is looked at for that, and that no two owners are ever given the same one).
var versionsGrow = []proof{
	{"each grant gets a larger number than the ones before", versionsGrowByGrant},
	{"one number serves the whole request", versionForRequest},
	{"they grow however the hold before has ended", versionsGrowAfterEnds},
	{"they grow from service to service", versionsGrowAcross},
	{"they do not repeat among grants at the same time", versionsUnique},
	{"the counter is born at the wall clock's microseconds", versionsFromWallClock},
	{"what Get shows is what was granted", versionShown},
}

func versionsGrowByGrant(c *scene) {
	var last uint64
	for i := range 30 {
		uid, key := fmt.Sprint("a", i%3), fmt.Sprint("k", i)
		c.lock(uid, key)
		if version := c.version(uid, key); version <= last {
			c.t.Fatalf("grant %d got version %d after %d", i, version, last)
		} else {
			last = version
		}
	}
}

func versionForRequest(c *scene) {
	grant := c.lock("a", "x", "y shared", "z shared 3", "p")
	for _, token := range grant.Tokens {
		if token.Version != grant.Tokens[0].Version {
			c.t.Fatalf("one request got several versions: %v", grant.Tokens)
		}
	}
}

func versionsGrowAfterEnds(c *scene) {
	const exp = 50 * time.Millisecond
	ends := []func(){
		func() { c.unlock("a", "x") },
		func() { c.force("x") },
		func() { c.eventually("the hold ends", func() bool { return len(c.holders("x")) == 0 }) },
		func() { c.unlock("a", "x") },
	}
	var last uint64
	for i, end := range ends {
		life := time.Minute
		if i == 2 {
			life = exp
		}
		c.exp(life).lock("a", "x")
		if version := c.version("a", "x"); version <= last {
			c.t.Fatalf("hold %d got version %d after %d", i, version, last)
		} else {
			last = version
		}
		end()
	}
}

func versionsGrowAcross(c *scene) {
	var last uint64
	for range 3 {
		for i, service := range c.suite.target.Services {
			ctx, cancel := c.soon()
			req := c.asking("a", []string{"x"})
			grant, err := service.Lock(ctx, req)
			cancel()
			c.must(err, "lock at service %d", i)
			c.must(c.keep(req, grant), "lock at service %d", i)
			if version := grant.Tokens[0].Version; version <= last {
				c.t.Fatalf("service %d granted version %d after %d", i, version, last)
			} else {
				last = version
			}
			c.unlock("a", "x")
		}
	}
}

func versionsUnique(c *scene) {
	const owners, rounds = 32, 8
	got := make([][]uint64, owners)
	c.together(owners, func(i int) error {
		uid := fmt.Sprint("a", i)
		for range rounds {
			grant, err := c.tryLock(uid, fmt.Sprint("k", i), fmt.Sprint("l", i))
			if err != nil {
				return err
			}
			got[i] = append(got[i], grant.Tokens[0].Version)
			if err := c.tryUnlock(uid, grant); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range got {
		if !slices.IsSorted(got[i]) {
			c.t.Errorf("owner %d was granted %v, one after the other", i, got[i])
		}
	}
	all := slices.Sorted(slices.Values(slices.Concat(got...)))
	if different := slices.Compact(slices.Clone(all)); len(different) != owners*rounds {
		c.t.Fatalf("%d grants got %d different versions", owners*rounds, len(different))
	}
}

func versionsFromWallClock(c *scene) {
	c.lock("a", "x")
	// The clock of another machine may be a little behind.
	least := uint64(c.suite.born.Add(-24 * time.Hour).UnixMicro())
	if version := c.version("a", "x"); version < least || version >= holdfast.VersionEnd {
		c.t.Fatalf("version %d; want at least the wall clock's microseconds, %d, and less than 2^53", version, least)
	}
}

func versionShown(c *scene) {
	c.lock("a", "x shared")
	c.lock("b", "x shared")
	for _, uid := range []string{"a", "b"} {
		if h := c.holder("x", uid); h.Version != c.version(uid, "x") {
			c.t.Fatalf("%s was granted version %d, but %d is shown", uid, c.version(uid, "x"), h.Version)
		}
	}
}
