package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"holdfast/client"
	"holdfast/internal/raftstore"
	locktable "holdfast/internal/table"
)

type backupCommand struct {
	asking
	Reason  string   `placeholder:"TEXT" xor:"server" help:"Why; for the record of the server."`
	DataDir nonEmpty `placeholder:"DIR" xor:"server" help:"Read this data directory, of a server that does not run, instead of asking one that does."`
}

// Help is what stands between the usage line and the flags.
func (backupCommand) Help() string {
	return `Writes the whole state of a server with the durable store to standard output,
as it is at one moment; the locks go on meanwhile:

    holdfast backup > locks.backup

It ends with status 1 if what came is not whole. holdfast restore makes a new
data directory of it. With --data-dir it is made of the directory of a node
that has stopped: of the one that is left when a majority of its cluster is
lost for good.`
}

// Run copies the backup, and looks at it on the way.
func (c *backupCommand) Run() error {
	if onTerminal() {
		return usageError("a backup is no text for a terminal: redirect it, holdfast backup > FILE")
	}
	if c.DataDir != "" {
		return raftstore.BackupDir(string(c.DataDir), os.Stdout)
	}
	return c.call(func(ctx context.Context, locks *client.Client) error {
		// The reader looks at what goes by, to its end.
		read, write := io.Pipe()
		looked := make(chan error, 1)
		go func() {
			_, err := locktable.Read(read)
			read.CloseWithError(err)
			looked <- err
		}()
		err := locks.Backup(ctx, io.MultiWriter(os.Stdout, write), c.Reason)
		write.Close()
		if broken := <-looked; err == nil && broken != nil {
			return fmt.Errorf("what came is no whole backup: %w", broken)
		}
		return err
	})
}

type restoreCommand struct {
	File    string   `arg:"" help:"Backup to restore; - for standard input."`
	DataDir nonEmpty `required:"" placeholder:"DIR" help:"New data directory to make."`
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
	return raftstore.Restore(context.Background(), in, raftstore.Options{Dir: string(c.DataDir), Logger: slog.New(slog.DiscardHandler)})
}
