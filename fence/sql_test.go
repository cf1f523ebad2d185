package fence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	_ "modernc.org/sqlite"

	"holdfast"
	"holdfast/fence"
)

// onEach runs a test on both databases. They have the table of fence.Schema, a
// row of data that carries its version, and a log of what was written.
func onEach(t *testing.T, test func(t *testing.T, db *sql.DB)) {
	t.Run("sqlite", func(t *testing.T) { test(t, prepared(t, openSQLite(t))) })
	t.Run("postgres", func(t *testing.T) { test(t, prepared(t, openPostgres(t))) })
}

func openSQLite(t *testing.T) *sql.DB {
	t.Helper()
	file := filepath.Join(t.TempDir(), "data.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func prepared(t *testing.T, db *sql.DB) *sql.DB {
	t.Helper()
	run(t, db, fence.Schema)
	run(t, db, fence.Schema) // it may be run again
	run(t, db, `CREATE TABLE invoice (id bigint PRIMARY KEY, total bigint NOT NULL, version bigint NOT NULL)`)
	run(t, db, `CREATE TABLE written (key text NOT NULL, place bigint NOT NULL, version bigint NOT NULL, PRIMARY KEY (key, place))`)
	return db
}

func run(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func number(t testing.TB, db *sql.DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// put writes the total of invoice 1 in a fenced transaction.
func put(ctx context.Context, db *sql.DB, opts *sql.TxOptions, total int, shown ...holdfast.Token) error {
	return fence.DoTx(ctx, db, opts, shown, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO invoice (id, total, version) VALUES (1, $1, 0)
			ON CONFLICT (id) DO UPDATE SET total = excluded.total`, total)
		return err
	})
}

func wantTotal(t testing.TB, db *sql.DB, wanted int64) {
	t.Helper()
	if total := number(t, db, `SELECT total FROM invoice WHERE id = 1`); total != wanted {
		t.Errorf("the total is %d; want %d", total, wanted)
	}
}

func TestATransactionOfAnOlderVersionChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		want(t, "the old owner, in time", put(t.Context(), db, nil, 50, token("a", 5)), nil)
		want(t, "the new owner", put(t.Context(), db, nil, 70, token("a", 7)), nil)
		want(t, "the latecomer", put(t.Context(), db, nil, 60, token("a", 6)), fence.ErrStale)
		wantTotal(t, db, 70)
		want(t, "the new owner again", put(t.Context(), db, nil, 71, token("a", 7)), nil)
		want(t, "another key", put(t.Context(), db, nil, 1, token("b", holdfast.VersionEnd-1)), nil)
		wantTotal(t, db, 1)
	})
}

func TestATransactionRemembersAllVersionsOrNone(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		want(t, "b", put(t.Context(), db, nil, 1, token("b", 5)), nil)
		want(t, "a and b", put(t.Context(), db, nil, 2, token("a", 4), token("b", 4)), fence.ErrStale)
		wantTotal(t, db, 1)
		want(t, "a, not remembered at 4", put(t.Context(), db, nil, 3, token("a", 3)), nil)

		failure := errors.New("changed my mind")
		err := fence.DoTx(t.Context(), db, nil, tokens(token("a", 9)), func(*sql.Tx) error { return failure })
		want(t, "a function that fails", err, failure)
		want(t, "a, not remembered at 9", put(t.Context(), db, nil, 4, token("a", 8)), nil)
	})
}

func TestATransactionRefusesMalformedTokens(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		for what, shown := range malformed {
			wantInvalid(t, what, put(t.Context(), db, nil, 1, shown...))
		}
	})
}

func TestADatabaseThatFailsIsNotTakenForALatecomer(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		run(t, db, `DROP TABLE holdfast_fence`)
		err := put(t.Context(), db, nil, 1, token("a", 1))
		if err == nil || errors.Is(err, fence.ErrStale) {
			t.Errorf("without the table: %v", err)
		}
		if err := fence.Exec(t.Context(), db, token("a", 1), `UPDATE nothing SET x = 1`); err == nil || errors.Is(err, fence.ErrStale) {
			t.Errorf("a statement that is wrong: %v", err)
		}
		db.Close()
		if err := put(t.Context(), db, nil, 1, token("a", 1)); err == nil || errors.Is(err, fence.ErrStale) {
			t.Errorf("a closed database: %v", err)
		}
	})
}

const (
	update = `UPDATE invoice SET total = $1, version = $2 WHERE id = $3 AND version <= $2`
	upsert = `INSERT INTO invoice (id, total, version) VALUES ($3, $1, $2)
		ON CONFLICT (id) DO UPDATE SET total = excluded.total, version = excluded.version
		WHERE invoice.version <= excluded.version`
)

func TestAStatementOfAnOlderVersionChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		exec := func(statement string, total, version int) error {
			return fence.Exec(t.Context(), db, token("invoice/1", uint64(version)), statement, total, version, 1)
		}
		want(t, "an update where no row is", exec(update, 10, 1), fence.ErrStale)
		for _, statement := range []string{upsert, update} {
			run(t, db, `DELETE FROM invoice`)
			want(t, "the first", exec(upsert, 50, 5), nil)
			want(t, "the new owner", exec(statement, 70, 7), nil)
			want(t, "the latecomer", exec(statement, 60, 6), fence.ErrStale)
			wantTotal(t, db, 70)
			want(t, "the new owner again", exec(statement, 71, 7), nil)
			wantTotal(t, db, 71)
		}
	})
}

// The token of a key that somebody does not hold has version 0: not older than
// that of a row that nobody has written yet.
func TestAStatementRefusesAMalformedToken(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		run(t, db, `INSERT INTO invoice (id, total, version) VALUES (1, 10, 0)`)
		for what, shown := range malformed {
			if len(shown) != 1 {
				continue
			}
			for _, statement := range []string{update, upsert} {
				wantInvalid(t, what, fence.Exec(t.Context(), db, shown[0], statement, 20, int64(shown[0].Version), 1))
				wantTotal(t, db, 10)
			}
		}
	})
}

// again says whether a transaction has only to be begun again: PostgreSQL does
// not let it go on beside the other one.
func again(err error) bool {
	e, is := errors.AsType[*pgconn.PgError](err)
	return is && (e.Code == "40001" || e.Code == "40P01")
}

// Owners write at once, with versions old and new, one or two keys each, in any
// order: whoever writes a key after another one has a version not older.
func TestWhatTransactionsWriteNeverGoesBack(t *testing.T) {
	hammer := func(db *sql.DB, opts *sql.TxOptions) func(*testing.T) {
		return func(t *testing.T) {
			run(t, db, `DELETE FROM written`)
			run(t, db, `DELETE FROM holdfast_fence`)
			var last, passed, refused, repeated atomic.Uint64
			last.Store(6)
			var all sync.WaitGroup
			for worker := range 6 {
				all.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(worker), 2))
					for range 40 {
						version := last.Add(1) - rng.Uint64N(6)
						shown := tokens(token("a", version), token("b", version), token("c", version))
						rng.Shuffle(3, func(i, j int) { shown[i], shown[j] = shown[j], shown[i] })
						shown = shown[:1+rng.IntN(2)]
						err := appendVersions(t.Context(), db, opts, shown)
						for again(err) {
							repeated.Add(1)
							err = appendVersions(t.Context(), db, opts, shown)
						}
						switch {
						case err == nil:
							passed.Add(1)
						case errors.Is(err, fence.ErrStale):
							refused.Add(1)
						default:
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			t.Logf("%d passed, %d were refused, %d begun again", passed.Load(), refused.Load(), repeated.Load())
			if passed.Load() == 0 || refused.Load() == 0 {
				t.Errorf("%d passed and %d were refused: the test shows nothing", passed.Load(), refused.Load())
			}
			wantInOrder(t, db)
		}
	}
	t.Run("sqlite", hammer(prepared(t, openSQLite(t)), nil))
	db := prepared(t, openPostgres(t))
	for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
		t.Run("postgres/"+level.String(), hammer(db, &sql.TxOptions{Isolation: level}))
	}
}

// appendVersions writes each key's version behind what was written for it before. The
// place it reads is right only if nobody else writes the key meanwhile.
func appendVersions(ctx context.Context, db *sql.DB, opts *sql.TxOptions, shown []holdfast.Token) error {
	return fence.DoTx(ctx, db, opts, shown, func(tx *sql.Tx) error {
		for _, token := range shown {
			_, err := tx.ExecContext(ctx, `INSERT INTO written (key, place, version)
				SELECT $1, coalesce(max(place), 0) + 1, $2 FROM written WHERE key = $1`, token.Key, int64(token.Version))
			if err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
		return nil
	})
}

func wantInOrder(t *testing.T, db *sql.DB) {
	t.Helper()
	rows, err := db.Query(`SELECT key, version FROM written ORDER BY key, place`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	written := make(map[string][]uint64)
	for rows.Next() {
		var w holdfast.Token
		if err := rows.Scan(&w.Key, &w.Version); err != nil {
			t.Fatal(err)
		}
		written[w.Key] = append(written[w.Key], w.Version)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for key, versions := range written {
		if !slices.IsSorted(versions) {
			t.Errorf("key %s was written in the order %d", key, versions)
		}
	}
}

// Whoever writes without this package takes the statements from the book. They
// stand in the same table.
func TestTheStatementsOfTheBook(t *testing.T) {
	text, err := os.ReadFile("../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```text\n(CREATE TABLE .*?)\n\n(INSERT .*?)\n```").FindSubmatch(text)
	if found == nil || string(found[1]) != fence.Schema {
		t.Fatalf("the book has the statements %q", found)
	}
	onEach(t, func(t *testing.T, db *sql.DB) {
		want(t, "version 5 with the package", put(t.Context(), db, nil, 1, token("invoice/1", 5)), nil)
		for version, rows := range map[int]int64{4: 0, 5: 1} {
			result, err := db.Exec(string(found[2]), "invoice/1", version)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := result.RowsAffected(); n != rows || err != nil {
				t.Errorf("version %d changed %d rows, %v", version, n, err)
			}
		}
		run(t, db, string(found[2]), "invoice/1", 6)
		want(t, "version 5 after 6", put(t.Context(), db, nil, 1, token("invoice/1", 5)), fence.ErrStale)
	})
}
