package raftstore

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
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

// readWritten reads a segment as far as it has been written to: the rest, most
// of it usually, is zeros that were there before.
func readWritten(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	const piece = 1 << 20 // more than a write that was cut off leaves out
	var written []byte
	next, zeros := make([]byte, piece), make([]byte, piece)
	for {
		n, err := io.ReadFull(file, next)
		if n > 0 && !bytes.Equal(next[:n], zeros[:n]) {
			written = append(written, next[:n]...)
			continue
		}
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, err
		}
		return written, nil
	}
}

// writes are those at the beginning of a segment that are whole.
type writes struct {
	end     int // of the last one
	entries int // in all of them
	index   int // where the index begins that the last one has, since it has made the segment full; 0 if it has none
}

// committed gives the writes before which all are whole.
func committed(segment []byte) writes {
	var all writes
	for at := min(segmentHeader, len(segment)); ; at = all.end {
		next := write(segment, all.end, at)
		if next.end == 0 {
			return all
		}
		next.entries += all.entries
		all = next
	}
}

// write gives the write whose first frame stands at at, if it is whole. Its
// checksum begins at from.
func write(segment []byte, from, at int) writes {
	var w writes
	for at+frameHeader <= len(segment) {
		word := binary.LittleEndian.Uint32(segment[at+4:])
		switch binary.LittleEndian.Uint32(segment[at:]) {
		case frameCommit:
			if crc32.Checksum(segment[from:at], castagnoli) != word {
				return writes{}
			}
			w.end = at + frameHeader
			return w
		case frameEntry:
			w.entries++
		case frameIndex:
			w.index = at + frameHeader
		default:
			return writes{}
		}
		at += frameHeader + (int(word)+7)/8*8
	}
	return writes{}
}

// goesOn says whether there is a whole write behind those at the beginning. It was
// not begun before the one ahead of it was on disk: so that one was damaged later,
// and not cut off.
func goesOn(segment []byte, end int) bool {
	for at := end + frameHeader; at+frameHeader <= len(segment); at += frameHeader {
		if kind := segment[at]; (kind == frameEntry || kind == frameIndex) && write(segment, at, at).end > 0 {
			return true
		}
	}
	return false
}
