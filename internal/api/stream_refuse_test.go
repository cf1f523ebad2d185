package api

import "testing"

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
