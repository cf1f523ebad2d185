package auth

import (
	"fmt"
	"slices"
	"strings"
)

// Verbs is a set of things that a caller may do.
type Verbs uint8

// The verbs. Admin and Metrics are about the service, the others about keys.
const (
	Lock    Verbs = 1 << iota // lock, unlock, extend
	Check                     // ask whether a key is held
	List                      // see who holds and who waits
	Watch                     // follow events
	Force                     // release whoever holds
	Admin                     // back up, and change the cluster
	Metrics                   // read the metrics

	ofTheService = Admin | Metrics
)

// verbNames are the words for the verbs, in the order of their bits.
var verbNames = []string{"lock", "check", "list", "watch", "force", "admin", "metrics"}

// VerbNames are the words for all verbs.
func VerbNames() []string { return verbNames }

// Words gives the words for the verbs in the set, in a fixed order.
func (v Verbs) Words() []string {
	words := []string{}
	for i, name := range verbNames {
		if v&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	return words
}

// String gives the words, separated by commas.
func (v Verbs) String() string { return strings.Join(v.Words(), ",") }

// ParseVerbs reads words into a set.
func ParseVerbs(words []string) (Verbs, error) {
	var set Verbs
	for _, word := range words {
		i := slices.Index(verbNames, word)
		if i < 0 {
			return 0, fmt.Errorf("%q is no verb: they are %s", word, strings.Join(verbNames, ", "))
		}
		set |= 1 << i
	}
	return set, nil
}
