package redisstore

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"
	"pgregory.net/rapid"

	"holdfast"
	"holdfast/internal/table"
)

func (p *pair) compareBlockers(want []holdfast.Blocker, answer []rueidis.RedisMessage) {
	got, err := readBlockers(answer)
	if err != nil {
		p.t.Fatal(err)
	}
	want = slices.Clone(want)
	if p.many { // in any order
		byName := func(a, b holdfast.Blocker) int {
			return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.UID, b.UID), cmp.Compare(min(a.Version, 1), min(b.Version, 1)))
		}
		slices.SortStableFunc(got, byName)
		slices.SortStableFunc(want, byName)
	}
	for i := range got {
		if i < len(want) && want[i].Version != 0 {
			p.same(want[i].Version, got[i].Version)
			want[i].Version, got[i].Exp = got[i].Version, 0
		}
	}
	if !slices.Equal(got, want) {
		p.t.Fatalf("blockers %+v, the table says %+v", got, want)
	}
}

func (p *pair) compareEvents(want []holdfast.Event) {
	told, err := p.do("LRANGE", "{compared}:told", "0", "-1").AsStrSlice()
	if err != nil {
		p.t.Fatal(err)
	}
	p.do("DEL", "{compared}:told")
	if !p.watched {
		return
	}
	var got []holdfast.Event
	for _, message := range told {
		_, events := readEvents(message)
		got = append(got, events...)
	}
	if len(got) != len(want) {
		p.t.Fatalf("events %+v, the table says %+v", got, want)
	}
	want = slices.Clone(want)
	sortEnds(got)
	sortEnds(want)
	for i := range got {
		p.same(want[i].Version, got[i].Version)
		want[i].Version = got[i].Version
	}
	if !slices.Equal(got, want) {
		p.t.Fatalf("events %+v, the table says %+v", got, want)
	}
}

// sortEnds brings holds that ran out at the same moment into one order: the
// scripts end young ones before old ones.
func sortEnds(events []holdfast.Event) {
	n := 0
	for n < len(events) && events[n].Type == holdfast.EventExpired {
		n++
	}
	slices.SortFunc(events[:n], func(a, b holdfast.Event) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.UID, b.UID))
	})
}

// compareList compares a page of a list.
func (p *pair) compareList(prefix, uid, after string, waited bool, limit int) {
	states, more := p.table.List(prefix, uid, after, waited, limit)
	answer := p.run(p.redis.scripts.list, prefix, uid, after, map[bool]string{false: "0", true: "1"}[waited], strconv.Itoa(limit))
	if got, _ := answer[0].AsInt64(); (got == 1) != more {
		p.t.Fatalf("more %d, the table says %v", got, more)
	}
	var got [][]rueidis.RedisMessage
	for _, state := range answer[1:] {
		parts, _ := state.ToArray()
		got = append(got, parts)
	}
	p.compareLocks(states, got...)
}

// compareLocks compares the states of keys.
func (p *pair) compareLocks(states []table.KeyState, answers ...[]rueidis.RedisMessage) {
	var got []holdfast.Lock
	for _, answer := range answers {
		lock, err := readLock(answer)
		if err != nil {
			p.t.Fatal(err)
		}
		got = append(got, lock)
	}
	if len(got) != len(states) {
		p.t.Fatalf("%d keys %+v, the table says %+v", len(got), got, states)
	}
	for i, state := range states {
		want := holdfast.Lock{Key: state.Key, Holders: []holdfast.Holder{}, Waiters: []holdfast.Waiter{}}
		for j, h := range state.Holds {
			left := time.Duration(p.ends[[2]string{h.Key, h.UID}]-p.now) * time.Microsecond
			holder := holdfast.Holder{UID: h.UID, Mode: h.Mode, Limit: h.Limit, Version: h.Version, Exp: left, Note: h.Note}
			if j < len(got[i].Holders) {
				p.same(h.Version, got[i].Holders[j].Version)
				holder.Version, holder.Held = got[i].Holders[j].Version, got[i].Holders[j].Held
			}
			want.Holders = append(want.Holders, holder)
		}
		for j, w := range state.Waiters {
			waiter := holdfast.Waiter{UID: w.UID, Mode: w.Mode, Limit: w.Limit, Note: w.Note}
			if j < len(got[i].Waiters) {
				waiter.Waited = got[i].Waiters[j].Waited
			}
			want.Waiters = append(want.Waiters, waiter)
		}
		if !reflect.DeepEqual(got[i], want) {
			p.t.Fatalf("key %+v, the table says %+v", got[i], want)
		}
	}
}

// compareState compares all that is held and waited for, and who was let in.
func (p *pair) compareState() {
	count := fields{p.run(p.redis.scripts.count)}
	if holds, waiters := int(count.number()), int(count.number()); holds != p.table.Holds() || waiters != p.table.Waiters() {
		p.t.Fatalf("counts %d and %d, the table %d and %d", holds, waiters, p.table.Holds(), p.table.Waiters())
	}
	for _, uid := range []string{"", "a"} {
		p.compareList("", uid, "", false, 100)
		p.compareList("", uid, "", true, 100)
	}
	p.compareList(rapid.SampledFrom([]string{"", "k", "kk", "m/"}).Draw(p.t, "prefix"),
		rapid.SampledFrom([]string{"", "b", "[e*"}).Draw(p.t, "uid"), rapid.SampledFrom([]string{"", "a", "k", "kk", "l"}).Draw(p.t, "after"),
		rapid.Bool().Draw(p.t, "waited"), 1+p.draw("limit", 3))
	for _, server := range servers {
		granted := map[string]bool{}
		for f := (fields{p.run(p.redis.scripts.mine, server)}); len(f.rest) > 0; {
			ticket, place := f.text(), f.text()
			granted[fmt.Sprint(ticket, " ", place)] = f.text() == "1"
		}
		for place, at := range p.places {
			ticket, answers := at.tickets[server]
			was, known := granted[ticket+" "+at.place]
			if known != answers || was != (at.grant != nil && answers) {
				p.t.Fatalf("place %d %+v: known %v, granted %v", place, at, known, was)
			}
		}
	}
}

// empty ends everything, and sees that nothing is left in Redis.
func (p *pair) empty() {
	for _, at := range p.places {
		for server, ticket := range at.tickets {
			p.run(p.redis.scripts.leave, at.place, server, ticket, "gone")
		}
	}
	for _, key := range keys {
		p.run(p.redis.scripts.force, key, "")
	}
	for range 2 { // the first one may be heard after a silence
		p.now += 2_000_000_000_000
		p.setClock()
		p.run(p.redis.scripts.tick, "here", "1000", "0", "0", "0", "1000", "0")
	}
	p.do("DEL", "{compared}:told", "{compared}:watched", "{compared}:heard", "{compared}:clock")
	left, _ := p.do("KEYS", "*").AsStrSlice()
	left = slices.DeleteFunc(left, func(key string) bool { return key == "{compared}:last" })
	if len(left) > 0 {
		p.t.Fatalf("left behind: %v", left)
	}
}
