package raftstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// simDisk is the disk of a node. A write takes a while, and whoever waits for
// it goes on when it is synced. A crash before that moment leaves all of it or
// nothing, as the real log and files do.
type simDisk struct {
	mu      sync.Mutex
	rng     *rand.Rand
	synced  simKept
	pending map[*pending]struct{}

	slowest time.Duration // how long a write may take
	full    bool
	room    uint64 // the last entry of the log that there is room for; zero if there is for any
	keeps   bool   // it is full whenever entries are to be dropped

	forgets int // for a simulated disk that lies: how many synced entries a crash takes along
}

// simKept is what a disk holds. Entries, values and snapshots do not change once
// they are there.
type simKept struct {
	first, last uint64 // entries of the log; zero if there are none
	entries     map[uint64]*raft.Log
	values      map[string][]byte
	numbers     map[string]uint64
	snapshots   []simSnapshot // the newest first
}

type simSnapshot struct {
	meta raft.SnapshotMeta
	data []byte
}

// pending is a write that is not synced yet.
type pending struct{ change func(*simKept) }

const usualWrite = time.Millisecond

func newSimDisk(rng *rand.Rand) *simDisk {
	return &simDisk{
		rng:     rng,
		synced:  simKept{entries: map[uint64]*raft.Log{}, values: map[string][]byte{}, numbers: map[string]uint64{}},
		pending: map[*pending]struct{}{},
		slowest: usualWrite,
	}
}

// storage is the disk as a store uses it.
func (d *simDisk) storage(Options) (storage, error) {
	return storage{logs: d, stable: d, snapshots: d, close: func() error { return nil }}, nil
}

// afterCrash is the disk as the next life of the node finds it. This one is
// used by nobody else then.
func (d *simDisk) afterCrash() *simDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newSimDisk(rand.New(rand.NewPCG(d.rng.Uint64(), d.rng.Uint64())))
	next.full, next.room, next.slowest, next.forgets = d.full, d.room, d.slowest, d.forgets
	d.full, d.slowest = false, usualWrite // so that the old life can be put away
	next.synced = simKept{
		first: d.synced.first, last: d.synced.last, entries: maps.Clone(d.synced.entries),
		values: maps.Clone(d.synced.values), numbers: maps.Clone(d.synced.numbers), snapshots: slices.Clone(d.synced.snapshots),
	}
	for range d.forgets {
		if last := next.synced.last; last > next.synced.first {
			delete(next.synced.entries, last)
			next.synced.last--
		}
	}
	for w := range d.pending {
		if d.forgets == 0 && d.rng.IntN(2) == 0 {
			w.change(&next.synced)
		}
	}
	return next
}

// write makes a change, and comes back when it is synced.
func (d *simDisk) write(change func(*simKept)) error {
	d.mu.Lock()
	took := time.Duration(d.rng.Int64N(int64(d.slowest)))
	if d.full {
		d.mu.Unlock()
		time.Sleep(took)
		return syscall.ENOSPC
	}
	w := &pending{change}
	d.pending[w] = struct{}{}
	d.mu.Unlock()
	time.Sleep(took)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pending, w)
	change(&d.synced)
	return nil
}

// set changes how the disk is.
func (d *simDisk) set(change func(*simDisk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

func (d *simDisk) FirstIndex() (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.synced.first, nil
}

func (d *simDisk) LastIndex() (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.synced.last, nil
}

func (d *simDisk) GetLog(index uint64, entry *raft.Log) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, ok := d.synced.entries[index]
	if !ok {
		return raft.ErrLogNotFound
	}
	*entry = *found
	return nil
}

// IsMonotonic tells raft that the log knows no holes, as the real one does.
func (d *simDisk) IsMonotonic() bool { return true }

func (d *simDisk) StoreLog(entry *raft.Log) error { return d.StoreLogs([]*raft.Log{entry}) }

func (d *simDisk) StoreLogs(entries []*raft.Log) error {
	if last, _ := d.LastIndex(); last > 0 && entries[0].Index != last+1 {
		return fmt.Errorf("entry %d after %d", entries[0].Index, last)
	}
	d.mu.Lock()
	room := d.room
	d.mu.Unlock()
	if room > 0 && entries[len(entries)-1].Index > room {
		return syscall.ENOSPC
	}
	copies := make([]*raft.Log, len(entries))
	for i, entry := range entries {
		copied := *entry
		copies[i] = &copied
	}
	return d.write(func(k *simKept) {
		for _, entry := range copies {
			if k.last == 0 {
				k.first = entry.Index
			}
			k.entries[entry.Index], k.last = entry, entry.Index
		}
	})
}

func (d *simDisk) DeleteRange(from, to uint64) error {
	d.mu.Lock()
	keeps := d.keeps
	d.mu.Unlock()
	if keeps {
		return syscall.ENOSPC
	}
	return d.write(func(k *simKept) {
		// The log may have become another one since the range was chosen: a
		// snapshot of this node drops entries beside one that comes from the leader.
		first, last := max(from, k.first), min(to, k.last)
		for index := first; index <= last; index++ {
			delete(k.entries, index)
		}
		switch {
		case len(k.entries) == 0:
			k.first, k.last = 0, 0
		case first > last:
		case first == k.first:
			k.first = last + 1
		default:
			k.last = first - 1
		}
	})
}

var errNotFound = errors.New("not found") // as raft's other stores say it

func (d *simDisk) Set(key, value []byte) error {
	value = bytes.Clone(value)
	return d.write(func(k *simKept) { k.values[string(key)] = value })
}

func (d *simDisk) Get(key []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	value, ok := d.synced.values[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return value, nil
}

func (d *simDisk) SetUint64(key []byte, value uint64) error {
	return d.write(func(k *simKept) { k.numbers[string(key)] = value })
}

func (d *simDisk) GetUint64(key []byte) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	value, ok := d.synced.numbers[string(key)]
	if !ok {
		return 0, errNotFound
	}
	return value, nil
}

func (d *simDisk) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &simSink{disk: d, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d-%d", term, index, time.Now().UnixNano()), Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}, nil
}

func (d *simDisk) List() ([]*raft.SnapshotMeta, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var metas []*raft.SnapshotMeta
	for _, s := range d.synced.snapshots {
		metas = append(metas, &s.meta)
	}
	return metas, nil
}

func (d *simDisk) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.synced.snapshots {
		if s.meta.ID == id {
			return &s.meta, io.NopCloser(bytes.NewReader(s.data)), nil
		}
	}
	return nil, nil, errNotFound
}

// simSink takes a snapshot, which is there when Close is synced.
type simSink struct {
	bytes.Buffer
	disk *simDisk
	meta raft.SnapshotMeta
	over bool
}

func (s *simSink) ID() string    { return s.meta.ID }
func (s *simSink) Cancel() error { s.over = true; return nil }

func (s *simSink) Close() error {
	if s.over {
		return nil
	}
	s.over = true
	s.meta.Size = int64(s.Len())
	taken := simSnapshot{s.meta, s.Bytes()}
	return s.disk.write(func(k *simKept) {
		k.snapshots = append(k.snapshots, taken)
		slices.SortStableFunc(k.snapshots, func(a, b simSnapshot) int {
			if a.meta.Term != b.meta.Term {
				return int(b.meta.Term) - int(a.meta.Term)
			}
			return int(b.meta.Index) - int(a.meta.Index)
		})
		k.snapshots = slices.Clone(k.snapshots[:min(2, len(k.snapshots))])
	})
}

// The simulated log drops what the real one does, also when it has become another
// one since the range was chosen.
func TestSimulatedLogDropsAsTheRealOne(t *testing.T) {
	for _, drop := range [][2]uint64{{1, 36}, {1, 99}, {1, 100}, {90, 102}, {100, 104}, {100, 109}, {105, 109}, {105, 200}, {1, 200}, {110, 120}, {109, 105}} {
		real, err := openDir(Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer real.close()
		var bounds [2][2]uint64
		for i, log := range []raft.LogStore{real.logs, newSimDisk(rand.New(rand.NewPCG(1, 1)))} {
			for index := uint64(100); index < 110; index++ {
				if err := log.StoreLog(&raft.Log{Index: index, Term: 1}); err != nil {
					t.Fatal(err)
				}
			}
			if err := log.DeleteRange(drop[0], drop[1]); err != nil {
				t.Fatal(err)
			}
			first, _ := log.FirstIndex()
			last, _ := log.LastIndex()
			bounds[i] = [2]uint64{first, last}
			if first > 0 {
				for _, index := range bounds[i] {
					if err := log.GetLog(index, &raft.Log{}); err != nil {
						t.Errorf("dropping %v: entry %d of %v: %v", drop, index, bounds[i], err)
					}
				}
			}
		}
		if bounds[0] != bounds[1] {
			t.Errorf("dropping %v leaves %v, and %v in the simulation", drop, bounds[0], bounds[1])
		}
	}
}
