package fence_test

import (
	"context"
	"database/sql"
	"testing"

	"holdfast"
	"holdfast/fence"
)

// Two transactions on PostgreSQL at once, step by step: one has passed and is
// not over when the other one comes. At each level of isolation, for a key that
// is new to the table and for one that is not, through the table and through a
// row with its own version.

// side is one way to write invoice 1 in a transaction.
type side struct {
	name  string
	first func(t *testing.T, db *sql.DB) // what was there before, at version 1
	write func(ctx context.Context, tx *sql.Tx, total int, shown holdfast.Token) error
}

var sides = []side{
	{"a new key", func(*testing.T, *sql.DB) {}, viaTable},
	{"a known key", func(t *testing.T, db *sql.DB) {
		want(t, "the first", put(t.Context(), db, nil, 1, token("a", 1)), nil)
	}, viaTable},
	{"a new row", func(*testing.T, *sql.DB) {}, viaRow(upsert)},
	{"a known row, upserted", firstRow, viaRow(upsert)},
	{"a known row, updated", firstRow, viaRow(update)},
}

func firstRow(t *testing.T, db *sql.DB) {
	run(t, db, `INSERT INTO invoice (id, total, version) VALUES (1, 1, 1)`)
}

func viaTable(ctx context.Context, tx *sql.Tx, total int, shown holdfast.Token) error {
	if err := fence.CheckTx(ctx, tx, shown); err != nil {
		return err
	}
	_, err := tx.Exec(upsert, total, 0, 1)
	return err
}

func viaRow(statement string) func(context.Context, *sql.Tx, int, holdfast.Token) error {
	return func(ctx context.Context, tx *sql.Tx, total int, shown holdfast.Token) error {
		return fence.Exec(ctx, tx, shown, statement, total, shown.Version, 1)
	}
}

// meet lets the first transaction write, the second one come, wait for the
// first, and then the first one end. It gives what the second one was told.
func meet(t *testing.T, db *sql.DB, s side, opts *sql.TxOptions, first, second uint64, end func(*sql.Tx) error) error {
	t.Helper()
	begin := func() *sql.Tx {
		tx, err := db.BeginTx(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		// The snapshot of the higher levels is taken now.
		if _, err := tx.Exec(`SELECT count(*) FROM invoice`); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	a, b := begin(), begin()
	defer a.Rollback()
	defer b.Rollback()
	want(t, "the first to come", s.write(t.Context(), a, int(first), token("a", first)), nil)

	told := make(chan error, 1)
	go func() {
		err := s.write(t.Context(), b, int(second), token("a", second))
		if err == nil {
			err = b.Commit()
		}
		told <- err
	}()
	eventually(t, "the second waits for the first", func() bool {
		return number(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	})
	want(t, "the end of the first", end(a), nil)
	return <-told
}

func TestTwoTransactionsAtOnce(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
				opts := &sql.TxOptions{Isolation: level}
				t.Run(level.String(), func(t *testing.T) {
					t.Run("the latecomer is refused", func(t *testing.T) {
						db := prepared(t, openPostgres(t))
						s.first(t, db)
						err := meet(t, db, s, opts, 7, 5, (*sql.Tx).Commit)
						if level != sql.LevelReadCommitted {
							if !again(err) {
								t.Errorf("the latecomer: %v; want a serialization failure", err)
							}
							err = anew(t, db, s, opts, 5)
						}
						want(t, "the latecomer", err, fence.ErrStale)
						wantTotal(t, db, 7)
					})
					t.Run("the newer passes after the older", func(t *testing.T) {
						db := prepared(t, openPostgres(t))
						s.first(t, db)
						err := meet(t, db, s, opts, 5, 7, (*sql.Tx).Commit)
						if level != sql.LevelReadCommitted {
							if !again(err) {
								t.Errorf("the newer: %v; want a serialization failure", err)
							}
							err = anew(t, db, s, opts, 7)
						}
						want(t, "the newer", err, nil)
						wantTotal(t, db, 7)
					})
					t.Run("what was rolled back was not seen", func(t *testing.T) {
						db := prepared(t, openPostgres(t))
						s.first(t, db)
						want(t, "the older", meet(t, db, s, opts, 7, 5, (*sql.Tx).Rollback), nil)
						wantTotal(t, db, 5)
					})
				})
			}
		})
	}
}

// anew writes in a transaction begun again.
func anew(t *testing.T, db *sql.DB, s side, opts *sql.TxOptions, version uint64) error {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := s.write(t.Context(), tx, int(version), token("a", version)); err != nil {
		return err
	}
	return tx.Commit()
}
