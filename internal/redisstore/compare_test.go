package redisstore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"pgregory.net/rapid"

	"holdfast"
	"holdfast/internal/feed"
	"holdfast/internal/redistest"
	"holdfast/internal/table"
)

// TestScriptsDoWhatTheTableDoes gives the same random commands to the scripts
// and to the lock table, and compares what they answer, whom they let in, the
// events and the whole state. Only versions and places are other numbers. The
// clock of the scripts stands still but when the test moves it.
func TestScriptsDoWhatTheTableDoes(t *testing.T) { compare(t, false) }

// TestScriptsDoWithManyWhatTheTableDoes is the same with scripts that take two of
// anything for many, and go about them piece by piece.
func TestScriptsDoWithManyWhatTheTableDoes(t *testing.T) { compare(t, true) }

func compare(t *testing.T, many bool) {
	server := redistest.Start(t, "--hash-max-listpack-entries", "1", "--zset-max-listpack-entries", "1")
	edited := newScripts(func(source string) string {
		source = strings.ReplaceAll(source, "call('TIME')", "call('HMGET', P .. 'clock', 's', 'us')")
		if many {
			source = strings.ReplaceAll(source, "FEW = 64", "FEW = 1")
			source = strings.ReplaceAll(source, "PAGE = 1000", "PAGE = 1")
		}
		return strings.ReplaceAll(source, "call('PUBLISH', KEYS[2],", "call('RPUSH', P .. 'told',")
	})
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{server.Addr()}, DisableCache: true, ForceSingleClient: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	rapid.Check(t, func(rt *rapid.T) {
		s := &Store{root: roots("compared", 0), scripts: edited, id: "here", options: Options{Timeout: time.Minute}, feed: feed.New(), counts: newCounts()}
		s.client.Store(&client)
		p := &pair{
			t: rt, redis: s, table: table.New(0), now: 1_000_000, many: many,
			versions: map[uint64]uint64{}, places: map[uint64]*stood{}, ends: map[[2]string]int64{},
			watched: rapid.Bool().Draw(rt, "watched"),
		}
		p.do("FLUSHALL")
		p.setClock()
		if p.watched {
			p.do("SET", "{compared}:watched", "1")
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			p.step()
			// Not each time: to list holds makes them old.
			if p.draw("compare", 3) > 0 {
				p.compareState()
			}
		}
		p.compareState()
		p.empty()
	})
}

// pair is the scripts and the table side by side.
type pair struct {
	t     *rapid.T
	redis *Store
	table *table.Table

	now      int64 // µs
	many     bool  // whether two are many
	watched  bool  // whether events are compared; without, the short ways are taken
	versions map[uint64]uint64
	places   map[uint64]*stood // by the table's place
	tickets  int
	ends     map[[2]string]int64 // of holds by key and uid, as the lease clock knows them
	tokens   []owned             // given out so far
}

type owned struct {
	uid   string
	token holdfast.Token // the table's
}

// stood is a place in line and what became of it.
type stood struct {
	place    string
	tickets  map[string]string // by server; none when nobody answers for it any more
	grant    *table.Grant
	fresh    []holdfast.Token // of the grant: the holds that it made
	seen     uint64           // commands that the table had carried out then
	received bool             // somebody has claimed the grant
}

var (
	uids    = []string{"a", "b", "c", "d", "[e*"}
	keys    = []string{"k", "kk", "l", "m/n"}
	servers = []string{"here", "there"}
)

func (p *pair) do(args ...string) rueidis.RedisResult {
	client := *p.redis.client.Load()
	return client.Do(context.Background(), client.B().Arbitrary(args...).Build())
}

func (p *pair) setClock() {
	p.do("HSET", "{compared}:clock", "s", strconv.FormatInt(p.now/1_000_000, 10), "us", strconv.FormatInt(p.now%1_000_000, 10))
}

func (p *pair) run(script *rueidis.Lua, args ...string) []rueidis.RedisMessage {
	answer, err := p.redis.run(context.Background(), script, args...)
	if err != nil {
		p.t.Fatalf("script %v: %v", args, err.(*holdfast.Error).Cause)
	}
	return answer
}

func (p *pair) draw(what string, from int) int { return rapid.IntRange(0, from-1).Draw(p.t, what) }

func (p *pair) step() {
	switch n := p.draw("step", 22); {
	case n < 9:
		p.lock()
	case n < 11:
		p.unlock()
	case n < 12:
		p.several()
	case n < 13:
		p.extend()
	case n < 15:
		p.leave()
	case n < 16:
		p.claim()
	case n < 17:
		p.force()
	case n < 19:
		p.look()
	default:
		p.expire()
	}
}

// apply gives a command to the table and keeps what follows from it.
func (p *pair) apply(cmd table.Command) *table.Outcome {
	before := p.table.Version()
	out := p.table.Apply(&cmd)
	p.t.Logf("%v %s %v%v wait=%v place=%d%s %v: place %d, let in %+v", cmd.Op, cmd.UID, cmd.Keys, cmd.Tokens, cmd.Wait, cmd.Place, cmd.Key, cmd.Ended, out.Place, out.Grants)
	for _, e := range out.Events {
		name := [2]string{e.Key, e.UID}
		switch e.Type {
		case holdfast.EventGranted, holdfast.EventExtended:
			p.ends[name] = max(p.ends[name], p.now+e.Exp.Microseconds())
			p.tokens = append(p.tokens, owned{e.UID, holdfast.Token{Key: e.Key, Version: e.Version}})
		case holdfast.EventReleased, holdfast.EventExpired, holdfast.EventForced:
			delete(p.ends, name)
		}
	}
	held := map[uint64]bool{} // versions that an earlier grant of this command made
	for _, token := range out.Tokens {
		held[token.Version] = true
	}
	for i, grant := range out.Grants {
		at := p.places[grant.Place]
		at.grant, at.seen = &grant, p.table.Applied()
		for _, token := range grant.Tokens {
			// What a later request got as well is not taken from that one.
			again := slices.ContainsFunc(out.Grants[i+1:], func(later table.Grant) bool {
				return later.UID == grant.UID && slices.Contains(later.Tokens, token)
			})
			if token.Version > before && !held[token.Version] && !again {
				at.fresh = append(at.fresh, token)
			}
		}
		for _, token := range grant.Tokens {
			held[token.Version] = true
		}
	}
	return out
}

// same notes that the scripts call a version of the table by another number.
func (p *pair) same(ours, theirs uint64) {
	if ours == 0 && theirs == 0 {
		return
	}
	if known, ok := p.versions[ours]; ok && known != theirs {
		p.t.Fatalf("version %d is %d, and then it is %d", ours, known, theirs)
	}
	for other, known := range p.versions {
		if other != ours && (other < ours) != (known < theirs) {
			p.t.Fatalf("versions %d and %d are %d and %d", other, ours, known, theirs)
		}
	}
	p.versions[ours] = theirs
}

// someLimits draws limits that are near what there is, or none.
func (p *pair) someLimits() table.Limits {
	if p.draw("limited", 2) == 0 {
		return table.Limits{}
	}
	draw := func(name string, most int) int { return max(0, p.draw(name, 2*most)-most) }
	limits := table.Limits{
		Holds: draw("holds", 10), HoldsOfUID: draw("holds of a uid", 6),
		WaitersOfUID: draw("waiters of a uid", 3), WaitersOfKey: draw("waiters of a key", 3),
	}
	p.redis.options.Limits, p.redis.limits = limits, limitsWord(limits)
	return limits
}

func (p *pair) lock() {
	cmd := table.Command{
		Op: table.Lock, UID: rapid.SampledFrom(uids).Draw(p.t, "uid"),
		Exp:  time.Duration(1+p.draw("exp", 5)) * time.Second,
		Note: rapid.SampledFrom([]string{"", "n", "o"}).Draw(p.t, "note"),
		Wait: p.draw("wait", 4) > 0, Limits: p.someLimits(),
	}
	for range 1 + p.draw("asks", 3) {
		ask := holdfast.Ask{Key: rapid.SampledFrom(keys).Draw(p.t, "key")}
		if slices.ContainsFunc(cmd.Keys, func(other holdfast.Ask) bool { return other.Key == ask.Key }) {
			continue
		}
		if mode := p.draw("mode", 6); mode < 4 {
			ask.Mode = holdfast.Shared
			ask.Limit = max(0, mode)
		}
		cmd.Keys = append(cmd.Keys, ask)
	}
	p.tickets++
	ticket := "t" + strconv.Itoa(p.tickets)
	args := []string{cmd.UID, millis(cmd.Exp), cmd.Note, "", limitsWord(cmd.Limits)}
	server := rapid.SampledFrom(servers).Draw(p.t, "server")
	if cmd.Wait {
		args[3] = server + " " + ticket + " 1000000000"
	}
	for i := range cmd.Keys {
		args = append(args, code(&cmd.Keys[i]), cmd.Keys[i].Key)
	}
	before := p.table.Version()
	out := p.apply(cmd)
	answer, err := p.redis.ask(args)
	if err != nil {
		p.t.Fatal(err)
	}
	want := map[table.Status]string{table.Granted: "granted", table.InLine: "waiting", table.Refused: "locked", table.Deadlock: "deadlock", table.Limited: "limit"}[out.Status]
	if len(answer) == 1 && answer[0].IsInt64() && want == "granted" {
		answer = append(make([]rueidis.RedisMessage, 2), answer...) // the short way
	} else if got := status(answer); got != want {
		p.t.Fatalf("lock %v: %s %v, the table says %s %+v", args, got, answer[1:], want, out)
	}
	switch out.Status {
	case table.Granted:
		for i, token := range out.Tokens {
			version, _ := answer[2+i].AsInt64()
			p.same(token.Version, uint64(version))
		}
	case table.InLine:
		place, _ := answer[1].ToString()
		if known, ok := p.places[out.Place]; !ok {
			p.places[out.Place] = &stood{place: place, tickets: map[string]string{server: ticket}}
		} else if known.place != place {
			p.t.Fatalf("place %d was %s and is %s", out.Place, known.place, place)
		} else {
			known.tickets[server] = ticket
		}
	case table.Refused:
		p.compareBlockers(out.Blockers, answer[1:])
	case table.Limited:
		if _, err := p.redis.answered(answer, holdfast.LockRequest{}, time.Now()); err.(*holdfast.Error).Message != out.OverLimit {
			p.t.Fatalf("%v, the table says %s", err, out.OverLimit)
		}
	case table.Deadlock:
		if len(answer) != 1+2*len(out.Cycle) {
			p.t.Fatalf("a circle of %v, the table says %v", answer, out.Cycle)
		}
	}
	p.compareEvents(out.Events)
	if out.Status == table.Granted && p.draw("unheard", 6) == 0 {
		p.undo(cmd, out, before, answer)
	}
}

// undo takes back what was granted at once to a client that has gone.
func (p *pair) undo(cmd table.Command, granted *table.Outcome, before uint64, answer []rueidis.RedisMessage) {
	fresh := slices.DeleteFunc(slices.Clone(granted.Tokens), func(token holdfast.Token) bool { return token.Version <= before })
	req := holdfast.LockRequest{UID: cmd.UID, Keys: cmd.Keys}
	undo := undoing(cmd.UID, asked(req), answer)
	if status(answer) == "" { // the short way
		version, _ := answer[2].AsInt64()
		undo = undoShort(req, uint64(version))
	}
	if (undo == nil) != (len(fresh) == 0) {
		p.t.Fatalf("to undo %v: %v, the table says %v", answer, undo, fresh)
	}
	if undo == nil {
		return
	}
	for _, grant := range granted.Grants { // what another request of its owner got is not taken from that one
		fresh = slices.DeleteFunc(fresh, func(token holdfast.Token) bool {
			return grant.UID == cmd.UID && slices.Contains(grant.Tokens, token)
		})
	}
	out := p.apply(table.Command{Op: table.TakeBack, UID: cmd.UID, Tokens: fresh, Seen: p.table.Applied()})
	p.run(p.redis.scripts.undo, undo...)
	p.compareEvents(out.Events)
}

// look asks whether keys are held, and for the state of one.
func (p *pair) look() {
	var asked []string
	held := int64(0)
	for range 1 + p.draw("keys", 3) {
		asked = append(asked, rapid.SampledFrom(keys).Draw(p.t, "key"))
		if len(p.table.Key(asked[len(asked)-1]).Holds) > 0 {
			held = 1
		}
	}
	message, err := p.redis.do(context.Background(), p.redis.scripts.check, asked)
	if err != nil {
		p.t.Fatal(err)
	}
	if got, _ := message.AsInt64(); got != held {
		p.t.Fatalf("check %v: %d, the table says %d", asked, got, held)
	}
	p.compareLocks([]table.KeyState{p.table.Key(asked[0])}, p.run(p.redis.scripts.get, asked[0]))
}

// several gives the script many some requests at once.
func (p *pair) several() {
	var cmds []table.Command
	limits := p.someLimits()
	args := []string{limitsWord(limits)}
	for range 1 + p.draw("requests", 5) {
		if p.draw("lock", 2) == 0 {
			cmd := table.Command{
				Op: table.Lock, UID: rapid.SampledFrom(uids).Draw(p.t, "uid"), Exp: time.Duration(1+p.draw("exp", 5)) * time.Second,
				Keys: holdfast.Keys(rapid.SampledFrom(keys).Draw(p.t, "key")), Note: rapid.SampledFrom([]string{"", "n"}).Draw(p.t, "note"), Limits: limits,
			}
			cmds = append(cmds, cmd)
			args = append(args, "l", cmd.UID, cmd.Keys[0].Key, millis(cmd.Exp), cmd.Note)
			continue
		}
		uid, tokens, words := p.someTokens()
		cmds = append(cmds, table.Command{Op: table.Unlock, UID: uid, Tokens: tokens[:1]})
		args = append(args, "u", uid, words[0], words[1], "")
	}
	answer := p.run(p.redis.scripts.many, args...)
	if len(answer) != len(cmds) {
		p.t.Fatalf("%d answers to %d requests", len(answer), len(cmds))
	}
	for i, cmd := range cmds {
		number, _ := answer[i].AsInt64()
		if number < 0 {
			continue // it would go by itself now
		}
		if p.watched {
			p.t.Fatal("the short way, though events are followed")
		}
		out := p.apply(cmd)
		switch {
		case cmd.Op == table.Unlock && int(number) != len(out.Tokens):
			p.t.Fatalf("unlock %v of %s: %d, the table says %v", cmd.Tokens, cmd.UID, number, out.Tokens)
		case cmd.Op == table.Lock && (out.Status != table.Granted || len(out.Grants) > 0):
			p.t.Fatalf("lock %v for %s: %d, the table says %+v", cmd.Keys, cmd.UID, number, out)
		case cmd.Op == table.Lock:
			p.same(out.Tokens[0].Version, uint64(number))
		}
	}
}

// someTokens draws tokens that uid has had, and one that never was.
func (p *pair) someTokens() (uid string, ours []holdfast.Token, args []string) {
	uid = rapid.SampledFrom(uids).Draw(p.t, "uid")
	for range 1 + p.draw("tokens", 3) {
		token := holdfast.Token{Key: "k", Version: 999_999_999}
		if len(p.tokens) > 0 {
			// Among the latest, so that many still name a hold.
			o := p.tokens[max(0, len(p.tokens)-1-p.draw("token", 8))]
			if p.draw("other", 8) > 0 && len(ours) == 0 {
				uid = o.uid
			}
			token = o.token
		}
		ours = append(ours, token)
	}
	for _, token := range ours {
		if p.versions[token.Version] == 0 {
			p.compareState() // it tells what the scripts call it
		}
		args = append(args, token.Key, strconv.FormatUint(cmp.Or(p.versions[token.Version], 77), 10))
	}
	return uid, ours, args
}

func (p *pair) unlock() {
	uid, tokens, args := p.someTokens()
	out := p.apply(table.Command{Op: table.Unlock, UID: uid, Tokens: tokens})
	message, err := p.redis.do(context.Background(), p.redis.scripts.unlock, append([]string{uid}, args...))
	if err != nil {
		p.t.Fatal(err)
	}
	var got []holdfast.Token
	if message.IsInt64() { // the short way
		n, _ := message.AsInt64()
		got = append(got, tokens[:n]...)
	}
	answer, _ := message.ToArray()
	for _, n := range answer {
		i, _ := n.AsInt64()
		got = append(got, tokens[i-1])
	}
	if !slices.Equal(got, out.Tokens) {
		p.t.Fatalf("%s unlocks %v: %v, the table says %v", uid, tokens, got, out.Tokens)
	}
	p.compareEvents(out.Events)
}

func (p *pair) extend() {
	uid, tokens, args := p.someTokens()
	if p.draw("all", 2) == 0 {
		tokens, args = nil, nil
	}
	exp := time.Duration(1+p.draw("exp", 5)) * time.Second
	out := p.apply(table.Command{Op: table.Extend, UID: uid, Tokens: tokens, Exp: exp})
	var got holdfast.Extension
	var err error
	if tokens == nil {
		got, err = p.redis.extendAll(context.Background(), holdfast.ExtendRequest{UID: uid, Exp: exp})
	} else {
		got, err = readExtension(p.run(p.redis.scripts.extend, append([]string{uid, millis(exp)}, args...)...), tokens)
	}
	if err != nil || len(got.Tokens) != len(out.Tokens) || len(got.Lost) != len(out.Lost) {
		p.t.Fatalf("%s extends %v: %v %v, the table says %v", uid, tokens, got, err, out)
	}
	left := time.Duration(0)
	for i, token := range out.Tokens {
		if tokens == nil {
			p.same(token.Version, got.Tokens[i].Version)
			token.Version = got.Tokens[i].Version
		}
		if got.Tokens[i] != token {
			p.t.Fatalf("%s extends %v: %v, the table says %v", uid, tokens, got, out.Tokens)
		}
		if ends := time.Duration(p.ends[[2]string{token.Key, uid}]-p.now) * time.Microsecond; i == 0 || ends < left {
			left = ends
		}
	}
	if got.Exp > left || got.Exp < left-time.Second { // an answer may be slow here
		p.t.Fatalf("%s extends %v: %v are left, the table says %v", uid, tokens, got.Exp, left)
	}
	p.compareEvents(out.Events)
}

func (p *pair) force() {
	key := rapid.SampledFrom(keys).Draw(p.t, "key")
	out := p.apply(table.Command{Op: table.Force, Key: key, Reason: "why"})
	answer := p.run(p.redis.scripts.force, key, "why")
	if len(answer) != 2*len(out.Freed) {
		p.t.Fatalf("force %s: %v, the table says %v", key, answer, out.Freed)
	}
	p.compareEvents(out.Events)
}

// drawPlace gives a place that a server still answers for, and the server.
func (p *pair) drawPlace(what string, wanted func(*stood) bool) (place uint64, at *stood, server string) {
	var places []uint64
	for place, at := range p.places {
		if len(at.tickets) > 0 && wanted(at) {
			places = append(places, place)
		}
	}
	if len(places) == 0 {
		return 0, nil, ""
	}
	slices.Sort(places)
	place = rapid.SampledFrom(places).Draw(p.t, what)
	at = p.places[place]
	return place, at, rapid.SampledFrom(slices.Sorted(maps.Keys(at.tickets))).Draw(p.t, "server")
}

// leave lets the client of a waiter go: in line, or before it knew of its
// grant. If another server answers for the place as well, that stays.
func (p *pair) leave() {
	place, at, server := p.drawPlace("leaves", func(*stood) bool { return true })
	if at == nil {
		return
	}
	why := rapid.SampledFrom([]string{"gone", "gone", "over", "look"}).Draw(p.t, "why")
	ticket := at.tickets[server]
	cmd := table.Command{Op: table.Cancel, Place: place, Seen: p.table.Applied()}
	stays := why == "look" || len(at.tickets) > 1
	switch {
	case at.grant == nil && stays:
		cmd.Seen = 0 // so that the table only says who is in the way
	case at.grant != nil && why == "over":
		p.claimed(at, server, p.run(p.redis.scripts.leave, at.place, server, ticket, why))
		return
	case at.grant != nil && (stays || at.received):
		cmd = table.Command{Op: table.TakeBack, UID: at.grant.UID}
	case at.grant != nil:
		cmd = table.Command{Op: table.TakeBack, UID: at.grant.UID, Tokens: at.fresh, Seen: at.seen}
	}
	if why != "look" {
		delete(at.tickets, server)
	}
	out := p.apply(cmd)
	answer := p.run(p.redis.scripts.leave, at.place, server, ticket, why)
	switch {
	case at.grant == nil:
		if status(answer) != "left" {
			p.t.Fatalf("leave %d: %v", place, answer)
		}
		p.compareBlockers(out.Blockers, answer[1:])
	case why == "look" && status(answer) != wordWaiting, why == "gone" && status(answer) != wordGone:
		p.t.Fatalf("%s at %d: %v", why, place, answer)
	}
	p.compareEvents(out.Events)
}

func (p *pair) claim() {
	if _, at, server := p.drawPlace("claims", func(at *stood) bool { return at.grant != nil }); at != nil {
		p.claimed(at, server, p.run(p.redis.scripts.claim, at.place, server, at.tickets[server]))
	}
}

// claimed is told what a server has heard that claimed a grant.
func (p *pair) claimed(at *stood, server string, answer []rueidis.RedisMessage) {
	delete(at.tickets, server)
	at.received = true
	if !slices.ContainsFunc(at.grant.Tokens, func(token holdfast.Token) bool {
		return slices.ContainsFunc(p.table.Key(token.Key).Holds, func(h holdfast.Hold) bool { return h.Version == token.Version })
	}) {
		return // whether it was let go or ran out, is not known here
	}
	if status(answer) != "granted" || len(answer) < 2+len(at.grant.Tokens) {
		p.t.Fatalf("claim: %v of %v", answer, at.grant)
	}
	for i, token := range at.grant.Tokens {
		version, _ := answer[2+i].AsInt64()
		p.same(token.Version, uint64(version))
	}
}

// expire moves the clock to the end of the next hold.
func (p *pair) expire() {
	next := int64(0)
	for _, end := range p.ends {
		if next == 0 || end < next {
			next = end
		}
	}
	if next == 0 {
		return
	}
	p.now = next
	p.setClock()
	var ended []table.Owned
	for _, key := range keys {
		for _, h := range p.table.Key(key).Holds {
			if p.ends[[2]string{key, h.UID}] <= p.now {
				ended = append(ended, table.Owned{UID: h.UID, Token: holdfast.Token{Key: key, Version: h.Version}})
			}
		}
	}
	out := p.apply(table.Command{Op: table.Expire, Ended: ended, Seen: p.table.Applied()})
	p.run(p.redis.scripts.tick, "here", "1000000000", "0", "0", "0", "1000", strconv.Itoa(p.draw("age", 2)))
	p.compareEvents(out.Events)
}
