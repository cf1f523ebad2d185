package table

import (
	"reflect"
	"testing"
	"time"

	"holdfast"
)

func everyCommand() []*Command {
	asks := []holdfast.Ask{{Key: "a/b", Mode: holdfast.Shared, Limit: 300}, {Key: "☂"}}
	tokens := []holdfast.Token{{Key: "a/b", Version: holdfast.VersionEnd - 1}, {Key: "☂", Version: 1}}
	return []*Command{
		{Op: Lock, UID: "u", Keys: asks, Exp: holdfast.MaxExp, Note: "why", Wait: true},
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
