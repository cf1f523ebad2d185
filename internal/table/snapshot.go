package table

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/encoding/protowire"

	"holdfast"
)

// A snapshot is written as
//
//	magic  8 bytes, the last of which is the version of the format
//	record, record, …  each a varint with its length and a protobuf message:
//	    first  Header { uint64 version = 1; uint64 place = 2; uint64 holds = 3; uint64 requests = 4; uint64 applied = 5; }
//	    then   each Hold, ordered by key and uid
//	    then   each Request, ordered by place; see codec.go for both
//	check  4 bytes, CRC-32C of all before, little endian
//
// A reader skips fields that it does not know.
const magic = "HOLDFST\x01"

// maxRecord is more than any record of a legal request needs, in bytes.
const maxRecord = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged says that bytes are not what a Snapshot wrote.
var ErrDamaged = errors.New("the snapshot is damaged")

// Snapshot is the state of a table at one moment. It may be written out in
// another goroutine while the table goes on: taking it costs the same
// whatever the table holds, and the table copies what it changes afterwards.
type Snapshot struct {
	version, place, applied uint64
	holds                   *btree.BTreeG[*hold]
	requests                *btree.BTreeG[*request]
}

// Snapshot takes a snapshot.
func (t *Table) Snapshot() *Snapshot {
	return &Snapshot{version: t.version, place: t.place, applied: t.applied, holds: t.byKey.Copy(), requests: t.requests.Copy()}
}

// WriteTo writes the snapshot out and says how many bytes that were.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &checkedWriter{to: bufio.NewWriterSize(w, 1<<16), sum: crc32.New(castagnoli)}
	out.write([]byte(magic))
	var record []byte
	record = appendUint(record, 1, s.version)
	record = appendUint(record, 2, s.place)
	record = appendUint(record, 3, uint64(s.holds.Len()-1)) // without nobody
	record = appendUint(record, 4, uint64(s.requests.Len()))
	record = appendUint(record, 5, s.applied)
	out.record(record)
	s.holds.Scan(func(h *hold) bool {
		if h == &nobody {
			return true
		}
		record = appendHold(record[:0], h)
		return out.record(record)
	})
	s.requests.Scan(func(r *request) bool {
		record = appendRequest(record[:0], r)
		return out.record(record)
	})
	out.write(binary.LittleEndian.AppendUint32(nil, out.sum.Sum32()))
	if out.err == nil {
		out.err = out.to.Flush()
	}
	return out.n, out.err
}

type checkedWriter struct {
	to  *bufio.Writer
	sum hash.Hash32
	n   int64
	err error
}

func (w *checkedWriter) write(b []byte) {
	if w.err == nil {
		w.sum.Write(b)
		_, w.err = w.to.Write(b)
		w.n += int64(len(b))
	}
}

func (w *checkedWriter) record(b []byte) bool {
	var length [binary.MaxVarintLen64]byte
	w.write(protowire.AppendVarint(length[:0], uint64(len(b))))
	w.write(b)
	return w.err == nil
}

// Read gives the table that a snapshot was taken of. What is not a whole and
// undamaged snapshot answers an error that wraps [ErrDamaged]; a failing r
// its own error.
func Read(r io.Reader) (*Table, error) {
	in := &checkedReader{from: bufio.NewReaderSize(r, 1<<16), sum: crc32.New(castagnoli)}
	if head := in.read(len(magic)); string(head) != magic {
		return nil, in.damaged("it does not begin as one of a known version")
	}
	var version, place, holds, requests, applied uint64
	in.record(func(f field) error {
		switch f.number {
		case 1:
			version = f.value
		case 2:
			place = f.value
		case 3:
			holds = f.value
		case 4:
			requests = f.value
		case 5:
			applied = f.value
		}
		return nil
	})
	t := New(version)
	t.place, t.applied = place, applied
	for ; holds > 0 && in.err == nil; holds-- {
		in.hold(t)
	}
	for ; requests > 0 && in.err == nil; requests-- {
		in.request(t)
	}
	sum := in.sum.Sum32()
	if tail := in.read(4); in.err == nil && binary.LittleEndian.Uint32(tail) != sum {
		return nil, in.damaged("its checksum does not fit")
	}
	if in.err != nil {
		return nil, in.damaged("")
	}
	// Of two backups in one file the first is the older one.
	switch _, err := in.from.ReadByte(); err {
	case io.EOF:
		return t, nil
	case nil:
		return nil, in.damaged("there is more behind its end")
	default:
		return nil, err
	}
}

type checkedReader struct {
	from *bufio.Reader
	sum  hash.Hash32
	buf  []byte
	err  error
}

// read gives the next n bytes, valid until the next read; nil after an error.
func (in *checkedReader) read(n int) []byte {
	if in.err != nil {
		return nil
	}
	if cap(in.buf) < n {
		in.buf = make([]byte, n)
	}
	in.buf = in.buf[:n]
	if _, in.err = io.ReadFull(in.from, in.buf); in.err != nil {
		return nil
	}
	in.sum.Write(in.buf)
	return in.buf
}

// damaged makes an error of what went wrong. A reader that failed for reasons
// of its own has not shown damage.
func (in *checkedReader) damaged(how string) error {
	switch {
	case in.err == nil:
		return fmt.Errorf("%w: %s", ErrDamaged, how)
	case errors.Is(in.err, io.EOF), errors.Is(in.err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends too early", ErrDamaged)
	}
	return in.err
}

// record reads one record and yields its fields.
func (in *checkedReader) record(each func(field) error) {
	length, err := binary.ReadUvarint(byteReader{in})
	if err != nil {
		if in.err == nil {
			in.err = fmt.Errorf("%w: a length that is no number", ErrDamaged)
		}
		return
	}
	if length > maxRecord {
		in.err = fmt.Errorf("%w: a record of %d bytes", ErrDamaged, length)
		return
	}
	if b := in.read(int(length)); in.err == nil {
		if err := fields(b, each); err != nil {
			in.err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
}

type byteReader struct{ in *checkedReader }

func (r byteReader) ReadByte() (byte, error) {
	if b := r.in.read(1); r.in.err == nil {
		return b[0], nil
	}
	return 0, r.in.err
}

func (in *checkedReader) hold(t *Table) {
	h := &hold{}
	in.record(func(f field) error { return readHold(h, f) })
	last, _ := t.byKey.Max()
	if in.legal(h.UID, []holdfast.Ask{{Key: h.Key, Mode: h.Mode, Limit: h.Limit}}, h.Exp, h.Note) &&
		in.fits(h.Version <= t.version && keyThenUID(last, h)) {
		t.put(h)
	}
}

func (in *checkedReader) request(t *Table) {
	r := &request{}
	in.record(func(f field) error { return readRequest(r, f) })
	last, some := t.requests.Max()
	if in.legal(r.uid, r.asks, r.exp, r.note) &&
		in.fits(r.place <= t.place && (!some || last.place < r.place)) {
		t.stand(r)
	}
}

// legal holds what was read against the rules for requests: a table trusts
// what is in it.
func (in *checkedReader) legal(uid string, asks []holdfast.Ask, exp time.Duration, note string) bool {
	if in.err != nil {
		return false
	}
	normal, err := holdfast.LockRequest{UID: uid, Keys: asks, Exp: exp, Note: note}.Normal()
	if err != nil {
		in.err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err == nil && in.fits(normal.Exp == exp && len(normal.Keys) == len(asks))
}

func (in *checkedReader) fits(ok bool) bool {
	if in.err == nil && !ok {
		in.err = fmt.Errorf("%w: a record does not fit the ones before it", ErrDamaged)
	}
	return in.err == nil
}
