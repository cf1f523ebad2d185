package auth

import (
	"slices"
	"strings"
)

// Grant allows verbs on the keys that begin with Prefix. Of the grants of one
// entry the one with the longest prefix decides alone; one without verbs is an
// exception from a shorter one. Verbs about the service stand with the empty
// prefix.
type Grant struct {
	Prefix string
	Verbs  Verbs
}

// grants are those of one entry, the longest prefix first.
type grants []Grant

func newGrants(list []Grant) grants {
	g := slices.Clone(list)
	slices.SortFunc(g, func(a, b Grant) int { return len(b.Prefix) - len(a.Prefix) })
	return g
}

// on gives the grant that decides on a key; the zero Grant if there is none.
func (g grants) on(key string) Grant {
	for _, grant := range g {
		if strings.HasPrefix(key, grant.Prefix) {
			return grant
		}
	}
	return Grant{}
}

func (g grants) allow(verb Verbs, key string) bool { return g.on(key).Verbs&verb != 0 }

// everywhere says whether a verb is allowed on every key that begins with
// prefix.
func (g grants) everywhere(verb Verbs, prefix string) bool {
	if !g.allow(verb, prefix) {
		return false
	}
	return !slices.ContainsFunc(g, func(grant Grant) bool {
		return strings.HasPrefix(grant.Prefix, prefix) && grant.Verbs&verb == 0
	})
}

// within gives prefixes, in order and none inside of another, under which all
// keys lie that begin with prefix and on which the verb is allowed. Not all
// keys under them need to be allowed.
func (g grants) within(verb Verbs, prefix string) []string {
	if g.allow(verb, prefix) {
		return []string{prefix}
	}
	var found []string
	for _, grant := range slices.Backward(g) { // the shortest first
		inside := strings.HasPrefix(grant.Prefix, prefix) && grant.Verbs&verb != 0
		if inside && !slices.ContainsFunc(found, func(outer string) bool { return strings.HasPrefix(grant.Prefix, outer) }) {
			found = append(found, grant.Prefix)
		}
	}
	slices.Sort(found)
	return found
}

// exception gives the prefix of keys around a key on none of which a verb is
// allowed; "" if it is allowed on some, or that is not known.
func (g grants) exception(verb Verbs, key string) string {
	prefix := g.on(key).Prefix
	if len(g.within(verb, prefix)) > 0 {
		return ""
	}
	return prefix
}
