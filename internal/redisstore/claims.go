package redisstore

// claims are the tickets of the grants that were claimed here in the last
// seconds. After a failover or a restart, Redis may know of a grant and not of
// its claim. To take it back, as one of which nobody has heard, would end a hold
// of which a client has.
type claims struct{ latest, before map[string]struct{} }

func (c *claims) add(ticket string) {
	if c.latest == nil {
		c.latest = make(map[string]struct{})
	}
	c.latest[ticket] = struct{}{}
}

func (c *claims) has(ticket string) bool {
	_, latest := c.latest[ticket]
	_, before := c.before[ticket]
	return latest || before
}

// turn forgets the claims from before the last turn.
func (c *claims) turn() { c.latest, c.before = nil, c.latest }
