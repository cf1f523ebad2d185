package raftstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/internal/keeper"
	"holdfast/internal/table"
)

// lostVersions is more than the versions that can have been given between a
// backup and the loss of what it was made of (rule 5).
const lostVersions = 1 << 40

// Backup writes the state as it is at some moment after the call; see
// [Store.Backup].
func (l Leading) Backup(ctx context.Context, w io.Writer) error {
	if err := (log{l.s}).Verify(ctx); err != nil {
		return err
	}
	_, err := l.s.keeper.Snapshot().WriteTo(w)
	return err
}

// BackupDir writes what the data directory of a store that does not run holds,
// in the same form. It is for a node of a cluster that has lost its majority:
// what the log ends with may never have been answered, and is taken for
// granted all the same.
func BackupDir(dir string, w io.Writer) error {
	// Opening makes what is missing, and a backup of nothing would be found out
	// too late.
	none := fmt.Errorf("%s is not a data directory with the state of a server", dir)
	switch _, err := os.Stat(filepath.Join(dir, "log")); {
	case errors.Is(err, os.ErrNotExist):
		return none
	case err != nil:
		return fmt.Errorf("the data directory cannot be read: %w", err)
	}
	s, err := replay(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if s.disk.last == 0 {
		return errors.Join(none, s.disk.close())
	}
	_, err = s.keeper.Snapshot().WriteTo(w)
	return errors.Join(err, s.disk.close())
}

// replay carries out all that a directory holds, on a store that does not run.
func replay(options Options) (*Store, error) {
	d, err := openDisk(options)
	if err != nil {
		return nil, err
	}
	s := &Store{options: options, keeper: keeper.New(0), disk: d}
	if err := s.replay(); err != nil {
		return nil, errors.Join(damaged(options.Dir, err), d.close())
	}
	return s, nil
}

func (s *Store) replay() error {
	newest, err := s.disk.newest()
	if err != nil {
		return err
	}
	var next uint64
	if newest != nil {
		t, err := s.disk.table(newest)
		if err != nil {
			return err
		}
		s.keeper.Replace(t)
		next = newest.Index + 1
	}
	return s.disk.each(next, func(entry *raft.Log) error {
		if entry.Type == raft.LogCommand {
			machine{s}.Apply(entry)
		}
		return nil
	})
}

// Restore makes a new data directory, of a single node, with what a backup
// holds. Its versions go on beyond all that the lost history can have given:
// from the larger of the wall clock's microseconds and the last version in
// the backup + 2^40. Every hold has its full exp again when the store is
// opened.
func Restore(ctx context.Context, backup io.Reader, options Options) error {
	t, err := table.Read(backup)
	if err != nil {
		return fmt.Errorf("the backup cannot be used: %w", err)
	}
	if err := mustBeNew(options.Dir); err != nil {
		return err
	}
	// In one step: a directory whose versions go on where the backup ended must
	// not be left behind.
	t.Apply(&table.Command{Op: table.Raise, Floor: max(uint64(time.Now().UnixMicro()), t.Version()+lostVersions)})
	var raised bytes.Buffer
	if _, err := t.Snapshot().WriteTo(&raised); err != nil {
		return err
	}
	// Nor a directory without what the backup holds, which is there from the first
	// moment on.
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return fmt.Errorf("the data directory cannot be made: %w", err)
	}
	mark := filepath.Join(options.Dir, restoringFile)
	if err := writeFile(mark, nil); err != nil {
		return fmt.Errorf("the data directory cannot be written: %w", err)
	}
	options.restoring = true
	s, err := Open(ctx, options)
	if err != nil {
		return err
	}
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Size: int64(raised.Len())}
	err = s.raft.Restore(meta, &raised, 0)
	if err = errors.Join(err, s.Close()); err == nil {
		err = errors.Join(os.Remove(mark), syncDir(options.Dir)) // a mark that came back would stop a later start
	}
	if err != nil {
		return fmt.Errorf("the backup cannot be restored: %w", err)
	}
	return nil
}

// restoringFile stands in a data directory until all that a backup holds is there.
const restoringFile = "restoring"

// mustBeRestored refuses a directory into which a restore did not come to its end.
func mustBeRestored(dir string) error {
	switch _, err := os.Stat(filepath.Join(dir, restoringFile)); {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR): // who makes it says why that cannot be
		return nil
	case err != nil:
		return fmt.Errorf("the data directory cannot be read: %w", err)
	}
	return fmt.Errorf("the restore into the data directory %s was not finished; remove it, and restore the backup again", dir)
}

// mustBeNew refuses a directory in which there is anything: a restore must
// not be mixed with another history.
func mustBeNew(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the data directory cannot be used: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("the data directory %s is not empty; restore into a new one", dir)
	}
	return nil
}
