package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// table prints rows: for people, with a heading and in columns, if stdout is a
// terminal; else with tabs, for scripts.
type table struct {
	human bool
	out   interface {
		io.Writer
		Flush() error
	}
}

func onTerminal() bool { return isTerminal(os.Stdout) }

func newTable(heading ...string) *table {
	if !onTerminal() {
		return &table{out: bufio.NewWriter(os.Stdout)}
	}
	t := &table{human: true, out: tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)}
	t.row(heading...)
	return t
}

// row adds a row. What would disturb the table, or the terminal, is quoted.
func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	fmt.Fprintln(t.out, strings.Join(cells, "\t"))
}

// flush prints the rows.
func (t *table) flush() error { return t.out.Flush() }

// printable quotes what would disturb a line, or the terminal.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
