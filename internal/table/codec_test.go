package table

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"holdfast"
)

func everyCommand() []*Command {
	asks := []holdfast.Ask{{Key: "a/b", Mode: holdfast.Shared, Limit: 300}, {Key: "☂"}}
	tokens := []holdfast.Token{{Key: "a/b", Version: holdfast.VersionEnd - 1}, {Key: "☂", Version: 1}}
	return []*Command{
		{Op: Lock, UID: "u", Keys: asks, Exp: holdfast.MaxExp, Note: "why", Wait: true},
		{Op: Lock, UID: "u", Keys: asks, Limits: Limits{Holds: 1 << 20, HoldsOfUID: 300, WaitersOfUID: 2, WaitersOfKey: 1}},
		{Op: Unlock, UID: "u", Tokens: tokens},
		{Op: Extend, UID: "u", Tokens: tokens, Exp: time.Millisecond},
		{Op: Extend, UID: "u", Exp: time.Millisecond},
		{Op: Extend, UID: "u", Exp: time.Millisecond, Tokens: []holdfast.Token{}},
		{Op: Cancel, Place: 1 << 40, Seen: 9},
		{Op: TakeBack, UID: "u", Tokens: tokens, Seen: 3},
		{Op: Expire, Ended: []Owned{{UID: "u", Token: tokens[0]}, {UID: "v", Token: tokens[1]}}, Seen: 12345678},
		{Op: Force, Key: "a/b", Reason: "stuck"},
		{Op: Raise, Floor: holdfast.VersionEnd - 1},
	}
}

func TestACommandReadsBackAsItWas(t *testing.T) {
	for _, cmd := range everyCommand() {
		got, err := ReadCommand(AppendCommand(nil, cmd))
		if err != nil || !reflect.DeepEqual(got, cmd) {
			t.Errorf("%s: %v\nwrote %+v\nread  %+v", cmd.Op, err, cmd, got)
		}
	}
}

func TestACommandOfAnUnknownKindIsAnError(t *testing.T) {
	for _, op := range []Op{0, Raise + 1} {
		if _, err := ReadCommand(AppendCommand(nil, &Command{Op: op, UID: "u"})); err == nil {
			t.Errorf("op %d was read", op)
		}
	}
}

// What is not whole is an error wherever it breaks off: a machine that reads
// something else than the others must stop.
func TestABrokenCommandIsAnError(t *testing.T) {
	broken := []byte{0x0a} // a string follows, but nothing does
	inside := func(fields ...protowire.Number) []byte {
		b := broken
		for _, field := range fields {
			b = protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), b)
		}
		return b
	}
	for name, b := range map[string][]byte{
		"in a tag":            {0x80},
		"in a number":         {0x08, 0x80},
		"in a string":         {0x12, 2, 'u'},
		"in a fixed number":   {0x0d, 1, 2, 3},
		"a group without end": {0x0b},
		"in an ask":           inside(3),
		"in a token":          inside(7),
		"in a hold":           inside(9),
		"in a hold's token":   inside(2, 9),
	} {
		whole := AppendCommand(nil, &Command{Op: Raise, Floor: 1})
		if cmd, err := ReadCommand(append(whole, b...)); err == nil {
			t.Errorf("%s: read as %+v", name, cmd)
		}
	}
}

// Fields may be added: a reader of today passes over them.
func TestAFieldOfLaterIsPassedOver(t *testing.T) {
	cmd := &Command{Op: Unlock, UID: "u", Tokens: []holdfast.Token{{Key: "x", Version: 1}}}
	b := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 7)
	b = protowire.AppendString(protowire.AppendTag(b, 100, protowire.BytesType), "new")
	b = append(b, AppendCommand(nil, cmd)...)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 1, protowire.Fixed32Type), 9)
	b = protowire.AppendFixed64(protowire.AppendTag(b, 2, protowire.Fixed64Type), 9)
	if got, err := ReadCommand(b); err != nil || !reflect.DeepEqual(got, cmd) {
		t.Errorf("read %+v, %v", got, err)
	}
}

func FuzzReadCommand(f *testing.F) {
	for _, cmd := range everyCommand() {
		f.Add(AppendCommand(nil, cmd))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cmd, err := ReadCommand(b)
		if err != nil {
			return
		}
		once := AppendCommand(nil, cmd)
		again, err := ReadCommand(once)
		if err != nil || !reflect.DeepEqual(AppendCommand(nil, again), once) {
			t.Fatalf("%v\n%+v\n%+v", err, cmd, again)
		}
	})
}
