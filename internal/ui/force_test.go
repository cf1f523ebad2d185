package ui_test

import (
	"testing"

	"holdfast"
)

// The next owner is not one of those that the list is asked for; it is the one
// who would be released.
func TestForceShowsWhoHoldsALockThatLeftTheList(t *testing.T) {
	t.Parallel()
	s := serve(t)
	unlock := s.lock("first", "", "k")
	s.waits("second", "", "k")
	l := desktop
	l.hash = "#uid=first"
	p := s.browse(l).live()
	p.lined("k", "second")
	p.js(row("k") + `.querySelector(".release").click()`)
	p.shows("force", "first", "1 request in line behind")
	unlock()
	p.gone("k")
	p.shows("force", "Held by", "second", "nobody waits")
	s.store.Force(t.Context(), holdfast.ForceRequest{Key: "k"})
	p.shows("force", "Held by nobody now")
	s.lock("third", "", "k2") // is no answer to what becomes of k
	s.lock("fourth", "", "k")
	p.shows("force", "Held by", "fourth")
}
