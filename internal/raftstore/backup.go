package raftstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/raft"

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

// Restore makes a new data directory, of a single node, with what a backup
// holds. Its versions go on beyond all that the lost history can have given:
// from the larger of the wall clock's microseconds and the last version in
// the backup + 2^40. Every hold has its full exp again when the store is
// opened.
func Restore(ctx context.Context, backup io.Reader, options Options) error {
	b, err := io.ReadAll(backup)
	if err != nil {
		return fmt.Errorf("the backup cannot be read: %w", err)
	}
	t, err := table.Read(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("the backup cannot be used: %w", err)
	}
	if err := mustBeNew(options.Dir); err != nil {
		return err
	}
	s, err := Open(ctx, options)
	if err != nil {
		return err
	}
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Size: int64(len(b))}
	err = s.raft.Restore(meta, bytes.NewReader(b), 0)
	if err == nil {
		floor := max(uint64(time.Now().UnixMicro()), t.Version()+lostVersions)
		_, err = s.propose(ctx, &table.Command{Op: table.Raise, Floor: floor})
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return fmt.Errorf("the backup cannot be restored: %w", err)
	}
	return nil
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
