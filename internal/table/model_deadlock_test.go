package table

import (
	"fmt"
	"slices"

	"holdfast"
)

// deadlock gives a shortest circle that r would close, nil if there is none.
func (m *model) deadlock(r modelRequest) []holdfast.Link {
	stuck := m.stuck(r)
	if m.clear(r, stuck) {
		return nil
	}
	return m.circle(r, stuck)
}

// stuck sets aside, again and again, every owner whose requests can all be
// granted once those set aside have given back what they hold. It gives
// those who are left, were all of more in line as well.
func (m *model) stuck(more ...modelRequest) map[string]bool {
	line := slices.Concat(m.line, more)
	stuck := make(map[string]bool)
	for _, h := range m.holds {
		stuck[h.UID] = true
	}
	for _, r := range line {
		stuck[r.uid] = true
	}
	for {
		before := len(stuck)
		for uid := range stuck {
			waits := func(r modelRequest) bool { return r.uid == uid && !m.clear(r, stuck) }
			if !slices.ContainsFunc(line, waits) {
				delete(stuck, uid)
			}
		}
		if len(stuck) == before {
			return stuck
		}
	}
}

// clear says whether r could be granted if only those who are stuck held
// anything.
func (m *model) clear(r modelRequest, stuck map[string]bool) bool {
	for _, ask := range r.asks {
		others := slices.DeleteFunc(m.othersOn(ask.Key, r.uid), func(h holdfast.Hold) bool { return !stuck[h.UID] })
		exclusive := func(h holdfast.Hold) bool { return h.Mode == holdfast.Exclusive }
		switch {
		case m.covered(r.uid, ask):
		case ask.Mode == holdfast.Exclusive && len(others) > 0:
			return false
		case slices.ContainsFunc(others, exclusive):
			return false
		case ask.Limit > 0 && len(others) >= ask.Limit:
			return false
		}
	}
	return true
}

// circle gives a shortest way from r over holds in the way, among the stuck,
// back to r's owner.
func (m *model) circle(r modelRequest, stuck map[string]bool) []holdfast.Link {
	seen := make(map[string]bool)
	type way struct {
		links []holdfast.Link
		to    string
	}
	ways := []way{{nil, r.uid}}
	for ; len(ways) > 0; ways = ways[1:] {
		links, requests := ways[0].links, m.requestsOf(ways[0].to)
		if len(links) == 0 {
			requests = []modelRequest{r}
		} else if ways[0].to == r.uid {
			return links
		}
		for _, h := range m.waitsForHolds(requests) {
			if !stuck[h.UID] || seen[h.UID] {
				continue
			}
			seen[h.UID] = true
			link := holdfast.Link{UID: ways[0].to, Key: h.Key}
			ways = append(ways, way{append(slices.Clone(links), link), h.UID})
		}
	}
	return nil
}

// waitsForHolds gives the holds of others that stand in the way of requests.
func (m *model) waitsForHolds(requests []modelRequest) []holdfast.Hold {
	var holds []holdfast.Hold
	for _, r := range requests {
		for _, ask := range r.asks {
			if !m.covered(r.uid, ask) {
				holds = append(holds, m.holdersInTheWay(r.uid, ask)...)
			}
		}
	}
	return holds
}

// checkCircle says what is wrong with a circle that r is said to close.
func (m *model) checkCircle(r modelRequest, cycle []holdfast.Link) error {
	stuck := m.stuck(r)
	for i, link := range cycle {
		requests := m.requestsOf(link.UID)
		if i == 0 {
			requests = []modelRequest{r}
		}
		next := cycle[(i+1)%len(cycle)].UID
		waits := func(h holdfast.Hold) bool { return h.Key == link.Key && h.UID == next }
		switch {
		case i == 0 && link.UID != r.uid:
			return fmt.Errorf("begins with %s", link.UID)
		case !stuck[link.UID]:
			return fmt.Errorf("%s can go on", link.UID)
		case !slices.ContainsFunc(m.waitsForHolds(requests), waits):
			return fmt.Errorf("%s does not wait for %s's hold on %s", link.UID, next, link.Key)
		}
	}
	return nil
}
