package raftstore

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// The frames of a segment of the log, as raft-wal writes them: a header of 8
// bytes, whose first one is the kind and whose last four are the length of
// what follows, padded to 8 bytes; or, for a commit, the CRC-32C of all since
// the last commit. Before the first frame stand 32 bytes about the segment.
const (
	segmentHeader = 32
	frameHeader   = 8

	frameEntry  = 1
	frameIndex  = 2
	frameCommit = 3
)

// unfinished is how many bytes of the newest segment in a directory belong to
// a write that a crash has cut off. The log passes over them by itself: this
// is only there to say so.
func unfinished(logDir string) int {
	segments, err := filepath.Glob(filepath.Join(logDir, "*.wal"))
	if err != nil || len(segments) == 0 {
		return 0
	}
	b, err := readWritten(slices.Max(segments)) // their names begin with their first index
	if err != nil {
		return 0
	}
	return max(0, len(bytes.TrimRight(b, "\x00"))-committed(b))
}

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

// committed is where the last write that is whole ends in a segment.
func committed(segment []byte) int {
	end := 0
	for at := segmentHeader; at+frameHeader <= len(segment); {
		word := binary.LittleEndian.Uint32(segment[at+4:])
		switch segment[at] {
		case frameEntry, frameIndex:
			at += frameHeader + (int(word)+7)/8*8
		case frameCommit:
			if crc32.Checksum(segment[end:at], castagnoli) != word {
				return end
			}
			at += frameHeader
			end = at
		default:
			return end
		}
	}
	return end
}
