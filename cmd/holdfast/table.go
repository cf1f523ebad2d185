package main

import (
	"fmt"
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
	out   *tabwriter.Writer
}

func onTerminal() bool { return isTerminal(os.Stdout) }

func newTable(heading ...string) *table {
	t := &table{human: onTerminal(), out: tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)}
	if t.human {
		t.row(heading...)
	}
	return t
}

// row adds a row. What would disturb the table, or the terminal, is quoted.
func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	line := strings.Join(cells, "\t")
	if t.human {
		fmt.Fprintln(t.out, line)
		return
	}
	fmt.Println(line)
}

func (t *table) flush() error { return t.out.Flush() }

// printable quotes what would disturb a line, or the terminal.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
