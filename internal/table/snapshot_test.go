package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

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
	if _, err := Read(bytes.NewReader(append(bytes.Clone(good), 0))); !errors.Is(err, ErrDamaged) {
		t.Fatalf("added at the end: %v", err)
	}
	for _, end := range []int{20, len(good)} {
		failing := io.MultiReader(bytes.NewReader(good[:end]), iotest{os.ErrDeadlineExceeded})
		if _, err := Read(failing); errors.Is(err, ErrDamaged) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a reader that fails at %d: %v", end, err)
		}
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

// sealed gives a snapshot of these records, with a checksum that fits.
func sealed(records ...[]byte) []byte { return sealedAs(magic, records...) }

func sealedAs(magic string, records ...[]byte) []byte {
	b := []byte(magic)
	for _, record := range records {
		b = protowire.AppendBytes(b, record)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// A table trusts what is in it, so what no table can have written is refused
// although its checksum fits.
func TestASnapshotThatMakesNoSenseIsRefused(t *testing.T) {
	header := func(version, place, holds, requests uint64) []byte {
		var b []byte
		for i, n := range []uint64{version, place, holds, requests} {
			b = appendUint(b, protowire.Number(i+1), n)
		}
		return b
	}
	held := func(change func(*holdfast.Hold)) []byte {
		h := &hold{Hold: holdfast.Hold{Key: "x", UID: "a", Version: 5, Exp: time.Second}}
		change(&h.Hold)
		return appendHold(nil, h)
	}
	asked := func(change func(*request)) []byte {
		r := &request{place: 3, uid: "b", asks: holdfast.Keys("x", "y"), exp: time.Second}
		change(r)
		return appendRequest(nil, r)
	}
	hold, other := held(func(*holdfast.Hold) {}), held(func(h *holdfast.Hold) { h.Key = "y" })
	waiter := asked(func(*request) {})
	if table, err := Read(bytes.NewReader(sealed(header(5, 3, 2, 1), hold, other, waiter))); err != nil || table.Holds() != 2 || table.Waiters() != 1 {
		t.Fatalf("what makes sense: %v", err)
	}
	padded := func(length int) []byte { // a header with a field of later
		b := protowire.AppendTag(header(5, 3, 0, 0), 99, protowire.BytesType)
		return protowire.AppendBytes(b, make([]byte, length-len(b)-protowire.SizeVarint(maxRecord)))
	}
	if _, err := Read(bytes.NewReader(sealed(padded(maxRecord)))); err != nil {
		t.Fatalf("a record as long as may be: %v", err)
	}
	within := func(record, field []byte) []byte { // the record with a field 9, or 3, more
		number := protowire.Number(9)
		if bytes.Equal(record, waiter) {
			number = 3
		}
		return protowire.AppendBytes(protowire.AppendTag(bytes.Clone(record), number, protowire.BytesType), field)
	}
	broken := []byte{0x80}
	for name, bad := range map[string][]byte{
		"a hold of the future":        sealed(header(4, 3, 1, 0), hold),
		"holds in the wrong order":    sealed(header(5, 3, 2, 0), other, hold),
		"a hold twice":                sealed(header(5, 3, 2, 0), hold, hold),
		"a hold of no key":            sealed(header(5, 3, 1, 0), held(func(h *holdfast.Hold) { h.Key = "" })),
		"a hold of nobody":            sealed(header(5, 3, 1, 0), held(func(h *holdfast.Hold) { h.UID = "" })),
		"a hold that does not live":   sealed(header(5, 3, 1, 0), held(func(h *holdfast.Hold) { h.Exp = 0 })),
		"a limit on exclusive":        sealed(header(5, 3, 1, 0), held(func(h *holdfast.Hold) { h.Limit = 1 })),
		"a note too long":             sealed(header(5, 3, 1, 0), held(func(h *holdfast.Hold) { h.Note = strings.Repeat("n", holdfast.MaxNote+1) })),
		"a prior hold's prior hold":   sealed(header(5, 3, 1, 0), within(hold, within(hold, hold))),
		"a broken hold":               sealed(header(5, 3, 1, 0), append(hold, broken...)),
		"a broken prior hold":         sealed(header(5, 3, 1, 0), within(hold, broken)),
		"a place of the future":       sealed(header(5, 2, 0, 1), waiter),
		"places in the wrong order":   sealed(header(5, 3, 0, 2), waiter, asked(func(r *request) { r.place, r.uid = 2, "c" })),
		"a place twice":               sealed(header(5, 3, 0, 2), waiter, asked(func(r *request) { r.uid = "c" })),
		"a request for nothing":       sealed(header(5, 3, 0, 1), asked(func(r *request) { r.asks = nil })),
		"a request for a key twice":   sealed(header(5, 3, 0, 1), asked(func(r *request) { r.asks = holdfast.Keys("x", "x") })),
		"a request for no life":       sealed(header(5, 3, 0, 1), asked(func(r *request) { r.exp = 0 })),
		"a broken request":            sealed(header(5, 3, 0, 1), append(waiter, broken...)),
		"a request with a broken ask": sealed(header(5, 3, 0, 1), within(waiter, append(appendAsk(nil, &holdfast.Ask{Key: "z"}), broken...))),
		"a broken header":             sealed(broken),
		"fewer holds than it says":    sealed(header(5, 3, 2, 0), hold),
		"more holds than can be":      sealed(header(5, 3, math.MaxUint64, 0), hold),
		"more requests than can be":   sealed(header(5, 3, 0, math.MaxUint64), waiter),
		"a record too long":           sealed(padded(maxRecord + 1)),
		"a length that is no number":  sealedAs(magic + strings.Repeat("\xff", binary.MaxVarintLen64)),
		"another version":             sealedAs("HOLDFST\x02", header(5, 3, 0, 0)),
	} {
		if _, err := Read(bytes.NewReader(bad)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

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
