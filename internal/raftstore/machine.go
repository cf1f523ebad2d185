package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/encoding/protowire"

	"holdfast/internal/table"
)

// An entry of the log is
//
//	1 byte     version of the format: 1
//	8 bytes    the life of the process that wrote it, at random
//	uvarint    number of the batch in that life
//	commands   each a uvarint with its length and a message; see table.AppendCommand
//	4 bytes    CRC-32C of all before, little endian
const entryVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *Store) encode(b *batch) []byte {
	entry := append(make([]byte, 0, 64+128*len(b.proposals)), entryVersion)
	entry = binary.LittleEndian.AppendUint64(entry, s.disk.life)
	entry = binary.AppendUvarint(entry, b.number)
	var message []byte
	for _, p := range b.proposals {
		message = table.AppendCommand(message[:0], &p.cmd)
		entry = protowire.AppendBytes(entry, message)
	}
	return binary.LittleEndian.AppendUint32(entry, crc32.Checksum(entry, castagnoli))
}

// header gives who wrote an entry, and the commands in it, still encoded.
func header(entry []byte) (life, number uint64, commands []byte, err error) {
	if len(entry) > 0 && entry[0] > entryVersion {
		return 0, 0, nil, fmt.Errorf("it is of format %d; a newer version of holdfast has written it: start that one", entry[0])
	}
	body := len(entry) - 4
	if body < 9 || crc32.Checksum(entry[:body], castagnoli) != binary.LittleEndian.Uint32(entry[body:]) {
		return 0, 0, nil, errors.New("its checksum does not fit")
	}
	number, n := binary.Uvarint(entry[9:body])
	if n <= 0 {
		return 0, 0, nil, errors.New("it has no number")
	}
	return binary.LittleEndian.Uint64(entry[1:]), number, entry[9+n : body], nil
}

// decode gives the commands behind the header of an entry.
func decode(encoded []byte) ([]*table.Command, error) {
	var commands []*table.Command
	for len(encoded) > 0 {
		message, n := protowire.ConsumeBytes(encoded)
		if n < 0 {
			return nil, errors.New("it ends in the middle of a command")
		}
		encoded = encoded[n:]
		cmd, err := table.ReadCommand(message)
		if err != nil {
			return nil, err
		}
		commands = append(commands, cmd)
	}
	return commands, nil
}

// machine is the state machine under raft. Raft calls Apply, Snapshot and
// Restore from one goroutine, and Persist from another beside Apply.
type machine struct{ s *Store }

// Apply carries out an entry. The commands of this process are taken as they
// were proposed; what others wrote, or an earlier life, is decoded.
//
// An entry that cannot be understood stops the process: going on without it
// would make this table another one than everybody else's. What is on disk
// was looked through at the start (see disk.check); this is for what another
// node sends.
func (m machine) Apply(entry *raft.Log) any {
	life, number, encoded, err := header(entry.Data)
	if err == nil && life == m.s.disk.life {
		if b, ok := m.s.batches.Load(number); ok && b.(*batch).take() {
			m.carryOut(b.(*batch))
			return nil
		}
	}
	var commands []*table.Command
	if err == nil {
		commands, err = decode(encoded)
	}
	if err != nil {
		panic(fmt.Sprintf("entry %d of the log cannot be carried out: %v", entry.Index, err))
	}
	for _, cmd := range commands {
		m.s.keeper.Follow(cmd)
	}
	return nil
}

// carryOut carries out the commands of this process. If it does not lead any
// more, another one may have begun the lives of holds before, and by now they
// may be over: whoever asks for them has to ask there. To wake those who asked
// takes as long as the commands, and need not keep the next entry waiting.
func (m machine) carryOut(b *batch) {
	leads := m.s.raft.State() == raft.Leader
	answers := make([]answer, len(b.proposals))
	for i, p := range b.proposals {
		switch {
		case leads:
			answers[i].result = m.s.keeper.Apply(&p.cmd)
		case p.cmd.Op == table.Lock || p.cmd.Op == table.Extend:
			m.s.keeper.Follow(&p.cmd)
			answers[i].err = errUnknown(nil, "this node does not lead any more")
		default:
			answers[i].result = m.s.keeper.Finish(&p.cmd)
		}
	}
	reply := func() {
		for i, p := range b.proposals {
			m.s.reply(p, answers[i])
		}
		b.landed()
	}
	if len(answers) < many {
		reply()
	} else {
		m.s.done.Go(reply)
	}
}

// Snapshot takes a snapshot in no time at all; see table.Snapshot.
func (m machine) Snapshot() (raft.FSMSnapshot, error) {
	return snapshot{m.s.keeper.Snapshot(), m.s.disk.log.covered()}, nil
}

// Restore goes on with the table of a snapshot.
func (m machine) Restore(from io.ReadCloser) error {
	defer from.Close()
	t, err := table.Read(from)
	if err != nil {
		return err
	}
	m.s.keeper.Replace(t)
	return nil
}

type snapshot struct {
	*table.Snapshot
	covered func() // says that it is on disk
}

// Persist writes the snapshot out beside the running table.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.WriteTo(&unhurried{sink, time.Now()}); err != nil {
		sink.Cancel()
		return err
	}
	if err := sink.Close(); err != nil {
		return err
	}
	s.covered()
	return nil
}

// Release has nothing to do: memory that nobody uses is collected.
func (s snapshot) Release() {}

// unhurried rests after each piece that is written for as long as that took, so
// that a processor and the disk are there for locks half of the time. There is
// no hurry with a snapshot.
type unhurried struct {
	io.Writer
	began time.Time // with the piece, which had to be made first
}

func (u *unhurried) Write(piece []byte) (int, error) {
	n, err := u.Writer.Write(piece)
	time.Sleep(time.Since(u.began))
	u.began = time.Now()
	return n, err
}
