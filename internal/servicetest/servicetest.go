package servicetest

import (
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast"
)

// Target is what the suite runs over.
type Target struct {
	// Services share one state. The requests of each case go to them in turn.
	Services []holdfast.Service
}

// Over makes a target of services that share one state.
func Over(services ...holdfast.Service) Target { return Target{Services: services} }

// Run proves that what open opens obeys the rules. open is called once; it
// should close what it opened in a cleanup of the t that it is given. Run must
// not be called from a test that runs in parallel with others, because it
// looks for goroutines that are left.
func Run(t *testing.T, open func(t *testing.T) Target) {
	t.Helper()
	others := goleak.IgnoreCurrent()
	t.Run("suite", func(t *testing.T) {
		s := &suite{name: rand.Text()[:8], born: time.Now(), versions: map[uint64]string{}}
		s.target = open(t)
		for _, chapter := range chapters {
			t.Run(chapter.name, func(t *testing.T) {
				if !chapter.alone {
					t.Parallel()
				}
				for _, proof := range chapter.proofs {
					t.Run(proof.of, func(t *testing.T) {
						scene := s.scene(t)
						if !chapter.alone {
							t.Parallel()
						}
						scene.play(proof.run)
					})
				}
			})
		}
	})
	if err := goleak.Find(others); err != nil {
		t.Errorf("the suite is over and its target closed, but goroutines are left: %v", err)
	}
}

// chapter is all that is proved of one rule or one call.
type chapter struct {
	name   string
	proofs []proof
	alone  bool // does not run beside anything else
}

// proof is one case: a sentence that holds of every service, and the scene
// that would fail if it did not.
type proof struct {
	of  string
	run func(c *scene)
}

var chapters = []chapter{
	{name: "rule 1, all or nothing", proofs: allOrNothing},
	{name: "rule 2, compatible", proofs: compatible},
	{name: "rule 3, fair", proofs: fair},
	{name: "rule 3, no deadlock of the line's own", proofs: passing},
	{name: "rule 4, same uid, same hold", proofs: sameHold},
	{name: "rule 4, upgrade", proofs: upgrade},
	{name: "rule 5, versions grow", proofs: versionsGrow},
	{name: "rule 6, unlock is exact", proofs: exactUnlock},
	{name: "rule 7, time is a duration", proofs: durations},
	{name: "rule 8, deadlock is an answer", proofs: deadlock},
	{name: "rule 9, no ghosts", proofs: noGhosts},
	{name: "rule 9, at the very moment", proofs: atTheMoment},
	{name: "under contention", proofs: contention},
	{name: "waiting", proofs: waiting},
	{name: "extend", proofs: extending},
	{name: "check and get", proofs: looking},
	{name: "list", proofs: listing},
	{name: "force", proofs: forcing},
	{name: "watch", proofs: watching},
	{name: "watch, alone", proofs: watchingAlone, alone: true},
	{name: "invalid requests", proofs: invalid},
	{name: "limits and odd names", proofs: sizes},
}

// suite is one run over one target.
type suite struct {
	target Target
	name   string // random: other runs may share the target's state
	born   time.Time

	mu       sync.Mutex
	scenes   int
	versions map[uint64]string // who was given each version
}

// record keeps the version that uid was given, and complains if it was ever
// given to another one (rule 5).
func (s *suite) record(version uint64, uid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if version == 0 || version >= holdfast.VersionEnd {
		return fmt.Errorf("version %d is not between 0 and 2^53", version)
	}
	if other, given := s.versions[version]; given && other != uid {
		return fmt.Errorf("version %d was given to %q and to %q", version, other, uid)
	}
	s.versions[version] = uid
	return nil
}
