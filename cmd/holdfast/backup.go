package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"

	"holdfast/internal/raftstore"
	locktable "holdfast/internal/table"
	"holdfast/internal/wire"
)

type backupCommand struct {
	Server string `default:"http://localhost:3000" placeholder:"URL" help:"Server to back up; without it http://localhost:3000."`
}

// Help is what stands between the usage line and the flags.
func (backupCommand) Help() string {
	return `Writes the whole state of a server with the durable store to standard output,
as it is at one moment; the locks go on meanwhile:

    holdfast backup > locks.backup

It ends with status 1 if what came is not whole. holdfast restore makes a new
data directory of it.`
}

// Run copies the backup, and looks at it on the way.
func (c *backupCommand) Run() error {
	if info, err := os.Stdout.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return usageError("a backup is no text for a terminal: redirect it, holdfast backup > FILE")
	}
	at, err := url.JoinPath(c.Server, "backup")
	if err != nil {
		return usageError(fmt.Sprintf("--server: %v", err))
	}
	response, err := http.Get(at)
	if err != nil {
		return fmt.Errorf("no backup: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
		return wire.ReadError(body)
	}
	if _, err := locktable.Read(io.TeeReader(response.Body, os.Stdout)); err != nil {
		return fmt.Errorf("what came is no whole backup: %w", err)
	}
	return nil
}

type restoreCommand struct {
	File    string `arg:"" help:"Backup to restore; - for standard input."`
	DataDir string `required:"" placeholder:"DIR" help:"New data directory to make."`
}

// Help is what stands between the usage line and the flags.
func (restoreCommand) Help() string {
	return `Makes a new data directory, of a single node, with what a backup holds:

    holdfast restore locks.backup --data-dir new-data
    holdfast serve --data-dir new-data

What was locked is locked again, each hold with its full exp. What has happened
since the backup is lost, but versions go on beyond all that were given, so
that resources still refuse who is late.`
}

// Run restores.
func (c *restoreCommand) Run() error {
	in := os.Stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return errors.New(strings.TrimPrefix(err.Error(), "open "))
		}
		defer file.Close()
		in = file
	}
	return raftstore.Restore(context.Background(), in, raftstore.Options{Dir: c.DataDir, Logger: slog.New(slog.DiscardHandler)})
}
