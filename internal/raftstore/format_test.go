package raftstore

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"holdfast"
	"holdfast/internal/keeper"
	"holdfast/internal/table"
)

var writeFormat = flag.Bool("write-format", false, "write testdata/format1 anew; only before a format is released")

// TestTheFirstFormatIsStillRead replays a log and a snapshot that the first
// version wrote. Nodes of two versions run side by side during a rolling
// upgrade, and directories outlive binaries, so this must go on to pass.
func TestTheFirstFormatIsStillRead(t *testing.T) {
	dir := filepath.Join("testdata", "format1")
	if *writeFormat {
		writeFormat1(t, dir)
	}
	want := kept(t, dir, "state.txt")

	fromLog := newMachine()
	for log := kept(t, dir, "log.bin"); len(log) > 0; {
		length, n := binary.Uvarint(log)
		fromLog.Apply(&raft.Log{Index: 1, Data: log[n : n+int(length)]})
		log = log[n+int(length):]
	}
	if got := stateOf(fromLog); got != string(want) {
		t.Errorf("from the log:\n%s\nnot:\n%s", got, want)
	}

	fromSnapshot := newMachine()
	if err := fromSnapshot.Restore(nopCloser{bytes.NewReader(kept(t, dir, "snapshot.bin"))}); err != nil {
		t.Fatal(err)
	}
	if got := stateOf(fromSnapshot); got != string(want) {
		t.Errorf("from the snapshot:\n%s\nnot:\n%s", got, want)
	}
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

func newMachine() machine {
	return machine{&Store{keeper: keeper.New(0), disk: &disk{life: 1}}}
}

// stateOf shows everything in the table that outlives a process.
func stateOf(m machine) string {
	var b bytes.Buffer
	m.s.keeper.Snapshot().WriteTo(&b)
	t, err := table.Read(&b)
	if err != nil {
		return err.Error()
	}
	page, _ := t.List("", "", "", false, 1000)
	out := fmt.Sprintf("version %d, applied %d\n", t.Version(), t.Applied())
	for _, key := range page {
		out += fmt.Sprintf("%s\n", key.Key)
		for _, h := range key.Holds {
			out += fmt.Sprintf("  %s %s limit %d version %d exp %v note %q\n", h.UID, h.Mode, h.Limit, h.Version, h.Exp, h.Note)
		}
		for _, w := range key.Waiters {
			out += fmt.Sprintf("  place %d %s %s limit %d note %q\n", w.Place, w.UID, w.Mode, w.Limit, w.Note)
		}
	}
	return out
}

func kept(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writeFormat1 writes a history with every kind of command in it.
func writeFormat1(t *testing.T, dir string) {
	shared := []holdfast.Ask{{Key: "pool", Mode: holdfast.Shared, Limit: 2}, {Key: "docs/☂", Mode: holdfast.Shared}}
	lock := func(uid string, wait bool, keys ...holdfast.Ask) *table.Command {
		return &table.Command{Op: table.Lock, UID: uid, Keys: keys, Exp: time.Minute, Note: "note of " + uid, Wait: wait}
	}
	const born = 1_700_000_000_000_000
	token := func(key string, n uint64) []holdfast.Token {
		return []holdfast.Token{{Key: key, Version: born + n}}
	}
	history := [][]*table.Command{
		{{Op: table.Raise, Floor: born}},
		{lock("ann", false, holdfast.Keys("x", "y")...), lock("bob", true, holdfast.Keys("x")...), lock("cid", true, holdfast.Keys("x", "z")...)},
		{lock("dan", false, shared...), lock("eve", false, shared...), lock("fay", true, shared...)},
		{lock("dan", true, holdfast.Keys("docs/☂")...), {Op: table.Extend, UID: "ann", Exp: time.Hour}},
		{{Op: table.Unlock, UID: "ann", Tokens: token("x", 1)}, {Op: table.TakeBack, UID: "bob", Tokens: token("x", 4), Seen: 100}},
		{{Op: table.Extend, UID: "eve", Tokens: token("pool", 3), Exp: 2 * time.Minute}, {Op: table.Cancel, Place: 3, Seen: 100}},
		{{Op: table.Expire, Ended: []table.Owned{{UID: "ann", Token: token("y", 1)[0]}}, Seen: 100}, lock("gus", false, holdfast.Keys("free")...)},
		{{Op: table.Force, Key: "free", Reason: "to have one"}, lock("hal", true, holdfast.Keys("z")...)},
	}
	m := newMachine()
	var log []byte
	for i, commands := range history {
		b := &batch{number: uint64(i)}
		for _, cmd := range commands {
			b.proposals = append(b.proposals, &proposal{cmd: *cmd})
		}
		entry := m.s.encode(b)
		log = append(binary.AppendUvarint(log, uint64(len(entry))), entry...)
		m.Apply(&raft.Log{Data: slices.Clone(entry)})
	}
	var snapshot bytes.Buffer
	if _, err := m.s.keeper.Snapshot().WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"log.bin": log, "snapshot.bin": snapshot.Bytes(), "state.txt": []byte(stateOf(m))} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzEntry is for what another node may send, or a disk give back: no
// panic, and what has a fitting checksum is understood or refused.
func FuzzEntry(f *testing.F) {
	m := newMachine()
	for _, op := range []table.Op{table.Lock, table.Raise} {
		f.Add(m.s.encode(&batch{number: 7, proposals: []*proposal{{cmd: table.Command{Op: op, UID: "u", Keys: holdfast.Keys("k")}}}}))
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		_, _, encoded, err := header(entry)
		if err == nil {
			decode(encoded)
		}
		decode(entry)
	})
}
