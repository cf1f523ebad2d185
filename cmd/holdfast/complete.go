package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"holdfast"
)

// completeCommand answers the scripts of completionCommand: it prints what the
// last word may become, one candidate a line, with a tab and a help text
// behind it. If it has nothing to offer, the shells offer files.
type completeCommand struct {
	Word []string `arg:"" optional:"" passthrough:"" help:"What was typed behind the name of the program."`
}

// Run prints the candidates.
func (c *completeCommand) Run(ctx *kong.Context) error {
	if len(c.Word) > 0 && c.Word[0] == "--" {
		c.Word = c.Word[1:]
	}
	for _, found := range complete(ctx.Model.Node, c.Word, keysOf) {
		fmt.Printf("%s\t%s\n", found.word, found.help)
	}
	return nil
}

// completeTag names the words that a value may be; or, with completeKeys, says
// that it is a key:
//
//	Keys Keys `complete:"own,shared"`
const (
	completeTag  = "complete"
	completeKeys = "@key"
)

// candidate is what a word may become.
type candidate struct{ word, help string }

// line is how far a command line has been read.
type line struct {
	node    *kong.Node  // the command so far
	args    int         // its arguments so far
	flag    *kong.Value // whose value comes next; nil if none does
	noFlags bool        // behind --
	foreign bool        // what follows belongs to another program
	servers []string    // those named so far
}

// complete gives what the last of the words may become. Of keys it asks keys.
func complete(root *kong.Node, words []string, keys func(servers []string, prefix string) []string) []candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	at := line{node: root}
	last := len(words) - 1
	for _, word := range words[:last] {
		at.read(word)
	}
	word, before := words[last], ""
	if word == "=" && at.flag != nil {
		word = "" // bash makes three words of --flag=value
	}
	if name, value, ok := strings.Cut(word, "="); ok && at.flag == nil && !at.noFlags && strings.HasPrefix(name, "--") {
		at.read(name)
		before, word = name+"=", value
	}
	var found []candidate
	for _, c := range at.candidates(word, keys) {
		if strings.HasPrefix(c.word, word) {
			found = append(found, candidate{before + c.word, c.help})
		}
	}
	return found
}

// read takes in a word that is complete.
func (at *line) read(word string) {
	switch {
	case at.foreign:
	case at.flag != nil && word == "=":
	case at.flag != nil:
		at.value(word)
	case !at.noFlags && word == "--":
		at.noFlags = true
		at.foreign = at.passthrough()
	case !at.noFlags && strings.HasPrefix(word, "-"):
		name, value, has := strings.Cut(word, "=")
		flag := at.flagNamed(name)
		if flag == nil || flag.IsBool() {
			return
		}
		at.flag = flag.Value
		if has {
			at.value(value)
		}
	default:
		i := slices.IndexFunc(at.node.Children, func(n *kong.Node) bool { return n.Name == word })
		if i >= 0 {
			at.node, at.args = at.node.Children[i], 0
			return
		}
		at.foreign = at.passthrough()
		at.args++
	}
}

// value takes in the value of a flag.
func (at *line) value(word string) {
	if at.flag.Name == "server" {
		at.servers = append(at.servers, strings.Split(word, ",")...)
	}
	at.flag = nil
}

// passthrough says whether the next argument begins the command line of
// another program.
func (at *line) passthrough() bool {
	arg := at.arg()
	return arg != nil && arg.Passthrough
}

// arg is the argument that comes next; the last one may be repeated.
func (at *line) arg() *kong.Positional {
	n := len(at.node.Positional)
	if n == 0 || at.args >= n && !at.node.Positional[n-1].IsSlice() {
		return nil
	}
	return at.node.Positional[min(at.args, n-1)]
}

func (at *line) flagNamed(name string) *kong.Flag {
	for _, group := range at.node.AllFlags(false) {
		for _, flag := range group {
			if name == "--"+flag.Name || flag.Short != 0 && name == "-"+string(flag.Short) {
				return flag
			}
		}
	}
	return nil
}

// candidates are all that may stand next, of which keys only those that begin
// with word.
func (at *line) candidates(word string, keys func([]string, string) []string) []candidate {
	switch {
	case at.foreign:
		return nil
	case at.flag != nil:
		return at.values(at.flag, word, keys)
	case !at.noFlags && strings.HasPrefix(word, "-"):
		var found []candidate
		for _, group := range at.node.AllFlags(true) {
			for _, flag := range group {
				found = append(found, candidate{"--" + flag.Name, flag.Help})
			}
		}
		return found
	}
	var found []candidate
	for _, child := range at.node.Children {
		if !child.Hidden {
			found = append(found, candidate{child.Name, child.Help})
		}
	}
	if arg := at.arg(); arg != nil {
		found = append(found, at.values(arg, word, keys)...)
	}
	return found
}

// values are what the value of a flag or an argument may be.
func (at *line) values(of *kong.Value, word string, keys func([]string, string) []string) []candidate {
	var found []candidate
	known := of.Tag.Get(completeTag)
	if known == completeKeys {
		for _, key := range keys(at.servers, word) {
			found = append(found, candidate{word: key})
		}
		return found
	}
	for _, value := range append(of.EnumSlice(), strings.Split(known, ",")...) {
		if value != "" {
			found = append(found, candidate{word: value})
		}
	}
	return found
}

const (
	// completeWithin is how long a server may take to be of use.
	completeWithin = 500 * time.Millisecond

	// completeMost is how many keys are offered.
	completeMost = 100
)

// harmless are the keys that need no quotes in any shell.
var harmless = regexp.MustCompile(`^[\w./@%+-]+$`)

// keysOf asks for keys that are held or waited for.
func keysOf(servers []string, prefix string) []string {
	asking := asking{Server: servers}
	locks, err := asking.client()
	if err != nil {
		return nil
	}
	defer locks.Close()
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	page, err := locks.List(ctx, holdfast.ListRequest{Prefix: prefix, Limit: completeMost})
	if err != nil {
		return nil // whoever completes a word wants no message
	}
	var keys []string
	for _, lock := range page.Locks {
		if harmless.MatchString(lock.Key) {
			keys = append(keys, lock.Key)
		}
	}
	return keys
}
