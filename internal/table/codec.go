package table

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"holdfast"
)

// Commands, holds and requests are written as protobuf messages, by hand:
//
//	message Ask     { string key = 1; uint32 mode = 2; uint64 limit = 3; }
//	message Token   { string key = 1; uint64 version = 2; }
//	message Owned   { string uid = 1; Token token = 2; }
//	message Hold    { string key = 1; string uid = 2; uint32 mode = 3; uint64 limit = 4; uint64 version = 5; uint64 exp_ms = 6;
//	                  string note = 7; uint64 touched = 8; Hold prior = 9; }
//	message Request { uint64 place = 1; string uid = 2; repeated Ask asks = 3; uint64 exp_ms = 4; string note = 5; uint64 asked = 6; }
//	message Command { uint32 op = 1; string uid = 2; repeated Ask keys = 3; uint64 exp_ms = 4; string note = 5; bool wait = 6;
//	                  repeated Token tokens = 7; bool no_tokens = 8; repeated Owned ended = 9; uint64 seen = 10;
//	                  uint64 place = 11; string key = 12; string reason = 13; uint64 floor = 14;
//	                  uint64 max_holds = 15; uint64 max_holds_of_uid = 16; uint64 max_waiters_of_uid = 17; uint64 max_waiters_of_key = 18; }
//
// A reader skips fields that it does not know, so that fields can be added.
// A command of a kind that it does not know is an error: a machine that
// cannot carry out what the others do must stop.

// AppendCommand appends the command's message to b.
func AppendCommand(b []byte, cmd *Command) []byte {
	b = appendUint(b, 1, uint64(cmd.Op))
	b = appendString(b, 2, cmd.UID)
	for i := range cmd.Keys {
		b = appendMessage(b, 3, func(b []byte) []byte { return appendAsk(b, &cmd.Keys[i]) })
	}
	b = appendUint(b, 4, uint64(cmd.Exp.Milliseconds()))
	b = appendString(b, 5, cmd.Note)
	b = appendBool(b, 6, cmd.Wait)
	for i := range cmd.Tokens {
		b = appendMessage(b, 7, func(b []byte) []byte { return appendToken(b, &cmd.Tokens[i]) })
	}
	b = appendBool(b, 8, cmd.Tokens != nil && len(cmd.Tokens) == 0)
	for i := range cmd.Ended {
		b = appendMessage(b, 9, func(b []byte) []byte {
			b = appendString(b, 1, cmd.Ended[i].UID)
			return appendMessage(b, 2, func(b []byte) []byte { return appendToken(b, &cmd.Ended[i].Token) })
		})
	}
	b = appendUint(b, 10, cmd.Seen)
	b = appendUint(b, 11, cmd.Place)
	b = appendString(b, 12, cmd.Key)
	b = appendString(b, 13, cmd.Reason)
	b = appendUint(b, 14, cmd.Floor)
	b = appendUint(b, 15, uint64(cmd.Limits.Holds))
	b = appendUint(b, 16, uint64(cmd.Limits.HoldsOfUID))
	b = appendUint(b, 17, uint64(cmd.Limits.WaitersOfUID))
	return appendUint(b, 18, uint64(cmd.Limits.WaitersOfKey))
}

// ReadCommand reads what AppendCommand wrote. The command keeps nothing of
// b.
func ReadCommand(b []byte) (*Command, error) {
	cmd := &Command{}
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			cmd.Op = Op(f.value)
		case 2:
			cmd.UID = string(f.bytes)
		case 3:
			ask, err := readAsk(f.bytes)
			cmd.Keys = append(cmd.Keys, ask)
			return err
		case 4:
			cmd.Exp = millis(f.value)
		case 5:
			cmd.Note = string(f.bytes)
		case 6:
			cmd.Wait = f.value != 0
		case 7:
			token, err := readToken(f.bytes)
			cmd.Tokens = append(cmd.Tokens, token)
			return err
		case 8:
			cmd.Tokens = []holdfast.Token{}
		case 9:
			owned, err := readOwned(f.bytes)
			cmd.Ended = append(cmd.Ended, owned)
			return err
		case 10:
			cmd.Seen = f.value
		case 11:
			cmd.Place = f.value
		case 12:
			cmd.Key = string(f.bytes)
		case 13:
			cmd.Reason = string(f.bytes)
		case 14:
			cmd.Floor = f.value
		case 15:
			cmd.Limits.Holds = int(f.value)
		case 16:
			cmd.Limits.HoldsOfUID = int(f.value)
		case 17:
			cmd.Limits.WaitersOfUID = int(f.value)
		case 18:
			cmd.Limits.WaitersOfKey = int(f.value)
		}
		return nil
	})
	if err == nil && (cmd.Op < Lock || cmd.Op > Raise) {
		err = fmt.Errorf("a command of an unknown kind: %d", cmd.Op)
	}
	return cmd, err
}

func appendAsk(b []byte, ask *holdfast.Ask) []byte {
	b = appendString(b, 1, ask.Key)
	b = appendUint(b, 2, uint64(ask.Mode))
	return appendUint(b, 3, uint64(ask.Limit))
}

func readAsk(b []byte) (ask holdfast.Ask, err error) {
	err = fields(b, func(f field) error {
		switch f.number {
		case 1:
			ask.Key = string(f.bytes)
		case 2:
			ask.Mode = holdfast.Mode(f.value)
		case 3:
			ask.Limit = int(f.value)
		}
		return nil
	})
	return ask, err
}

func appendToken(b []byte, token *holdfast.Token) []byte {
	return appendUint(appendString(b, 1, token.Key), 2, token.Version)
}

func readToken(b []byte) (token holdfast.Token, err error) {
	err = fields(b, func(f field) error {
		switch f.number {
		case 1:
			token.Key = string(f.bytes)
		case 2:
			token.Version = f.value
		}
		return nil
	})
	return token, err
}

func readOwned(b []byte) (owned Owned, err error) {
	err = fields(b, func(f field) (err error) {
		switch f.number {
		case 1:
			owned.UID = string(f.bytes)
		case 2:
			owned.Token, err = readToken(f.bytes)
		}
		return err
	})
	return owned, err
}

func appendHold(b []byte, h *hold) []byte {
	b = appendString(b, 1, h.Key)
	b = appendString(b, 2, h.UID)
	b = appendUint(b, 3, uint64(h.Mode))
	b = appendUint(b, 4, uint64(h.Limit))
	b = appendUint(b, 5, h.Version)
	b = appendUint(b, 6, uint64(h.Exp.Milliseconds()))
	b = appendString(b, 7, h.Note)
	b = appendUint(b, 8, h.touched)
	if h.prior != nil {
		b = appendMessage(b, 9, func(b []byte) []byte { return appendHold(b, &hold{Hold: *h.prior}) })
	}
	return b
}

func readHold(h *hold, f field) error {
	switch f.number {
	case 1:
		h.Key = string(f.bytes)
	case 2:
		h.UID = string(f.bytes)
	case 3:
		h.Mode = holdfast.Mode(f.value)
	case 4:
		h.Limit = int(f.value)
	case 5:
		h.Version = f.value
	case 6:
		h.Exp = millis(f.value)
	case 7:
		h.Note = string(f.bytes)
	case 8:
		h.touched = f.value
	case 9:
		var prior hold
		h.prior = &prior.Hold
		return fields(f.bytes, func(f field) error {
			if f.number == 9 {
				return errField // a prior hold has none of its own
			}
			return readHold(&prior, f)
		})
	}
	return nil
}

func appendRequest(b []byte, r *request) []byte {
	b = appendUint(b, 1, r.place)
	b = appendString(b, 2, r.uid)
	for i := range r.asks {
		b = appendMessage(b, 3, func(b []byte) []byte { return appendAsk(b, &r.asks[i]) })
	}
	b = appendUint(b, 4, uint64(r.exp.Milliseconds()))
	b = appendString(b, 5, r.note)
	return appendUint(b, 6, r.asked)
}

func readRequest(r *request, f field) error {
	switch f.number {
	case 1:
		r.place = f.value
	case 2:
		r.uid = string(f.bytes)
	case 3:
		ask, err := readAsk(f.bytes)
		r.asks = append(r.asks, ask)
		return err
	case 4:
		r.exp = millis(f.value)
	case 5:
		r.note = string(f.bytes)
	case 6:
		r.asked = f.value
	}
	return nil
}

func millis(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }

// appendUint, appendBool and appendString leave zero values out, as proto3
// does.
func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendBool(b []byte, field protowire.Number, v bool) []byte {
	return appendUint(b, field, protowire.EncodeBool(v))
}

func appendString(b []byte, field protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// appendMessage appends a message in a message. Its length is not known
// before it is written, so it is moved by the bytes that the length takes.
func appendMessage(b []byte, field protowire.Number, message func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	start := len(b)
	b = message(b)
	length := len(b) - start
	b = append(b, make([]byte, protowire.SizeVarint(uint64(length)))...)
	copy(b[len(b)-length:], b[start:start+length])
	protowire.AppendVarint(b[:start], uint64(length))
	return b
}

// field is one field of a message: bytes or a number.
type field struct {
	number protowire.Number
	bytes  []byte
	value  uint64
}

var errField = errors.New("not a message")

// fields yields the fields of a message. Those of other types than string,
// message and varint are skipped.
func fields(b []byte, each func(field) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errField
		}
		b = b[n:]
		f := field{number: number}
		switch kind {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			f.number = 0
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return errField
		}
		b = b[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}
