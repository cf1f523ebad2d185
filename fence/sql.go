package fence

import (
	"context"
	"database/sql"
	"fmt"

	"holdfast"
)

// Schema creates the table that [DoTx] and [CheckTx] use, if it is not there:
// one row for each key ever shown, with the newest version. It stands in the
// database of the data that it guards; run it once, or put it among your
// migrations. No row may be deleted: the key would be open to the latecomer.
const Schema = `CREATE TABLE IF NOT EXISTS holdfast_fence (
	key text PRIMARY KEY,
	version bigint NOT NULL
)`

// pass changes no row if the version is older than the newest seen. Otherwise
// the row is written, even when it stays as it is, and so locked until the
// transaction ends: whoever comes with another version waits.
const pass = `INSERT INTO holdfast_fence (key, version) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET version = excluded.version
WHERE holdfast_fence.version <= excluded.version`

// CheckTx makes the check a part of tx: it remembers the versions in the table
// of [Schema], or answers [ErrStale] when one is older than the newest seen for
// its key. After an error roll tx back. Once it has passed, no other version of
// these keys passes until tx ends, and what tx writes is fenced. When tx is
// rolled back, the versions are forgotten along with the rest.
//
// Call it first in the transaction, once, with all tokens: what is read before
// it may be out of date. It works on SQLite and PostgreSQL at every isolation
// level. Where the level is higher than read committed, PostgreSQL may make one
// of two transactions fail with a serialization failure (SQLSTATE 40001); begin
// that one again. On SQLite begin with a write lock (for modernc.org/sqlite
// _txlock=immediate) and a busy timeout.
//
// Malformed tokens, and no tokens, are refused with [holdfast.CodeInvalid].
// Other errors are the database's, wrapped.
func CheckTx(ctx context.Context, tx *sql.Tx, tokens ...holdfast.Token) error {
	tokens, err := normal(tokens)
	if err != nil {
		return err
	}
	for _, token := range tokens {
		if err := exec(ctx, tx, token, pass, token.Key, int64(token.Version)); err != nil {
			return err
		}
	}
	return nil
}

// DoTx runs fn in a transaction that begins with [CheckTx], and commits when fn
// succeeds. It answers what CheckTx or fn answered, after a rollback, or the
// error of the database. opts may be nil. fn must not end tx itself.
func DoTx(ctx context.Context, db *sql.DB, opts *sql.TxOptions, tokens []holdfast.Token, fn func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("fence: begin: %w", err)
	}
	defer tx.Rollback() // changes nothing after a commit
	if err := CheckTx(ctx, tx, tokens...); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("fence: commit: %w", err)
	}
	return nil
}

// Exec runs a statement that writes a row which carries its own version, and
// answers [ErrStale] when it changed no row. It needs no table of ours, and is
// one statement, so db may be a [*sql.DB] as well as a [*sql.Tx] or [*sql.Conn].
// The statement must compare the versions and write the new one:
//
//	UPDATE invoice SET total = $1, version = $2 WHERE id = $3 AND version <= $2
//
// An update changes no row either when the row is not there. Where it may be
// missing, insert it:
//
//	INSERT INTO invoice (id, total, version) VALUES ($3, $1, $2)
//	ON CONFLICT (id) DO UPDATE SET total = excluded.total, version = excluded.version
//	WHERE invoice.version <= excluded.version
//
// A row must always be written in the name of the same key, and not be deleted:
// its version goes with it, and a latecomer could insert it again. Mark it as
// deleted instead, or use [CheckTx]. Rows that are older than their column need a
// version too, since nothing compares with NULL:
//
//	ALTER TABLE invoice ADD COLUMN version bigint NOT NULL DEFAULT 0
//
// A malformed token, such as one of a key that is not held, is refused with
// [holdfast.CodeInvalid]. Other errors are the database's, wrapped; see CheckTx on
// isolation levels.
func Exec(ctx context.Context, db execer, token holdfast.Token, query string, args ...any) error {
	if _, err := normal([]holdfast.Token{token}); err != nil {
		return err
	}
	return exec(ctx, db, token, query, args...)
}

func exec(ctx context.Context, db execer, token holdfast.Token, query string, args ...any) error {
	result, err := db.ExecContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("fence: key %q: %w", token.Key, err)
	}
	changed, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("fence: key %q: %w", token.Key, err)
	}
	if changed == 0 {
		return &staleError{token: token}
	}
	return nil
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}
