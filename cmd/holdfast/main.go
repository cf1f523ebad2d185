// Command holdfast is the lock service and what belongs to it: one binary,
// one file a command.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// commands is the command line. A command is a field here and a file beside
// this one.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Start the lock service."`
	Run     runCommand     `cmd:"" help:"Run a command while holding keys."`
	Lock    lockCommand    `cmd:"" help:"Lock keys, and print their tokens."`
	Unlock  unlockCommand  `cmd:"" help:"Give tokens back."`
	Extend  extendCommand  `cmd:"" help:"Start the life of holds anew."`
	Check   checkCommand   `cmd:"" help:"Tell whether anybody holds one of the keys."`
	Ls      lsCommand      `cmd:"" help:"List keys, who holds them, and who stands in line."`
	Show    showCommand    `cmd:"" help:"Show one key: who holds it, and who stands in line."`
	Watch   watchCommand   `cmd:"" help:"Print what happens to locks, as it happens."`
	Force   forceCommand   `cmd:"" help:"Release a key, whoever holds it."`
	Cluster clusterCommand `cmd:"" help:"Show the nodes of a cluster, or change who is one."`
	Bench   benchCommand   `cmd:"" help:"Put a server under load, and tell how much it bore."`
	Health  healthCommand  `cmd:"" help:"Tell whether the server on this machine can serve."`
	Backup  backupCommand  `cmd:"" help:"Write a durable server's whole state to standard output."`
	Restore restoreCommand `cmd:"" help:"Make a new data directory of a backup."`
	Token   tokenCommand   `cmd:"" help:"Edit the file that says who may do what."`
	Cert    certCommand    `cmd:"" help:"Make certificates, for a cluster that has none yet."`
	Version versionCommand `cmd:"" help:"Show the version."`

	Completion completionCommand `cmd:"" help:"Print a script that lets a shell complete command lines."`
	Complete   completeCommand   `cmd:"" hidden:"" help:"Answer such a script."`
}

const description = `Holdfast is a lock service: it gives one owner at a time the right to touch a
thing, tells the others who is ahead, and numbers every yes, so that the thing
itself can refuse a latecomer.`

// The statuses that the process ends with; docs/cli.md tells which command
// ends with which. From statusAway to statusLost they are those of sysexits.h
// that come nearest, and the last three are those of a shell.
const (
	statusFailed        = 1   // it could not do what it was asked
	statusUsage         = 2   // it was asked the wrong way
	statusAway          = 69  // no server can serve
	statusRefused       = 70  // a server refuses, for a reason that has no status of its own
	statusNotAcquired   = 75  // others hold a key, or waiting would never end
	statusLost          = 76  // the hold is over, or a token names none any more
	statusNotExecutable = 126 // the command is there, but cannot be run
	statusNotFound      = 127 // there is no such command
	statusSignal        = 128 // and the number of the signal
)

// usageError is a failure that another command line, environment or .env
// would cure.
type usageError string

func (e usageError) Error() string { return string(e) }

func main() {
	if err := run(os.Args[1:]); err != nil {
		if said := oneLine(err); said != "" {
			fmt.Fprintln(os.Stderr, "holdfast:", said)
		}
		// A shell that has got a Ctrl-C too goes on with the next command unless
		// this one ends by the signal.
		if by, ok := errors.AsType[endedBy](err); ok && syscall.Signal(by) == syscall.SIGINT {
			dieOf(syscall.SIGINT)
		}
		os.Exit(status(err))
	}
}

// exit is a failure that ends the process with a status of its own. Without a
// message nothing more is said.
type exit struct {
	status  int
	message string
}

func (e *exit) Error() string { return e.message }

// endedBy is the end by a signal. Nothing more is said.
type endedBy syscall.Signal

func (endedBy) Error() string { return "" }

// run does what the command line says.
func run(args []string) error {
	cli := new(commands)
	parser, err := newParser(cli, newSettings(os.Getenv, dotenvFile))
	if err != nil {
		return err
	}
	args = asUsual(args)
	command, err := parser.Parse(args)
	if err != nil {
		return refused(err)
	}
	if err := asGiven(cli, args); err != nil {
		return err
	}
	return command.Run()
}

// asUsual makes commands of what other programs understand as well.
func asUsual(args []string) []string {
	switch {
	case len(args) == 1 && args[0] == "--version":
		return []string{"version"}
	case len(args) > 0 && args[0] == "help":
		return append(args[1:], "--help")
	}
	return args
}

// asGiven undoes what the parser does to words that are not UTF-8: it takes
// another character for what it does not understand. A command to run gets its
// own words as they are, such as the names of old files; all others are refused.
func asGiven(cli *commands, args []string) error {
	own := len(args) - len(cli.Run.Command)
	copy(cli.Run.Command, args[own:])
	for _, arg := range args[:own] {
		if !utf8.ValidString(arg) {
			return usageError(fmt.Sprintf("%q is not valid UTF-8", arg))
		}
	}
	return nil
}

// newParser reads a command line, and the settings that are not on it, into
// cli.
func newParser(cli *commands, settings settings) (*kong.Kong, error) {
	return kong.New(cli,
		kong.Name("holdfast"),
		kong.Description(description),
		kong.ExplicitGroups(flagGroups),
		kong.ValueFormatter(helpWithVariable),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
		kong.Resolvers(settings),
	)
}

// refused makes of the parser's error one that tells what to do. Where no
// command was named, it shows which there are.
func refused(err error) error {
	if dotenv, ok := errors.AsType[*dotenvError](err); ok {
		return dotenv // without the name of the flag that happened to come first
	}
	parse, ok := errors.AsType[*kong.ParseError](err)
	if !ok || parse.Context == nil || parse.Context.Selected() != nil {
		return err
	}
	parse.Context.Stdout = os.Stderr
	if err := parse.Context.PrintUsage(false); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr)
	if flag, ok := strings.CutPrefix(err.Error(), kongUnknownFlag); ok {
		flag, _, _ = strings.Cut(flag, ",") // did you mean …, of the flags that there are without a command
		return usageError(fmt.Sprintf("unknown flag %s: flags stand behind the command, as in holdfast serve -p 4000", flag))
	}
	return err
}

// status is what the process ends with after err.
func status(err error) int {
	if exit, ok := errors.AsType[*exit](err); ok {
		return exit.status
	}
	if by, ok := errors.AsType[endedBy](err); ok {
		return statusSignal + int(by)
	}
	_, usage := errors.AsType[usageError](err)
	_, parse := errors.AsType[*kong.ParseError](err)
	_, dotenv := errors.AsType[*dotenvError](err)
	if usage || parse || dotenv {
		return statusUsage
	}
	return statusFailed
}

// kongMissingValue is how kong says that a command line ends behind a flag.
const kongMissingValue = `expected value value but got "EOL" (<EOL>)`

// kongUnknownFlag is how kong begins to say that there is no such flag.
const kongUnknownFlag = "unknown flag "

// oneLine keeps what is said on one line, whatever a value in it contains.
func oneLine(err error) string {
	said := strings.ReplaceAll(err.Error(), kongMissingValue, "needs a value")
	return strings.Join(strings.FieldsFunc(said, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}
