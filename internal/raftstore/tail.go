package raftstore

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"os"
)

// The frames of a segment of the log, as raft-wal writes them: a header of 8
// bytes, whose first four are the kind and whose last four are the length of
// what follows, padded to 8 bytes; or, for a commit, the CRC-32C of all since
// the last commit. Before the first frame stand 32 bytes about the segment.
const (
	segmentHeader = 32
	frameHeader   = 8

	frameEntry  = 1
	frameIndex  = 2
	frameCommit = 3
)

// writes are those at the beginning of a segment that are whole.
type writes struct {
	end     int // of the last one
	entries int // in all of them
	index   int // where the index begins that the last one has, since it has made the segment full; 0 if it has none
}

// lookThrough gives the writes of a segment that are whole, and what stands behind
// them.
func lookThrough(name string) (all writes, rest []byte, err error) {
	file, err := os.Open(name)
	if err != nil {
		return all, nil, err
	}
	defer file.Close()
	if all, err = committed(file); err != nil {
		return all, nil, err
	}
	rest, err = readWritten(io.NewSectionReader(file, int64(all.end), math.MaxInt64-int64(all.end)))
	return all, rest, err
}

// committed gives the writes of a segment before which all are whole. It keeps
// little of the segment in memory.
func committed(segment io.Reader) (all writes, err error) {
	r := bufio.NewReaderSize(segment, 64<<10)
	sum, at := uint32(0), 0
	if sum, err = pass(r, sum, segmentHeader); err == nil {
		at = segmentHeader
	}
	for err == nil {
		var next writes
		if next, err = write(r, sum); err != nil || next.end == 0 {
			break
		}
		if next.index > 0 {
			next.index += at
		}
		at += next.end
		all = writes{end: at, entries: all.entries + next.entries, index: next.index}
		sum = 0
	}
	if err == io.EOF {
		err = nil
	}
	return all, err
}

// write gives the write that comes next, with places counted from its beginning:
// none if it is not whole, and io.EOF if its end is missing. Sum is the checksum of
// what belongs to it and stands before its first frame.
func write(r *bufio.Reader, sum uint32) (w writes, err error) {
	for at := 0; ; {
		header, err := r.Peek(frameHeader)
		if err != nil {
			return writes{}, err
		}
		word := binary.LittleEndian.Uint32(header[4:])
		switch binary.LittleEndian.Uint32(header) {
		case frameCommit:
			if sum != word {
				return writes{}, nil
			}
			w.end = at + frameHeader
			_, err = r.Discard(frameHeader)
			return w, err
		case frameEntry:
			w.entries++
		case frameIndex:
			w.index = at + frameHeader
		default:
			return writes{}, nil
		}
		length := frameHeader + (int(word)+7)/8*8
		if sum, err = pass(r, sum, length); err != nil {
			return writes{}, err
		}
		at += length
	}
}

// pass passes over some bytes, and adds them to a checksum.
func pass(r *bufio.Reader, sum uint32, length int) (uint32, error) {
	for length > 0 {
		b, err := r.Peek(min(length, r.Size()))
		if err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, b)
		length -= len(b)
		r.Discard(len(b))
	}
	return sum, nil
}

// readWritten reads on in a segment as far as it has been written to: the rest, most
// of it usually, is zeros that were there before.
func readWritten(segment io.Reader) (written []byte, err error) {
	const piece = 1 << 20
	next, zeros := make([]byte, piece), make([]byte, piece)
	for gap := 0; ; {
		n, err := io.ReadFull(segment, next)
		if bytes.Equal(next[:n], zeros[:n]) {
			gap += n
		} else {
			written = append(append(written, make([]byte, gap)...), next[:n]...)
			gap = 0
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return written, nil
		default:
			return nil, err
		}
	}
}

// goesOn says whether there is a whole write in what stands behind those at the
// beginning. It was not begun before the one ahead of it was on disk: so that one was
// damaged later, and not cut off.
func goesOn(rest []byte) bool {
	r := bufio.NewReader(nil)
	for at := frameHeader; at+frameHeader <= len(rest); at += frameHeader {
		if kind := rest[at]; kind != frameEntry && kind != frameIndex {
			continue
		}
		r.Reset(bytes.NewReader(rest[at:]))
		if w, err := write(r, 0); err == nil && w.end > 0 {
			return true
		}
	}
	return false
}
