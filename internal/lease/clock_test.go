package lease

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
)

func granted(key, uid string, version uint64, exp time.Duration) []holdfast.Event {
	return []holdfast.Event{{Type: holdfast.EventGranted, Key: key, UID: uid, Version: version, Exp: exp}}
}

func extended(key, uid string, version uint64, exp time.Duration) []holdfast.Event {
	return []holdfast.Event{{Type: holdfast.EventExtended, Key: key, UID: uid, Version: version, Exp: exp}}
}

// due gives the keys that have run out, and tells the clock that they are
// over.
func due(c *Clock) []string {
	var keys []string
	var over []holdfast.Event
	c.Due(1000, func(key, uid string, version uint64) {
		keys = append(keys, key)
		over = append(over, holdfast.Event{Type: holdfast.EventExpired, Key: key, UID: uid, Version: version})
	})
	c.Follow(over)
	return keys
}

// Rule 7: never early, and here, where nothing else runs, late by less than
// two milliseconds: a life begins and ends on a whole one.
func TestNeverEarlyAndHardlyLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 7))
		begins := []time.Duration{0, 1, time.Millisecond - 1, time.Millisecond, time.Millisecond + 1}
		for len(begins) < 2000 {
			begins = append(begins, time.Duration(rng.Int64N(int64(3*time.Millisecond))))
		}
		for _, begin := range begins {
			c := New()
			time.Sleep(begin)
			exp := time.Duration(1+rng.IntN(5000)) * time.Millisecond
			began := time.Now()
			c.Follow(granted("x", "a", 1, exp))
			if left, _ := c.Left("x", "a"); left > exp || left <= exp-time.Millisecond && exp > time.Millisecond {
				t.Fatalf("%v left of %v", left, exp)
			}

			time.Sleep(exp - 1)
			if got := due(c); len(got) > 0 {
				t.Fatalf("ended %v after it began, with a life of %v", time.Since(began), exp)
			}
			time.Sleep(time.Until(c.Next()))
			if got := due(c); len(got) != 1 {
				t.Fatalf("not due at %v, with a life of %v", time.Since(began), exp)
			}
			if late := time.Since(began) - exp; late < 0 || late >= 2*time.Millisecond {
				t.Fatalf("late by %v", late)
			}
		}
	})
}

func TestALifeOfADayCostsNoRealSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		c.Follow(granted("x", "a", 1, holdfast.MaxExp))
		time.Sleep(holdfast.MaxExp - time.Second)
		if got := due(c); len(got) != 0 {
			t.Fatal("ended early")
		}
		left, held := c.Left("x", "a")
		if left != time.Second || held != holdfast.MaxExp-time.Second {
			t.Fatalf("left %v, held %v", left, held)
		}
		time.Sleep(time.Second)
		if got := due(c); len(got) != 1 {
			t.Fatal("did not end")
		}
	})
}

func TestAnExtensionNeverShortens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		c.Follow(granted("x", "a", 1, 10*time.Second))
		time.Sleep(time.Second)
		c.Follow(extended("x", "a", 1, 2*time.Second))
		if left, _ := c.Left("x", "a"); left != 9*time.Second {
			t.Fatalf("%v left after a short extension", left)
		}
		c.Follow(extended("x", "a", 1, 20*time.Second))
		if left, _ := c.Left("x", "a"); left != 20*time.Second {
			t.Fatalf("%v left after a long extension", left)
		}
	})
}

func TestAnUpgradeGoesOnUnderItsNewVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		c.Follow(granted("x", "a", 1, time.Second))
		c.Follow(granted("x", "a", 2, time.Second))
		time.Sleep(time.Second)
		var versions []uint64
		c.Due(10, func(_, _ string, version uint64) { versions = append(versions, version) })
		if len(versions) != 1 || versions[0] != 2 {
			t.Fatalf("due: %v", versions)
		}
	})
}

// Whoever hears of a hold from any answer keeps it; only what nobody hears of is
// to be taken back (rule 9).
func TestOnlyWhatItsOwnerDoesNotHearOfIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		tokens := func(version uint64) []holdfast.Token { return []holdfast.Token{{Key: "x", Version: version}} }
		doubt := func(version uint64, want int) {
			t.Helper()
			if unknown := c.Doubt("a", tokens(version)); len(unknown) != want {
				t.Errorf("in doubt: %v, not %d", unknown, want)
			}
			if c.Doubted("x", "a") != (want == 1) {
				t.Errorf("doubted: %v", c.Doubted("x", "a"))
			}
		}
		c.Follow(granted("x", "a", 1, time.Minute))
		c.Tell("a", tokens(1))
		c.Tell("a", tokens(1))
		c.Follow(extended("x", "a", 1, time.Minute))
		doubt(1, 0) // the other answer tells
		doubt(1, 1)

		c.Follow(granted("x", "a", 1, time.Minute))
		c.Tell("a", tokens(1))
		c.Follow(granted("x", "a", 2, time.Minute))
		c.Tell("a", tokens(2))
		doubt(1, 0) // it is another hold by now
		doubt(2, 1)
		c.Follow(granted("x", "a", 1, time.Minute)) // taken back to what it was before
		c.Tell("a", tokens(1))
		doubt(1, 0) // its owner has known that one since then
		doubt(1, 0)

		c.Follow(granted("x", "a", 3, time.Minute))
		c.Know("x", "a")
		doubt(3, 0) // an answer from before this clock
		c.Tell("a", tokens(3))
		doubt(3, 0)

		c.Follow(granted("y", "a", 4, time.Minute))
		y := []holdfast.Token{{Key: "y", Version: 4}}
		c.leases[name{"y", "a"}].heard = math.MaxInt32 // as if extended for years
		c.Tell("a", y)
		c.Tell("a", y)
		if unknown := c.Doubt("a", y); unknown != nil {
			t.Errorf("in doubt after so many answers: %v", unknown)
		}
	})
}

func TestAnAnswerTellsOfTheFirstThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		time.Sleep(time.Minute)
		c.Follow(granted("x", "a", 1, 3*time.Second))
		c.Follow(granted("y", "a", 2, 2*time.Second))
		c.Follow(granted("z", "a", 3, 4*time.Second))
		c.Follow(granted("x", "b", 4, time.Second))
		time.Sleep(500 * time.Millisecond)
		tokens := []holdfast.Token{{Key: "x", Version: 1}, {Key: "y", Version: 2}, {Key: "z", Version: 3}, {Key: "x", Version: 4}}
		if until := c.Tell("a", tokens); time.Until(until) != 1500*time.Millisecond {
			t.Errorf("told of %v", time.Until(until))
		}
		if left, held := c.Left("z", "a"); left != 3500*time.Millisecond || held != 500*time.Millisecond {
			t.Errorf("left %v, held %v", left, held)
		}
		if unknown := c.Doubt("a", tokens); !slices.Equal(unknown, tokens[:3]) {
			t.Errorf("in doubt: %v", unknown)
		}
	})
}

// What has run out may be over at any moment, until something is heard of it.
func TestWhatHasRunOutIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		c.Follow(granted("x", "a", 1, time.Second))
		time.Sleep(time.Minute)
		if c.Doubted("x", "a") {
			t.Error("in doubt before anybody was told that it has run out")
		}
		c.Due(1, func(string, string, uint64) {})
		if !c.Doubted("x", "a") {
			t.Error("not in doubt")
		}
		if left, held := c.Left("x", "a"); left != 0 || held != time.Minute {
			t.Errorf("left %v, held %v", left, held)
		}
		if until := c.Tell("a", []holdfast.Token{{Key: "x", Version: 1}}); time.Until(until) != time.Second-time.Minute {
			t.Errorf("told of %v", time.Until(until))
		}
		c.Follow(extended("x", "a", 1, time.Second))
		if c.Doubted("x", "a") {
			t.Error("in doubt although it lives anew")
		}
	})
}

// What happens to a hold and what is asked of it may cross.
func TestAHoldThatIsNotThere(t *testing.T) {
	c := New()
	gone := []holdfast.Token{{Key: "x", Version: 1}}
	c.Follow([]holdfast.Event{{Type: holdfast.EventReleased, Key: "x", UID: "a", Version: 1}})
	c.Know("x", "a")
	if until := c.Tell("a", gone); !until.IsZero() {
		t.Errorf("told of %v", until)
	}
	if unknown := c.Doubt("a", gone); unknown != nil || c.Doubted("x", "a") {
		t.Errorf("in doubt: %v", unknown)
	}
	if left, held := c.Left("x", "a"); left != 0 || held != 0 {
		t.Errorf("left %v, held %v", left, held)
	}
	if !c.Next().IsZero() {
		t.Error("there is a deadline")
	}
}

func TestWhatIsOverDoesNotRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, how := range []holdfast.EventType{holdfast.EventReleased, holdfast.EventForced, holdfast.EventExpired} {
			c := New()
			c.Follow(granted("x", "a", 1, time.Second))
			c.Follow(granted("y", "a", 1, time.Second))
			c.Follow([]holdfast.Event{{Type: how, Key: "x", UID: "a", Version: 1}})
			if left, held := c.Left("x", "a"); left != 0 || held != 0 {
				t.Fatalf("%s: left %v, held %v", how, left, held)
			}
			time.Sleep(2 * time.Second)
			if got := due(c); len(got) != 1 || got[0] != "y" {
				t.Fatalf("%s: due %v", how, got)
			}
			if !c.Next().IsZero() {
				t.Fatalf("%s: a deadline is left", how)
			}
		}
	})
}

func TestDueIsBoundedAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		c.Follow(granted("late", "a", 1, 3*time.Second))
		c.Follow(granted("first", "a", 2, 1*time.Second))
		c.Follow(granted("second", "a", 3, 2*time.Second))
		time.Sleep(time.Minute)
		var keys []string
		note := func(key, _ string, _ uint64) { keys = append(keys, key) }
		c.Due(2, note)
		c.Due(2, note)
		New().Due(2, note) // nothing
		if len(keys) != 3 || keys[0] != "first" || keys[1] != "second" || keys[2] != "late" {
			t.Fatalf("due: %v", keys)
		}
		// Nobody has confirmed that they are over: they come again.
		c.Due(3, note)
		if len(keys) != 3 {
			t.Fatal("proposed twice at once")
		}
		time.Sleep(again)
		c.Due(3, note)
		if len(keys) != 6 {
			t.Fatal("never proposed again")
		}
	})
}

// Whatever begins, goes on longer and is over in between.
func TestManyRunOutInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		const many = 97
		for i := range many {
			n := i * 31 % many // in no order
			c.Follow(granted(strconv.Itoa(n), "a", 1, time.Duration(1+n)*time.Second))
			switch n % 3 {
			case 1:
				c.Follow([]holdfast.Event{{Type: holdfast.EventReleased, Key: strconv.Itoa(n), UID: "a", Version: 1}})
			case 2:
				c.Follow(extended(strconv.Itoa(n), "a", 1, time.Duration(1+n+many)*time.Second))
			}
		}
		want := make([]string, 0, many)
		for n := 0; n < many; n += 3 {
			want = append(want, strconv.Itoa(n))
		}
		for n := 2; n < many; n += 3 {
			want = append(want, strconv.Itoa(n))
		}
		time.Sleep(time.Hour)
		if got := due(c); !slices.Equal(got, want) {
			t.Errorf("due: %v\nwant %v", got, want)
		}
	})
}

// However long it lives and under whatever version, a hold is told of once when
// it begins and once when it is over.
func TestWhoListensHearsOfEachHoldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		var heard []string
		c.Began = func(key, uid string) { heard = append(heard, "began "+key+" of "+uid) }
		c.Ended = func(key, uid string, held time.Duration) {
			heard = append(heard, "ended "+key+" of "+uid+" after "+held.String())
		}
		over := []holdfast.Event{{Type: holdfast.EventReleased, Key: "x", UID: "a", Version: 2}}
		c.Follow(granted("x", "a", 1, time.Minute))
		c.Follow(extended("x", "a", 1, time.Minute))
		c.Follow(granted("x", "a", 2, time.Minute))
		time.Sleep(time.Second)
		c.Follow(over)
		c.Follow(over)
		if want := []string{"began x of a", "ended x of a after 1s"}; !slices.Equal(heard, want) {
			t.Errorf("heard %v, not %v", heard, want)
		}
	})
}
