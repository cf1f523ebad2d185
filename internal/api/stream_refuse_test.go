package api

import (
	"fmt"
	"testing"
)

// A refusal with the id of a request that is under way would be taken for the
// answer of that one, which may be granted later.
func TestWhatIsRefusedDoesNotAnswerForARequestUnderWay(t *testing.T) {
	for name, test := range map[string]struct {
		limits  Limits
		message string
	}{
		"malformed":        {Limits{}, `{"id":1,"op":"lock","keys":7}`},
		"a cancel as well": {Limits{}, `{"id":1,"op":"cancel","uid":"v"}`},
		"too many":         {Limits{RequestsPerSecond: 1}, `{"id":1,"op":"check","keys":"a"}`},
	} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, s *site) {
				c := s.socket()
				version := s.lock("u", "a")
				c.send(`{"id":1,"op":"lock","uid":"v","keys":"a","exp":60000,"wait":60000}`)
				s.inLine("a", "v")
				c.send(test.message)
				c.next().shows(`{"id":0,"status":400,"error":"invalid","message":"id: 1 is that of a request that is under way"}`)
				s.unlock("u", "a", version)
				c.next().masked("exp").shows(`{"id":1,"status":200,"tokens":[{"key":"a","version":#}],"exp":#}`)
			}, func(o *Options) { o.Limits = test.limits })
		})
	}
}

// What is refused before it begins is counted as well, though of what cannot be
// read it is not known what it asks for.
func TestWhatIsRefusedOnTheStreamIsCounted(t *testing.T) {
	eachWay(t, func(t *testing.T, s *site) {
		c := s.socket()
		s.lock("u", "a")
		c.send(`{"id":1,"op":"lock","uid":"v","keys":"a","wait":60000}`)
		s.inLine("a", "v")
		c.send(`[{"id":1,"op":"check","keys":"a"},{"id":2,"op":"lock","keys":7}]`)
		c.gives(2)
		c.send(`nonsense`)
		c.next().is(400)
		if got := fmt.Sprint(counted(s)); got != "[check invalid 1 lock ok 1 none invalid 2]" {
			t.Errorf("got %s", got)
		}
	})
	s := limited(t, Limits{RequestsPerSecond: 1})
	c := s.socket()
	c.send(`[{"id":1,"op":"check","keys":"a"},{"id":2,"op":"lock","uid":"u","keys":"a","wait":1}]`)
	c.gives(2)
	if got := fmt.Sprint(counted(s)); got != "[check ok 1 lock_wait limit 1]" {
		t.Errorf("got %s", got)
	}
}
