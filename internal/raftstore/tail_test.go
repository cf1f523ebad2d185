package raftstore

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// A whole write is found wherever a frame may begin, and only a whole one.
func TestAWholeWriteIsFoundBehindDamage(t *testing.T) {
	whole := make([]byte, 32)
	binary.LittleEndian.PutUint32(whole, frameEntry)
	binary.LittleEndian.PutUint32(whole[4:], 13) // of 16, with its padding
	copy(whole[frameHeader:], "thirteen byte")
	binary.LittleEndian.PutUint32(whole[24:], frameCommit)
	binary.LittleEndian.PutUint32(whole[28:], crc32.Checksum(whole[:24], castagnoli))
	for at := frameHeader; at <= 5*frameHeader; at += frameHeader {
		rest := append(bytes.Repeat([]byte{0xff}, at), whole...)
		if !goesOn(rest) {
			t.Errorf("at %d: not found", at)
		}
		for i := at; i < len(rest); i++ {
			if rest[i] ^= 1; goesOn(rest) {
				t.Errorf("at %d: with byte %d changed it is found", at, i-at)
			}
			rest[i] ^= 1
		}
	}
}

// What was written is read with the holes in it, however large, and without the zeros
// behind it.
func TestWhatWasWrittenIsReadWithItsHoles(t *testing.T) {
	file := make([]byte, 5<<20)
	copy(file, "one")
	copy(file[3<<20+5:], "two")
	written, err := readWritten(bytes.NewReader(file))
	if want := file[:3<<20+8]; err != nil || !bytes.Equal(bytes.TrimRight(written, "\x00"), want) {
		t.Errorf("%d bytes of %d, %v", len(written), len(want), err)
	}
}
