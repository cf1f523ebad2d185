package auth

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTheLongestPrefixDecides(t *testing.T) {
	g := newGrants([]Grant{
		{"", Check},
		{"a/", Lock | List},
		{"a/secret/", 0},
		{"a/secret/mine", Lock},
	})
	for _, test := range []struct {
		key  string
		want Verbs
	}{
		{"b", Check},
		{"a", Check},
		{"a/", Lock | List},
		{"a/x", Lock | List},
		{"a/secret", Lock | List},
		{"a/secret/", 0},
		{"a/secret/x", 0},
		{"a/secret/mine", Lock},
		{"a/secret/mine/x", Lock},
	} {
		if got := g.on(test.key).Verbs; got != test.want {
			t.Errorf("%s: %v, want %v", test.key, got, test.want)
		}
	}
	if got := newGrants(nil).on("a").Verbs; got != 0 {
		t.Errorf("without a grant: %v", got)
	}
}

// What is said of many keys at once must fit what is said of each.
func TestWhatHoldsOfManyKeysHoldsOfEach(t *testing.T) {
	keys := everyKey("abc", 4) // one letter more than grants are drawn with
	rapid.Check(t, func(t *rapid.T) {
		g := drawGrants(t)
		prefix := rapid.StringMatching("[ab]{0,3}").Draw(t, "prefix")
		within := g.within(List, prefix)
		if !slices.IsSorted(within) {
			t.Fatalf("within %q: %q", prefix, within)
		}
		all := true
		for _, key := range keys {
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			all = all && g.allow(List, key)
			found := 0
			for _, root := range within {
				if strings.HasPrefix(key, root) {
					found++
				}
			}
			if found > 1 || g.allow(List, key) && found == 0 {
				t.Fatalf("key %q is in %d of %q", key, found, within)
			}
			if g.allow(List, key) {
				continue
			}
			around := g.exception(List, key)
			for _, other := range keys {
				if around != "" && strings.HasPrefix(other, around) && g.allow(List, other) {
					t.Fatalf("key %q is in the exception %q of %q", other, around, key)
				}
			}
		}
		if g.everywhere(List, prefix) != all {
			t.Fatalf("everywhere under %q: %v, but %v", prefix, g.everywhere(List, prefix), all)
		}
	})
}

func drawGrants(t *rapid.T) grants {
	prefixes := rapid.SliceOfNDistinct(rapid.StringMatching("[ab]{0,3}"), 0, 6, rapid.ID[string]).Draw(t, "grants")
	var list []Grant
	for i, prefix := range prefixes {
		list = append(list, Grant{prefix, rapid.SampledFrom([]Verbs{0, Lock, List, Lock | List}).Draw(t, fmt.Sprint("verbs", i))})
	}
	return newGrants(list)
}

// everyKey gives all keys of these letters up to a length.
func everyKey(letters string, longest int) []string {
	all, row := []string{}, []string{""}
	for range longest {
		var next []string
		for _, stem := range row {
			for _, letter := range letters {
				next = append(next, stem+string(letter))
			}
		}
		all, row = append(all, next...), next
	}
	slices.Sort(all)
	return all
}
