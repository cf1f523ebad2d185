package fence_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"

	_ "modernc.org/sqlite"

	"holdfast"
	"holdfast/fence"
)

// The latecomer: the first owner pauses, its hold runs out, the next owner
// writes, and the first one goes on as if nothing had happened.
func Example() {
	ctx := context.Background()
	var guard fence.Guard // beside the resource, one for all who write it
	file := "empty"
	write := func(token holdfast.Token, text string) error {
		return guard.Do(ctx, []holdfast.Token{token}, func() error {
			file = text
			return nil
		})
	}

	// What the service granted, one hold after the other.
	first := holdfast.Token{Key: "report.txt", Version: 17}
	second := holdfast.Token{Key: "report.txt", Version: 18}

	fmt.Println("first: ", write(first, "written by the first"))
	// The first owner pauses here, longer than its hold lives.
	fmt.Println("second:", write(second, "written by the second"))
	fmt.Println("first: ", write(first, "written by the latecomer"))
	fmt.Println("file:  ", file)
	// Output:
	// first:  <nil>
	// second: <nil>
	// first:  key "report.txt": version 17 is older than the newest seen, 18
	// file:   written by the second
}

// A transaction that writes only if no newer owner has been seen. The same
// code runs on PostgreSQL.
func ExampleDoTx() {
	ctx := context.Background()
	db := exampleDB()
	defer db.Close()
	if _, err := db.Exec(fence.Schema); err != nil {
		panic(err)
	}
	pay := func(token holdfast.Token) error {
		return fence.DoTx(ctx, db, nil, []holdfast.Token{token}, func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE invoice SET total = total - 10 WHERE id = 2031`)
			return err
		})
	}
	fmt.Println(pay(holdfast.Token{Key: "invoice/2031", Version: 18}))
	fmt.Println(pay(holdfast.Token{Key: "invoice/2031", Version: 17}))
	fmt.Println(exampleTotal(db))
	// Output:
	// <nil>
	// key "invoice/2031": version 17 is older than the newest seen
	// 90
}

// One statement, for a row that carries its own version.
func ExampleExec() {
	ctx := context.Background()
	db := exampleDB()
	defer db.Close()
	set := func(total int, token holdfast.Token) error {
		return fence.Exec(ctx, db, token,
			`UPDATE invoice SET total = $1, version = $2 WHERE id = $3 AND version <= $2`,
			total, token.Version, 2031)
	}
	fmt.Println(set(18, holdfast.Token{Key: "invoice/2031", Version: 18}))
	fmt.Println(set(17, holdfast.Token{Key: "invoice/2031", Version: 17}))
	fmt.Println(exampleTotal(db))
	// Output:
	// <nil>
	// key "invoice/2031": version 17 is older than the newest seen
	// 18
}

// Middleware in front of a handler that writes, and the client's side of it.
func ExampleHandler() {
	mux := http.NewServeMux()
	mux.Handle("PUT /invoice/{id}", &fence.Handler{
		Gate: new(fence.Guard),
		Keys: func(r *http.Request) []string { return []string{"invoice/" + r.PathValue("id")} },
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Write here: until this returns, no newer owner is let through.
		}),
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	put := func(tokens ...holdfast.Token) {
		req, err := http.NewRequest("PUT", server.URL+"/invoice/2031", nil)
		if err != nil {
			panic(err)
		}
		fence.SetTokens(req.Header, tokens...)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			panic(err)
		}
		answer.Body.Close()
		fmt.Println(req.Header.Get(fence.Header), "→", answer.Status)
	}
	put(holdfast.Token{Key: "invoice/2031", Version: 18})
	put(holdfast.Token{Key: "invoice/2031", Version: 17})
	put(holdfast.Token{Key: "invoice/7", Version: 19})
	put()
	// Output:
	// invoice/2031=18 → 200 OK
	// invoice/2031=17 → 409 Conflict
	// invoice/7=19 → 400 Bad Request
	//  → 400 Bad Request
}

// A handler that keeps the versions in the database that it writes, as it must
// when several processes serve the same data.
func ExampleRefuse() {
	db := exampleDB()
	defer db.Close()
	if _, err := db.Exec(fence.Schema); err != nil {
		panic(err)
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		tokens, err := fence.Tokens(r.Header)
		if err == nil {
			err = fence.DoTx(r.Context(), db, nil, tokens, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(r.Context(), `UPDATE invoice SET total = total - 10 WHERE id = 2031`)
				return err
			})
		}
		if err != nil {
			fence.Refuse(w, err)
			return
		}
		fmt.Fprintln(w, "paid")
	}
	for _, version := range []uint64{18, 17} {
		req := httptest.NewRequest("POST", "/pay", nil)
		fence.SetTokens(req.Header, holdfast.Token{Key: "invoice/2031", Version: version})
		w := httptest.NewRecorder()
		handler(w, req)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 paid
	// 409 {"error":"stale","message":"key \"invoice/2031\": version 17 is older than the newest seen"}
}

// exampleDB has one invoice, number 2031, of 100.
func exampleDB() *sql.DB {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(1) // each connection would have a memory of its own
	_, err = db.Exec(`CREATE TABLE invoice (id integer PRIMARY KEY, total integer, version integer);
		INSERT INTO invoice VALUES (2031, 100, 1)`)
	if err != nil {
		panic(err)
	}
	return db
}

func exampleTotal(db *sql.DB) (total int) {
	if err := db.QueryRow(`SELECT total FROM invoice WHERE id = 2031`).Scan(&total); err != nil {
		panic(err)
	}
	return total
}
