package table

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast"

	"pgregory.net/rapid"
)

// drawings are what a step may be, each as often as its weight.
var drawings = []struct {
	weight int
	draw   func(*history) Command
}{
	{20, (*history).drawLock},
	{10, (*history).drawContest},
	{6, (*history).drawPart},
	{4, (*history).drawAgain},
	{6, (*history).drawExpire},
	{5, (*history).drawCancel},
	{4, (*history).drawTakeBack},
	{2, (*history).drawExtend},
	{1, (*history).drawRaise},
	{1, (*history).drawForce},
	{16, (*history).drawUnlock},
}

func (h *history) drawCommand() Command {
	total := 0
	for _, d := range drawings {
		total += d.weight
	}
	n := rapid.IntRange(0, total-1).Draw(h.t, "command")
	for _, d := range drawings {
		if n < d.weight {
			return d.draw(h)
		}
		n -= d.weight
	}
	panic("unreachable: n is less than all weights together")
}

// pick draws one of the things; the first ones a little more often.
func pick[T any](h *history, what string, from ...T) T {
	return rapid.SampledFrom(from).Draw(h.t, what)
}

// chance is true about once in n times.
func (h *history) chance(what string, n int) bool {
	return rapid.IntRange(1, n).Draw(h.t, what) == n
}

func (h *history) drawLock() Command {
	uid := h.drawAsker()
	return h.ask(uid, h.drawAsks(uid))
}

// drawContest asks for what another owner holds or waits for, on behalf of
// somebody who holds something: so upgrades and circles come about.
func (h *history) drawContest() Command {
	waits := func(hold holdfast.Hold) bool { return len(h.model.requestsOf(hold.UID)) > 0 }
	holds := slices.DeleteFunc(slices.Clone(h.model.holds), waits)
	if len(holds) == 0 {
		return h.drawLock()
	}
	uid := pick(h, "holder", holds...).UID
	others := slices.DeleteFunc(slices.Clone(h.model.holds), func(hold holdfast.Hold) bool { return hold.UID == uid })
	if len(others) == 0 {
		return h.ask(uid, h.drawAsks(uid))
	}
	return h.ask(uid, []holdfast.Ask{h.drawAsk(pick(h, "contested", others...).Key)})
}

// drawPart asks for a part of what somebody in line waits for, in another
// mode perhaps. If it is granted, the request in line finds that covered.
func (h *history) drawPart() Command {
	if len(h.model.line) == 0 {
		return h.drawLock()
	}
	w := pick(h, "waiter", h.model.line...)
	if h.patient {
		return h.ask(h.drawAsker(), []holdfast.Ask{pick(h, "ask", w.asks...)})
	}
	return h.ask(w.uid, []holdfast.Ask{h.drawAsk(pick(h, "ask", w.asks...).Key)})
}

func (h *history) ask(uid string, asks []holdfast.Ask) Command {
	cmd := Command{
		Op:   Lock,
		UID:  uid,
		Keys: asks,
		Exp:  h.drawExp(),
		Note: h.drawNote(),
		Wait: len(h.model.line) < longestLine && !h.chance("no wait", 6),
	}
	h.asked = append(h.asked, cmd)
	h.asked = h.asked[max(0, len(h.asked)-6):]
	return cmd
}

// longestLine is how long the line may become: the model's time grows with it.
const longestLine = 10

// drawAsker gives who asks: in a patient history somebody who does not wait
// yet, if there is one.
func (h *history) drawAsker() string {
	waits := func(uid string) bool { return len(h.model.requestsOf(uid)) > 0 }
	free := slices.DeleteFunc(slices.Clone(h.uids), waits)
	if h.patient && len(free) > 0 {
		return pick(h, "uid", free...)
	}
	return pick(h, "uid", h.uids...)
}

// drawAsks asks for a few keys, mostly for such as uid does not hold.
func (h *history) drawAsks(uid string) []holdfast.Ask {
	held := func(key string) bool { return h.model.hold(uid, key) != nil }
	others := slices.DeleteFunc(slices.Clone(h.keys), held)
	var asks []holdfast.Ask
	for range pick(h, "asks", 1, 2, 1, 3) {
		key := pick(h, "key", h.keys...)
		if len(others) > 0 && !h.chance("held", 4) {
			key = pick(h, "key", others...)
		}
		if slices.ContainsFunc(asks, func(ask holdfast.Ask) bool { return ask.Key == key }) {
			continue
		}
		asks = append(asks, h.drawAsk(key))
	}
	return asks
}

func (h *history) drawAsk(key string) holdfast.Ask {
	modes := []string{"exclusive", "shared", "limit", "exclusive"}
	if h.sociable {
		modes = []string{"shared", "limit", "exclusive", "limit"}
	}
	switch pick(h, "mode", modes...) {
	case "shared":
		return holdfast.Ask{Key: key, Mode: holdfast.Shared}
	case "limit":
		return holdfast.Ask{Key: key, Mode: holdfast.Shared, Limit: pick(h, "limit", 2, 1, 3)}
	}
	return holdfast.Ask{Key: key}
}

func (h *history) drawExp() time.Duration {
	return time.Duration(rapid.IntRange(1, 4).Draw(h.t, "exp")) * time.Second
}

func (h *history) drawNote() string { return pick(h, "note", "", "x", "y") }

// drawAgain asks for something again: what somebody waits for, or what was
// asked a while ago.
func (h *history) drawAgain() Command {
	if len(h.model.line) > 0 && !h.chance("of old", 3) {
		w := pick(h, "waiter", h.model.line...)
		return Command{Op: Lock, UID: w.uid, Keys: w.asks, Exp: h.drawExp(), Note: h.drawNote(), Wait: !h.chance("no wait", 6)}
	}
	if len(h.asked) == 0 {
		return h.drawLock()
	}
	cmd := pick(h, "asked", h.asked...)
	cmd.Exp = h.drawExp()
	cmd.Note = h.drawNote()
	if h.chance("turned round", 6) {
		cmd.Keys = slices.Clone(cmd.Keys)
		slices.Reverse(cmd.Keys)
	}
	if h.patient && len(h.model.requestsOf(cmd.UID)) > 0 {
		cmd.UID = h.drawAsker()
	}
	return cmd
}

// drawTokens names some holds of uid, now and then one that is not there or
// one twice.
func (h *history) drawTokens(uid string) []holdfast.Token {
	held := h.model.tokensOf(uid)
	if len(held) > 1 && h.chance("all", 3) {
		return held
	}
	tokens := []holdfast.Token{}
	for range pick(h, "tokens", 1, 2, 1, 3) {
		token := holdfast.Token{Key: pick(h, "key", h.keys...), Version: h.model.counter}
		if len(held) > 0 && !h.chance("any key", 8) {
			token = pick(h, "token", held...)
		}
		if h.chance("stale", 12) {
			token.Version--
		}
		tokens = append(tokens, token)
	}
	return tokens
}

func (m *model) tokensOf(uid string) []holdfast.Token {
	var tokens []holdfast.Token
	for _, hold := range m.holds {
		if hold.UID == uid {
			tokens = append(tokens, holdfast.Token{Key: hold.Key, Version: hold.Version})
		}
	}
	return tokens
}

// drawHolder gives somebody, if possible somebody who holds something.
func (h *history) drawHolder() string {
	if len(h.model.holds) == 0 || h.chance("anybody", 12) {
		return pick(h, "uid", h.uids...)
	}
	return pick(h, "holder", h.model.holds...).UID
}

func (h *history) drawUnlock() Command {
	uid := h.drawHolder()
	return Command{Op: Unlock, UID: uid, Tokens: h.drawTokens(uid)}
}

func (h *history) drawExtend() Command {
	cmd := Command{Op: Extend, UID: h.drawHolder(), Exp: h.drawExp()}
	if h.chance("some", 2) {
		cmd.Tokens = h.drawTokens(cmd.UID)
	}
	return cmd
}

func (h *history) drawExpire() Command {
	cmd := Command{Op: Expire, Seen: h.drawSeen()}
	if relied := h.reliedOn(); len(relied) > 0 && h.chance("relied on", 2) {
		hold := pick(h, "hold", relied...)
		cmd.Ended = []Owned{{UID: hold.UID, Token: holdfast.Token{Key: hold.Key, Version: hold.Version}}}
		return cmd
	}
	for range pick(h, "owners", 1, 2, 1) {
		uid := h.drawHolder()
		for _, token := range h.drawTokens(uid) {
			cmd.Ended = append(cmd.Ended, Owned{UID: uid, Token: token})
		}
	}
	return cmd
}

// reliedOn gives the holds without which a request of their owner in line
// would have to wait for more.
func (h *history) reliedOn() []holdfast.Hold {
	var holds []holdfast.Hold
	for _, w := range h.model.line {
		for _, ask := range w.asks {
			if h.model.covered(w.uid, ask) {
				holds = append(holds, *h.model.hold(w.uid, ask.Key))
			}
		}
	}
	return holds
}

// drawSeen is when a command was decided: mostly just now.
func (h *history) drawSeen() uint64 {
	return h.model.applied - min(h.model.applied, pick[uint64](h, "ago", 0, 0, 0, 1, 5))
}

func (h *history) drawCancel() Command {
	if len(h.model.line) == 0 || h.chance("dead", 8) {
		return Command{Op: Cancel, Seen: h.drawSeen(), Place: rapid.Uint64Range(0, h.model.places+1).Draw(h.t, "place")}
	}
	return Command{Op: Cancel, Seen: h.drawSeen(), Place: pick(h, "waiter", h.model.line...).place}
}

// drawTakeBack takes back what a late grant gave, as a server does.
func (h *history) drawTakeBack() Command {
	if len(h.granted) == 0 {
		return h.drawLock()
	}
	newest := slices.Clone(h.granted) // first
	slices.Reverse(newest)
	g := pick(h, "grant", newest...)
	upgraded := func(g Grant) bool {
		return slices.ContainsFunc(g.Tokens, func(token holdfast.Token) bool {
			_, upgraded := h.model.prior[token]
			return upgraded
		})
	}
	if i := slices.IndexFunc(newest, upgraded); i >= 0 && h.chance("upgrade", 2) {
		g = newest[i]
	}
	return Command{Op: TakeBack, UID: g.UID, Tokens: g.Tokens, Seen: h.drawSeen()}
}

func (h *history) drawForce() Command {
	return Command{Op: Force, Key: pick(h, "key", h.keys...), Reason: pick(h, "reason", "", "stuck")}
}

func (h *history) drawRaise() Command {
	c := h.model.counter
	return Command{Op: Raise, Floor: pick(h, "floor", c+1, c+1000, c, c/2)}
}

// said is a command that can be read in a log, one line each.
type said Command

func (cmd *said) String() string {
	words := []string{cmd.Op.String(), cmd.UID}
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	for _, ask := range cmd.Keys {
		say("%s/%v/%d", ask.Key, ask.Mode, ask.Limit)
	}
	for _, token := range cmd.Tokens {
		say("%s:%d", token.Key, token.Version)
	}
	for _, owned := range cmd.Ended {
		say("%s %s:%d", owned.UID, owned.Key, owned.Version)
	}
	switch cmd.Op {
	case Lock:
		say("exp=%v note=%q wait=%v", cmd.Exp, cmd.Note, cmd.Wait)
	case Extend:
		say("exp=%v all=%v", cmd.Exp, cmd.Tokens == nil)
	case Cancel:
		say("place=%d", cmd.Place)
	case TakeBack:
		say("seen=%d", cmd.Seen)
	case Force:
		say("%s reason=%q", cmd.Key, cmd.Reason)
	case Raise:
		say("floor=%d", cmd.Floor)
	}
	return strings.Join(words, " ")
}
