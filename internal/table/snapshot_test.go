package table

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"testing"
	"time"

	"holdfast"
)

// busy gives a table with something of everything in it.
func busy() *Table {
	t := New(41)
	asks := []holdfast.Ask{{Key: "pool", Mode: holdfast.Shared, Limit: 3}, {Key: "x"}}
	t.Apply(&Command{Op: Lock, UID: "ann", Keys: asks, Exp: 1500 * time.Millisecond, Note: "why, \"so\" ☂"})
	t.Apply(&Command{Op: Lock, UID: "bob", Keys: asks[:1], Exp: holdfast.MaxExp})
	t.Apply(&Command{Op: Lock, UID: "cid", Keys: asks, Exp: time.Second, Wait: true, Note: "later"})
	t.Apply(&Command{Op: Lock, UID: "dan", Keys: holdfast.Keys("x"), Exp: time.Second, Wait: true})
	t.Apply(&Command{Op: Cancel, Place: 2, Seen: 100})
	return t
}

func written(tb testing.TB, t *Table) []byte {
	tb.Helper()
	var b bytes.Buffer
	n, err := t.Snapshot().WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		tb.Fatalf("wrote %d of %d bytes: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func TestASnapshotReadsBackAsItWas(t *testing.T) {
	before := busy()
	bytesBefore := written(t, before)
	after, err := Read(bytes.NewReader(bytesBefore))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written(t, after), bytesBefore) {
		t.Fatal("another snapshot")
	}
	for _, table := range []*Table{before, after} {
		out := table.Apply(&Command{Op: Unlock, UID: "ann", Tokens: []holdfast.Token{{Key: "x", Version: 42}}})
		if len(out.Grants) != 1 || out.Grants[0].Place != 1 || out.Grants[0].Tokens[0].Version != 44 {
			t.Fatalf("%+v", out)
		}
		if out := table.Apply(&Command{Op: Lock, UID: "eve", Keys: holdfast.Keys("x"), Wait: true}); out.Place != 3 {
			t.Fatalf("%+v", out)
		}
	}
}

// A snapshot is of one moment, whatever the table does while it is written.
func TestASnapshotStandsStill(t *testing.T) {
	table := busy()
	want := written(t, table)
	snapshot := table.Snapshot()
	done := make(chan []byte)
	go func() {
		var b bytes.Buffer
		for range 50 {
			b.Reset()
			snapshot.WriteTo(&b)
		}
		done <- b.Bytes()
	}()
	for i := range 2000 {
		uid := fmt.Sprint("u", i%7)
		table.Apply(&Command{Op: Lock, UID: uid, Keys: holdfast.Keys(fmt.Sprint("k", i%50), "x"), Exp: time.Second, Wait: i%2 == 0})
		table.Apply(&Command{Op: Lock, UID: "cid", Keys: []holdfast.Ask{{Key: "pool", Mode: holdfast.Shared, Limit: 3}, {Key: "x"}}, Wait: true, Note: fmt.Sprint(i)})
		table.Apply(&Command{Op: Extend, UID: "ann", Exp: time.Duration(i) * time.Second})
	}
	if got := <-done; !bytes.Equal(got, want) {
		t.Fatal("the snapshot has changed")
	}
}

// Every single byte that is cut off, changed or added is found out.
func TestADamagedSnapshotIsRefused(t *testing.T) {
	good := written(t, busy())
	for i := range good {
		if _, err := Read(bytes.NewReader(good[:i])); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := Read(bytes.NewReader(bad)); !errors.Is(err, ErrDamaged) {
			t.Fatalf("changed at %d: %v", i, err)
		}
	}
	failing := io.MultiReader(bytes.NewReader(good[:20]), iotest{os.ErrDeadlineExceeded})
	if _, err := Read(failing); errors.Is(err, ErrDamaged) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a reader that fails: %v", err)
	}
}

type iotest struct{ err error }

func (r iotest) Read([]byte) (int, error) { return 0, r.err }

func TestASnapshotThatCannotBeWrittenSaysSo(t *testing.T) {
	if _, err := busy().Snapshot().WriteTo(full{}); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }

// The checksum catches damage; this looks at what a reader does with a
// snapshot that has a fitting one and makes no sense: it refuses it, or gives
// a table that writes the same again.
func FuzzRead(f *testing.F) {
	good := written(f, busy())
	f.Add(good[len(magic) : len(good)-4])
	empty := written(f, New(0))
	f.Add(empty[len(magic) : len(empty)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append([]byte(magic), body...)
		sum := crc32.Checksum(b, castagnoli)
		b = append(b, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
		table, err := Read(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		once := written(t, table)
		again, err := Read(bytes.NewReader(once))
		if err != nil {
			t.Fatalf("refuses what it wrote: %v", err)
		}
		if !bytes.Equal(written(t, again), once) {
			t.Fatal("writes something else the second time")
		}
	})
}
