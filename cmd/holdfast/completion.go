package main

import (
	"embed"
	"fmt"
	"os"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// The scripts only ask `holdfast complete` and give its answer to their shell.
//
//go:embed completion
var completionScripts embed.FS

// Help is what stands between the usage line and the flags.
func (completionCommand) Help() string {
	return `Prints a script that lets a shell complete commands, flags, and what it can know
of their values: keys too, if a server answers at once. For this shell only:

    source <(holdfast completion bash)
    source <(holdfast completion zsh)
    holdfast completion fish | source

For all of them, put that into ~/.bashrc or, behind compinit, into ~/.zshrc, or
the script into ~/.config/fish/completions/holdfast.fish.`
}

// Run prints the script.
func (c *completionCommand) Run() error {
	script, err := completionScripts.ReadFile("completion/holdfast." + c.Shell)
	if err != nil {
		return fmt.Errorf("no script for %s: %w", c.Shell, err)
	}
	_, err = os.Stdout.Write(script)
	return err
}
